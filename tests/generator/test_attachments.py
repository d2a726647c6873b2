"""What is attached is what it says it is, or refused with words that say why."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from runtime.events.attachments import Attachment
from runtime.events.catalog import RunAccepted
from runtime.events.codec import decode
from runtime.events.envelope import Stored
from runtime.generator.admission import admit, fingerprint
from runtime.generator.attachments import MAX_ATTACHMENT_BYTES, MAX_ATTACHMENTS
from runtime.generator.body import validate
from runtime.generator.following import FIRST
from runtime.generator.problems import Refusal
from runtime.generator.requests import CreateRun
from runtime.log.log import NewRun
from runtime.tenancy import TenantLimits


def b64(raw: bytes) -> str:
    return b64encode(raw).decode()


PNG = b"\x89PNG\r\n\x1a\n rest"
GOOD: list[dict[str, Any]] = [
    {"type": "image", "media_type": "image/png", "data": b64(PNG)},
    {"type": "image", "media_type": "image/jpeg", "data": b64(b"\xff\xd8\xff\xe0"), "name": "Höhe.jpg"},
    {"type": "image", "media_type": "image/gif", "data": b64(b"GIF89a.")},
    {"type": "image", "media_type": "image/webp", "data": b64(b"RIFF\x00\x00\x00\x00WEBP")},
    {"type": "pdf", "media_type": "application/pdf", "data": b64(b"%PDF-1.7")},
    {"type": "text", "media_type": "text/plain", "data": b64("Größe 🌊".encode())},
    {"type": "image", "url": "https://example.org/a.png"},
    {"type": "pdf", "media_type": "application/pdf", "url": "https://example.org/a.pdf?x=1"},
]


def body(*attachments: dict[str, Any]) -> CreateRun:
    return validate(CreateRun, {"input": "Why?", "attachments": list(attachments)})


@pytest.mark.parametrize("attachment", GOOD)
def test_what_is_accepted(attachment: dict[str, Any]) -> None:
    assert body(attachment).attachments[0].type == attachment["type"]


@pytest.mark.parametrize(
    ("attachment", "words"),
    [
        ({"type": "image"}, "either data or url"),
        ({**GOOD[0], "url": "https://example.org/a.png"}, "either data or url"),
        ({"type": "image", "data": b64(PNG)}, "media_type"),
        ({**GOOD[0], "type": "pdf"}, "is no pdf"),
        ({**GOOD[0], "media_type": "image/svg+xml"}, "Input should be"),
        ({**GOOD[0], "type": "video"}, "Input should be"),
        ({**GOOD[0], "data": "iVBO Rw0K"}, "not base64"),
        ({**GOOD[0], "data": "iVBORw0K\n"}, "not base64"),
        ({**GOOD[0], "data": b64(PNG).rstrip("=")}, "not base64"),
        ({**GOOD[0], "data": "iVBORw0KGgr="}, "not base64"),
        ({**GOOD[0], "data": "é"}, "not base64"),
        ({**GOOD[0], "data": ""}, "at least 1"),
        ({**GOOD[0], "data": b64(b"%PDF-1.7")}, "is no image/png"),
        ({**GOOD[4], "data": b64(PNG)}, "is no application/pdf"),
        ({**GOOD[3], "data": b64(b"RIFF\x00\x00\x00\x00WAVE")}, "is no image/webp"),
        ({**GOOD[5], "data": b64(b"\xff\xfe")}, "UTF-8"),
        ({**GOOD[5], "data": b64(b"a\x00b")}, "NUL"),
        ({**GOOD[5], "data": b64(b" \n")}, "empty"),
        ({**GOOD[0], "data": b64(PNG + b"x" * MAX_ATTACHMENT_BYTES)}, "larger than"),
        ({"type": "image", "url": "http://example.org/a.png"}, "pattern"),
        ({"type": "image", "url": "file:///etc/passwd"}, "pattern"),
        ({"type": "image", "url": "https://user:word@example.org/a.png"}, "no user"),
        ({"type": "image", "url": "https:///a.png"}, "host"),
        ({"type": "image", "url": "https://example.org/ a.png"}, "pattern"),
        ({"type": "text", "url": "https://example.org/a.txt"}, "as data"),
        ({**GOOD[0], "name": "a\nb"}, "printable"),
        ({**GOOD[0], "name": ""}, "at least 1"),
        ({**GOOD[0], "size": 5}, "Extra inputs"),
    ],
)
def test_what_is_refused_and_in_which_words(attachment: dict[str, Any], words: str) -> None:
    with pytest.raises(Refusal, match="The body does not fit") as caught:
        body(GOOD[0], attachment)
    assert caught.value.status == 422
    assert words in caught.value.errors[0].detail
    assert (caught.value.errors[0].pointer or "").startswith("/attachments/1")
    assert str(attachment.get("data", "?"))[:80] not in caught.value.detail or not attachment.get("data")


def test_there_are_only_so_many() -> None:
    body(*GOOD[:1] * MAX_ATTACHMENTS)
    with pytest.raises(Refusal, match="at most 8"):
        body(*GOOD[:1] * (MAX_ATTACHMENTS + 1))


def admitted(asked: CreateRun) -> NewRun:
    return admit(
        asked,
        FIRST,
        tenant_id="default",
        run_id="r",
        conversation_id="c",
        now=1.0,
        documents=None,
        default="continue",
        key=None,
        share=TenantLimits(),
    )


def test_they_are_kept_in_the_first_event_of_the_run() -> None:
    new = admitted(body(*GOOD))
    record = new.records[0]
    event = decode(Stored(1, 0, record.type, record.family, None, record.body)).event
    assert isinstance(event, RunAccepted)
    kept = event.input.attachments
    assert [one.type for one in kept] == [one["type"] for one in GOOD]
    assert kept[1] == Attachment(type="image", media_type="image/jpeg", data=GOOD[1]["data"], name="Höhe.jpg")


def test_a_run_without_attachments_is_the_same_run_as_ever() -> None:
    """Its event has the bytes, and its idempotency key the hash, that they had before there were attachments."""
    new = admitted(body())
    assert b"attachments" not in new.records[0].body
    assert fingerprint(body()) == fingerprint(validate(CreateRun, {"input": "Why?"}))
    assert "attachments" not in body().model_dump()
