"""Every event is redacted on its way into the log, whoever writes it; deltas without waiting for the whole text."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from runtime.clock import ManualClock
from runtime.errors import InternalError
from runtime.events import catalog as ev
from runtime.events.codec import fields_of
from runtime.events.envelope import Record
from runtime.events.messages import (
    DocumentBlock,
    ImageBlock,
    OpaqueBlock,
    RedactedThinkingBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
    Usage,
)
from runtime.events.plan import Plan, Todo
from runtime.stream.chain import Chain, process
from runtime.stream.emitter import Emitter
from runtime.stream.redact import redacted
from runtime.stream.redactor import REDACTED, Redactor
from tests.events.samples import by_type, every_event

SECRET = "open-sesame"
REDACTOR = Redactor([SECRET])


class Box:
    def __init__(self) -> None:
        self.batches: list[list[dict[str, Any]]] = []

    async def offer(self, *records: Record) -> None:
        self.batches.append([orjson.loads(record.body) for record in records])

    async def commit(self, *records: Record, wake_at: float | None = None, unless_said_after: int | None = None) -> int:
        await self.offer(*records)
        return 1

    async def drain(self) -> None:
        return

    def all(self) -> list[dict[str, Any]]:
        return [event for batch in self.batches for event in batch]

    def said(self) -> list[str]:
        return [event["data"]["text"] for event in self.all() if event["type"] == "turn.delta"]


def emitter(box: Box, *functions: Any) -> Emitter:
    return Emitter(box, Chain(functions, REDACTOR), ManualClock(), "run", stage="s", agent="a")


def turn(*content: Any) -> ev.TurnCompleted:
    return ev.TurnCompleted(content=content, stop_reason="end_turn", usage=Usage(), model="m")


KEPT = {"signature", "data", "id", "agent", "depends_on"}
"""Fields that are sealed, or take identifiers only."""

WITHOUT_WORDS = {
    "run.cancel_requested", "recovery.resumed", "recovery.compacted", "usage.updated", "agent.completed",
    "stage.dispatched", "hidden",
}  # fmt: skip
"""Types that hold numbers and words of ours only."""


def with_secret(value: Any) -> Any:
    if isinstance(value, str):
        return f"{value} {SECRET}"
    if isinstance(value, dict):
        return {key: item if key in KEPT else with_secret(item) for key, item in value.items()}
    return [with_secret(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("event", every_event(), ids=by_type)
async def test_no_text_of_any_event_gets_through(event: Any) -> None:
    """Each text field for itself, where its type allows any text."""
    tried = 0
    for name, value in fields_of(event).items():
        try:
            told = type(event).model_validate(fields_of(event) | {name: with_secret(value)})
        except ValueError:  # an identifier, or one of a few words
            continue
        tried += told != event
        box = Box()
        await emitter(box).commit(told)
        await emitter(box).drain()
        assert SECRET.encode() not in orjson.dumps(box.batches), name
    assert bool(tried) == (event.type not in WITHOUT_WORDS)


def test_what_holds_no_secret_is_the_same_object() -> None:
    for event in every_event():
        assert redacted(event, REDACTOR) is event


async def test_what_a_rule_puts_in_is_redacted_too_and_the_writer_is_told_what_was_written() -> None:
    @process("object")
    def leak(draft: Any) -> Any:
        raise RuntimeError(SECRET) if draft.event.type == "title.set" else None

    box = Box()
    (written,) = await emitter(box, leak).commit(ev.Custom(name=SECRET, value={SECRET: [SECRET]}))
    assert written == ev.Custom(name="withheld", value={"type": "custom"})
    (written,) = await emitter(box).commit(ev.Custom(name=SECRET, value={SECRET: [SECRET]}))
    assert written == ev.Custom(name=REDACTED, value={REDACTED: [REDACTED]})


def test_a_place_that_takes_no_mark_stops_the_event_and_the_error_does_not_tell_why() -> None:
    plan = Plan(todos=(Todo(id=SECRET, title="x", agent="research"),))
    with pytest.raises(InternalError) as failed:
        redacted(ev.PlanCommitted(plan=plan), REDACTOR)
    assert SECRET not in repr(failed.value) and failed.value.__context__ is None


# --- blocks ----------------------------------------------------------------------------------------------------------


def test_texts_side_by_side_are_read_as_one() -> None:
    clean = redacted(turn(TextBlock(text="it is open-"), TextBlock(text="sesame!")), REDACTOR)
    assert isinstance(clean, ev.TurnCompleted)
    assert [block.text for block in clean.content] == [f"it is {REDACTED}", "!"]  # type: ignore[union-attr]


def test_thinking_that_was_changed_loses_its_signature_and_what_is_sealed_stays() -> None:
    sealed = (
        ThinkingBlock(thinking="plain", signature=f"x{SECRET}"),
        RedactedThinkingBlock(data=f"x{SECRET}"),
        OpaqueBlock.model_validate({"type": "web_search_tool_result", "encrypted_content": SECRET, "title": "t"}),
    )
    assert redacted(turn(*sealed), REDACTOR).content == sealed  # type: ignore[union-attr]
    clean = redacted(turn(ThinkingBlock(thinking=f"it is {SECRET}", signature="s")), REDACTOR)
    assert clean.content == (ThinkingBlock(thinking=f"it is {REDACTED}"),)  # type: ignore[union-attr]


def test_a_picture_that_holds_one_is_left_out_and_another_is_not_touched() -> None:
    source = {"type": "base64", "media_type": "image/png", "data": "aGVsbG8gb3Blbi1zZXNhbWUgYWdhaW4="}
    clean = redacted(turn(ImageBlock(source=source), DocumentBlock(source=source | {"data": "aGVsbG8="})), REDACTOR)
    assert clean.content == (TextBlock(text=REDACTED), DocumentBlock(source=source | {"data": "aGVsbG8="}))  # type: ignore[union-attr]


# --- deltas ----------------------------------------------------------------------------------------------------------


async def told(writer: Emitter, *pieces: str, **more: Any) -> None:
    for piece in pieces:
        await writer.emit(ev.TurnDelta(text=piece, **more), turn=1, attempt=1)


async def test_a_secret_in_two_deltas_is_never_written_and_other_deltas_do_not_wait() -> None:
    box = Box()
    await told(emitter(box), "It is", " open", "-ses", "ame", ", you see")
    assert box.said() == ["It is", " ", REDACTED, ", you see"]


@pytest.mark.parametrize(
    "end",
    [turn(TextBlock(text="x")), ev.TurnSuperseded(reason="r"), ev.TurnFailed(code="c", message="m", attempts=1)],
    ids=by_type,
)
async def test_the_end_of_a_turn_lets_go_of_what_was_held_back_before_it(end: Any) -> None:
    box = Box()
    writer = emitter(box)
    await told(writer, "It is open-se")
    await writer.commit(end, turn=1, attempt=1)
    assert [[event["type"] for event in batch] for batch in box.batches] == [["turn.delta"], ["turn.delta", end.type]]
    assert "".join(box.said()) == "It is open-se"
    assert {(event["turn"], event["attempt"], event["stage"]) for event in box.all()} == {(1, 1, "s")}


async def test_another_block_or_a_drain_lets_go_and_a_tools_own_event_does_not() -> None:
    box = Box()
    writer = emitter(box)
    await told(writer, "thought open", kind="thinking")
    await told(writer, "text open-")
    await writer.emit(ev.Custom(name="late", value=1))
    await told(writer, "sesame ope")
    await writer.drain()
    texts = [(event["data"]["kind"], event["data"]["text"]) for event in box.all() if event["type"] == "turn.delta"]
    assert texts == [
        ("thinking", "thought "), ("thinking", "open"), ("text", "text "), ("text", f"{REDACTED} "), ("text", "ope"),
    ]  # fmt: skip


async def test_delegates_texts_are_apart_and_whoever_stops_them_lets_go_of_theirs() -> None:
    box = Box()
    writer = emitter(box)
    await told(writer, "own open-")
    await told(writer.of("1.c", "helper"), "theirs open-")
    await told(writer, "sesame")
    await writer.of("1.c", "helper").commit(ev.TurnSuperseded(reason="cancelled"), turn=1, attempt=1)
    by_call = [(event.get("call"), event["data"].get("text")) for event in box.all()]
    assert by_call == [(None, "own "), ("1.c", "theirs "), (None, REDACTED), ("1.c", "open-"), ("1.c", None)]


async def test_a_tools_arguments_being_written_keep_their_call_and_an_empty_piece_is_written() -> None:
    box = Box()
    await told(emitter(box), "", '{"a": "open-', 'sesame"}', kind="tool_input", call_id="c", name="n")
    assert [event["data"] for event in box.all()] == [
        {"kind": "tool_input", "text": text, "call_id": "c", "name": "n"} for text in ("", '{"a": "', f'{REDACTED}"}}')
    ]


def test_calls_keep_what_is_no_text_and_nothing_in_them_is_sealed() -> None:
    use = ToolUseBlock(
        id="c", name="n", input={"a": 1, "b": [SECRET, None], "signature": SECRET, "encrypted_x": SECRET}
    )
    (clean,) = redacted(turn(use), REDACTOR).content  # type: ignore[union-attr]
    assert clean.input == {"a": 1, "b": [REDACTED, None], "signature": REDACTED, "encrypted_x": REDACTED}
