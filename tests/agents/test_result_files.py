"""Pictures and PDFs that tools return reach the model that can see them, and stand in the log as attachments."""

from __future__ import annotations

from base64 import b64encode

import pytest

from runtime.agents.attachments import words_only
from runtime.errors import ToolFailed
from runtime.events import catalog as ev
from runtime.events.attachments import Attachment
from runtime.events.compaction import shortened
from runtime.events.fold import fold_all
from runtime.events.messages import DocumentBlock, ImageBlock, Message, TextBlock, ToolResultBlock
from runtime.llm.client import ModelRequest
from runtime.llm.request import render
from runtime.llm.request_size import IMAGE_TOKENS, request_bytes
from runtime.stream.redact import redacted
from runtime.stream.redactor import REDACTED, Redactor
from runtime.tools.files import MAX_FILES, MAX_FILES_BYTES, attached, kept
from runtime.tools.tool import ToolResult, tool
from tests.agents.bench import STAGE, Bench, Lines, call, says

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PDF = b"%PDF-1.7\n" + b"x" * 100


@tool()
def draw() -> ToolResult:
    """Draw."""
    return ToolResult("Here.", attachments=(attached(PNG, "image/png", "map.png"), attached(PDF, "application/pdf")))


@tool()
def snap() -> Attachment:
    """Take a picture, and say nothing."""
    return attached(PNG, "image/png")


def results(request: ModelRequest) -> list[ToolResultBlock]:
    return [block for message in request.messages for block in message.content if isinstance(block, ToolResultBlock)]


async def drawn(bench: Bench) -> ModelRequest:
    """What the model is asked after its tool has drawn something."""
    model = Lines(says(call("c1", "draw"), stop="tool_use"), says("Blue."))
    await bench.work(model, tools=[draw])
    return model.asked[1]


async def test_the_model_sees_what_its_tool_attached(bench: Bench) -> None:
    (result,) = results(await drawn(bench))
    words, picture, paper = result.content
    assert isinstance(words, TextBlock) and isinstance(picture, ImageBlock) and isinstance(paper, DocumentBlock)
    assert words.text == (
        f"Here.\n(attached: image/png map.png ({len(PNG)} bytes))\n(attached: application/pdf ({len(PDF)} bytes))"
    )
    assert picture.source == {"type": "base64", "media_type": "image/png", "data": b64encode(PNG).decode()}
    assert (paper.source["media_type"], paper.title) == ("application/pdf", "pdf 2")


async def test_the_log_has_them_as_attachments_and_no_word_of_the_result_is_base64(bench: Bench) -> None:
    asked = await drawn(bench)
    (completed,) = await bench.events(ev.ToolCompleted)
    data = b64encode(PNG).decode()
    assert [(one.type, one.media_type, one.name, one.size, one.data) for one in completed.attachments] == [
        ("image", "image/png", "map.png", len(PNG), data),
        ("pdf", "application/pdf", "", len(PDF), b64encode(PDF).decode()),
    ]
    assert data[:40] not in completed.result
    folded = fold_all(await bench.log()).stages[STAGE].transcript.messages()
    assert results(asked)[0] in [block for message in folded for block in message.content], "the log says the same"


async def test_a_request_of_the_api_carries_them_inside_the_result_and_its_size_is_bounded(bench: Bench) -> None:
    asked = await drawn(bench)
    (rendered,) = (
        block for message in render(asked, lambda s: s)["messages"] for block in message["content"]
        if block["type"] == "tool_result"
    )  # fmt: skip
    assert [part["type"] for part in rendered["content"]] == ["text", "image", "document"]
    assert rendered["content"][1] == {
        "type": "image", "source": {"type": "base64", "media_type": "image/png", "data": b64encode(PNG).decode()},
    }  # fmt: skip
    assert request_bytes(asked) >= IMAGE_TOKENS


async def test_a_tool_may_return_a_picture_and_nothing_else(bench: Bench) -> None:
    model = Lines(says(call("c1", "snap"), stop="tool_use"), says("Blue."))
    await bench.work(model, tools=[snap])
    (result,) = results(model.asked[1])
    assert [part.type for part in result.content] == ["text", "image"]  # type: ignore[union-attr]
    assert result.text() == f"(attached: image/png ({len(PNG)} bytes))"


def test_a_model_that_reads_words_only_is_told_what_it_does_not_see() -> None:
    result = ToolResultBlock(
        tool_use_id="c",
        content=(TextBlock(text="(attached: image/png)"), ImageBlock(source={"type": "url", "url": "x"})),
    )
    plain = Message(role="user", content=(TextBlock(text="x"),))
    clean = words_only((plain, Message(role="user", content=(result, TextBlock(text="y")))))
    assert clean[0] is plain
    assert clean[1].content == (ToolResultBlock(tool_use_id="c", content="(attached: image/png)"), TextBlock(text="y"))


async def test_compaction_leaves_pictures_out_first(bench: Bench) -> None:
    asked = await drawn(bench)
    (result,) = results(ModelRequest(model="m", system="", messages=shortened(asked.messages, len(asked.messages))))
    assert isinstance(result.content, str) and result.content.startswith("(Left out to save room: ")


def test_what_does_not_fit_is_left_out_and_said() -> None:
    picture = attached(PNG, "image/png", "a.png")
    many = kept(ToolResult("", attachments=(picture,) * (MAX_FILES + 1)))
    assert len(many.attachments) == MAX_FILES
    assert many.text.splitlines()[-1].startswith("(left out, ")
    large = attached(PNG + bytes(MAX_FILES_BYTES), "image/png", "large.png")
    mixed = kept(ToolResult("x", attachments=(large, picture)))
    assert mixed.attachments == (picture,)
    assert "large.png" in mixed.text and mixed.text.startswith("x\n(left out, ")


@pytest.mark.parametrize(("data", "media_type"), [(b"GIF", "image/png"), (PNG, "audio/wav"), (b"words", "text/plain")])
def test_what_is_no_picture_and_no_pdf_is_refused(data: bytes, media_type: str) -> None:
    with pytest.raises(ToolFailed):
        attached(data, media_type)


def test_a_file_that_holds_a_secret_is_left_out_whole_and_a_name_is_redacted() -> None:
    told = attached(PNG + b"open-sesame", "image/png", "open-sesame.png"), attached(PNG, "image/png", "open-sesame.png")
    event = ev.ToolCompleted(call_id="c", name="n", result="Here.", attachments=told)
    clean = redacted(event, Redactor(["open-sesame"]))
    assert isinstance(clean, ev.ToolCompleted)
    assert [one.name for one in clean.attachments] == [f"{REDACTED}.png"]
    assert clean.attachments[0].data == told[1].data
    assert clean.result == "Here.\n(left out, since they held a secret: 1)"
