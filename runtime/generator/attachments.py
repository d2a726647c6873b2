"""What may be attached to a question. The bytes must be what they are said to be; nothing is fetched and nothing is opened here."""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from runtime.events.attachments import KINDS, Attachment, looks_like
from runtime.generator.contract import Body

MAX_ATTACHMENTS = 8
"""To one question."""
MAX_ATTACHMENT_BYTES = 5 * 1024 * 1024
"""Of one, decoded: what the Messages API takes of a picture. ``max_body_bytes`` bounds them all together."""

MediaType = Literal["image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf", "text/plain"]


class AttachmentBody(Body):
    """A picture, a PDF or a text, by its bytes or by its address."""

    type: Literal["image", "pdf", "text"]
    media_type: MediaType | None = None
    """Must fit ``type``; may be left out with ``url``."""
    data: Annotated[str, Field(min_length=1)] | None = None
    """The bytes in base64 (RFC 4648, section 4), padded and without line breaks."""
    url: Annotated[str, Field(max_length=2048, pattern=r"^https://[!-~]+$")] | None = None
    """An ``https`` address the model's provider reads it from; not for texts."""
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    """What to call it."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.data is None) == (self.url is None):
            raise ValueError("give either data or url")
        if self.media_type is None and self.data is not None:
            raise ValueError("say the media_type of data")
        if self.media_type is not None and KINDS[self.media_type] != self.type:
            raise ValueError(f"media_type {self.media_type} is no {self.type}")
        if self.name is not None and not self.name.isprintable():
            raise ValueError("name must be printable and on one line")
        if self.url is not None:
            _check_address(self.url, self.type)
        if self.data is not None and self.media_type is not None:
            _check_bytes(self.data, self.media_type)
        return self

    def kept(self) -> Attachment:
        """As it is kept with the run."""
        return Attachment(
            type=self.type, media_type=self.media_type or "", data=self.data, url=self.url, name=self.name or ""
        )


def _check_address(url: str, kind: str) -> None:
    if kind == "text":
        raise ValueError("a text is given as data")
    parts = urlsplit(url)  # a ValueError of its own says what is wrong
    if not parts.hostname or parts.username is not None or parts.password is not None:
        raise ValueError("url must name a host, and no user")


def _check_bytes(data: str, media_type: str) -> None:
    if len(data) > (MAX_ATTACHMENT_BYTES + 2) // 3 * 4:
        raise ValueError(f"data is larger than {MAX_ATTACHMENT_BYTES} bytes")
    try:
        raw = b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("data is not base64") from error
    if b64encode(raw).decode() != data:  # two texts for the same bytes: one of them was made by hand
        raise ValueError("data is not base64")
    if media_type == "text/plain":
        _check_text(raw)
    elif not looks_like(raw, media_type):
        raise ValueError(f"data is no {media_type}")


def _check_text(raw: bytes) -> None:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError("data is no text in UTF-8") from error
    if not text.strip() or "\x00" in text:
        raise ValueError("data is an empty text, or holds a NUL character")
