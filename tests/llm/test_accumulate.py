"""The fold of a stream: complete or broken, runnable or invalid, nothing between."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from runtime import errors
from runtime.events.messages import RedactedThinkingBlock, TextBlock, ThinkingBlock, ToolUseBlock, tool_uses
from runtime.llm.accumulate import Accumulator
from runtime.llm.arguments import parse
from runtime.llm.client import Chunk, TextDelta, ThinkingDelta, ToolInputDelta
from runtime.llm.pricing import Price, PriceTable, cost_usd
from runtime.llm.sse_decode import ServerSentEvent, SseDecoder
from runtime.telemetry import Counts
from tests.fakes import messages_wire as wire

START = wire.start("claude-sonnet-5")


def fold(*events: dict[str, Any], counts: Counts | None = None) -> tuple[Accumulator, list[Chunk]]:
    folded = Accumulator("asked", counts or Counts())
    chunks = [folded.feed(ServerSentEvent(e["type"], json.dumps(e).encode())) for e in events]
    return folded, [chunk for chunk in chunks if chunk is not None]


def test_text_comes_in_pieces_and_whole() -> None:
    folded, chunks = fold(START, *wire.text_block(0, "one two"), *wire.finish("end_turn"))
    assert chunks == [TextDelta("one"), TextDelta(" two")]
    assert folded.completed().content == (TextBlock(text="one two"),)
    assert folded.completed().model == "claude-sonnet-5"


@pytest.mark.parametrize(
    ("asked", "answered", "cost"), [("dear", "dear-by-proxy", 35e-6), ("dear", "cheap", 3.5e-6), ("?", "??", 0.0)]
)
def test_an_answer_under_an_unpriced_name_costs_what_the_model_asked_for_costs(
    asked: str, answered: str, cost: float
) -> None:
    prices = PriceTable({"dear": Price(1, 1, 1, 1), "cheap": Price(0.1, 0.1, 0.1, 0.1)})
    folded = Accumulator(asked, Counts(), prices)
    for e in (wire.start(answered, 25), *wire.text_block(0, "one"), *wire.finish("end_turn", 10)):
        folded.feed(ServerSentEvent(e["type"], json.dumps(e).encode()))
    assert folded.completed().usage.cost_usd == pytest.approx(cost)


def test_thinking_keeps_its_signature_and_redacted_thinking_its_data() -> None:
    thinking = [
        wire.opened(0, {"type": "thinking", "thinking": "", "signature": ""}),
        wire.delta(0, "thinking_delta", thinking="hm"),
        wire.delta(0, "signature_delta", signature="c2ln"),
        wire.closed(0),
    ]
    redacted = [wire.opened(1, {"type": "redacted_thinking", "data": "xyz"}), wire.closed(1)]
    folded, chunks = fold(START, *thinking, *redacted, *wire.finish("end_turn"))
    assert chunks == [ThinkingDelta("hm")]
    assert folded.completed().content == (
        ThinkingBlock(thinking="hm", signature="c2ln"),
        RedactedThinkingBlock(data="xyz"),
    )


def test_a_tool_call_is_parsed_whole() -> None:
    folded, chunks = fold(START, *wire.tool_block(0, "read", '{"path": "/etc"}'), *wire.finish("tool_use"))
    pieces = [chunk for chunk in chunks if isinstance(chunk, ToolInputDelta)]
    assert "".join(piece.partial_json for piece in pieces) == '{"path": "/etc"}'
    assert folded.completed().content == (ToolUseBlock(id="toolu_fake", name="read", input={"path": "/etc"}),)


def test_a_tool_call_without_arguments_has_none() -> None:
    folded, _ = fold(START, *wire.tool_block(0, "now", ""), *wire.finish("tool_use"))
    assert folded.completed().content == (ToolUseBlock(id="toolu_fake", name="now", input={}),)


@pytest.mark.parametrize("stop_reason", ["max_tokens", "model_context_window_exceeded", "refusal"])
def test_a_call_in_an_answer_cut_short_is_never_runnable(stop_reason: str) -> None:
    folded, _ = fold(START, *wire.tool_block(0, "read", '{"path": "/"}'), *wire.finish(stop_reason))
    assert folded.completed().content == ()
    assert folded.completed().invalid_calls[0].name == "read"


def test_a_call_whose_block_never_closed_is_invalid() -> None:
    folded, _ = fold(START, *wire.tool_block(0, "read", "{}")[:-1], *wire.finish("tool_use"))
    assert folded.completed().content == ()
    assert folded.completed().invalid_calls[0].call_id == "toolu_fake"


@pytest.mark.parametrize(
    "raw",
    [
        '{"a": 1',
        '{"a": 1} x',
        '{"a": NaN}',
        '{"a": Infinity}',
        "[1]",
        "1",
        '{"a": "\\ud800"}',
        '{"a": 1e999}',
        "{a: 1}",
        '{"a": 123456789012345678901234567890}',
        '{"a": -9223372036854775809}',
        '{"a":' + "[" * 1000 + "]" * 1000 + "}",
        '{"a":' + "[" * 5000 + "]" * 5000 + "}",
    ],
)
def test_arguments_are_one_strict_json_object(raw: str) -> None:
    with pytest.raises(ValueError, match="arguments"):
        parse(raw)


def test_arguments_keep_what_was_written() -> None:
    assert parse('{"a": 9223372036854775807, "b": [1.5, null, "é"]}') == {"a": 2**63 - 1, "b": [1.5, None, "é"]}


def test_unknown_deltas_and_events_are_skipped_and_counted_and_no_block_is_kept_by_half() -> None:
    counts = Counts()
    strange = [wire.opened(0, {"type": "hologram"}), wire.delta(0, "light_delta", light=1), wire.closed(0)]
    odd = [wire.opened(1, {"type": "text", "text": ""}), wire.delta(1, "colour_delta", colour="red"), wire.closed(1)]
    folded, chunks = fold(START, {"type": "news"}, *strange, *odd, *wire.finish("end_turn"), counts=counts)
    assert chunks == []
    assert folded.completed().content == (TextBlock(text=""),)
    assert counts.snapshot() == {"llm.unknown_event": 1, "llm.unknown_block": 1, "llm.unknown_delta": 2}


def test_a_block_of_an_unknown_type_that_came_whole_is_kept_with_all_its_fields() -> None:
    hologram = {"type": "hologram", "id": "h1", "light": {"rays": [1, 2.5, None]}}
    folded, chunks = fold(START, wire.opened(0, hologram), wire.closed(0), *wire.finish("end_turn"))
    (block,) = folded.completed().content
    assert (chunks, block.model_dump()) == ([], hologram)
    unclosed, _ = fold(START, wire.opened(0, hologram), *wire.finish("end_turn"))
    assert unclosed.completed().content == ()


def test_citations_become_part_of_their_text() -> None:
    cited = {"type": "page_location", "cited_text": "Rivers rise.", "document_index": 0, "start_page_number": 2}
    folded, _ = fold(START, *wire.cited_block(0, "They rise.", cited), *wire.finish("end_turn"))
    assert folded.completed().content == (TextBlock(text="They rise.", citations=(cited,)),)


def test_what_the_provider_ran_itself_is_no_call_of_ours_and_is_counted_and_paid() -> None:
    events = [
        START,
        *wire.search_blocks(0, "rivers"),
        *wire.text_block(2, "So."),
        *wire.finish("end_turn", 0, searches=2),
    ]
    done = fold(*events)[0].completed()
    assert [block.type for block in done.content] == ["server_tool_use", "web_search_tool_result", "text"]
    assert (tool_uses(done.content), done.invalid_calls) == ((), ())
    assert done.usage.web_searches == 2
    assert done.usage.cost_usd == pytest.approx(25 * 2 / 1e6 + 2 * 0.01)


def test_a_search_whose_arguments_cannot_be_read_breaks_the_turn_unless_it_was_cut() -> None:
    block = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
    half = [wire.opened(0, block), wire.delta(0, "input_json_delta", partial_json='{"query": "riv'), wire.closed(0)]
    assert fold(START, *half, *wire.finish("max_tokens"))[0].completed().content == ()
    with pytest.raises(errors.ModelProtocolError, match="web_search"):
        fold(START, *half, *wire.finish("end_turn"))[0].completed()


def test_a_tool_at_work_at_the_provider_may_be_silent_for_as_long_as_thinking() -> None:
    blocks = wire.search_blocks(0, "rivers")
    asked = next(place for place, event in enumerate(blocks) if event["type"] == "content_block_stop") + 1
    assert fold(START, *blocks[:asked])[0].thinks
    assert not fold(START, *blocks[: asked + 1])[0].thinks


def test_pings_and_the_start_are_no_content() -> None:
    folded, _ = fold(START, {"type": "ping"})
    assert folded.contents == 0
    folded, _ = fold(START, wire.opened(0, {"type": "thinking", "thinking": ""}))
    assert (folded.contents, folded.thinks) == (1, True)


@pytest.mark.parametrize("upto", range(7))
def test_a_stream_that_ends_early_is_broken(upto: int) -> None:
    whole = [START, *wire.text_block(0, "one two"), *wire.finish("end_turn")]
    assert len(whole) == 7
    folded, _ = fold(*whole[:upto])
    with pytest.raises(errors.ModelStreamBroken):
        folded.completed()


def test_a_message_without_a_stop_reason_is_broken() -> None:
    folded, _ = fold(START, *wire.finish(None))
    with pytest.raises(errors.ModelStreamBroken, match="stop reason"):
        folded.completed()


@pytest.mark.parametrize(
    "events",
    [
        [START, START],
        wire.text_block(0, "x"),
        wire.finish("end_turn"),
        [START, wire.delta(0, "text_delta", text="x")],
        [START, wire.opened(0, {"type": "text"}), wire.opened(0, {"type": "text"})],
        [START, wire.opened(0, {"type": "text"}), wire.delta(0, "text_delta", text=5)],
        [START, wire.opened(0, {"type": "tool_use", "name": "x"})],
        [START, wire.opened(0, {"type": "server_tool_use", "id": "x"})],
        [START, wire.opened(0, {"type": "text", "text": "", "citations": ["x"]})],
        [START, wire.opened(0, {"type": "hologram", "deep": json.loads("[" * 200 + "]" * 200)})],
        [START, wire.opened(0, {"type": "text", "text": ""}), wire.delta(0, "citations_delta", citation="x")],
        [START, {"type": "message_delta", "delta": None}],
        [{"type": "error", "error": "?"}],
        [{"type": ["?"]}, {"type": "message_start", "message": []}],
    ],
)
def test_what_the_protocol_does_not_allow_is_a_protocol_error(events: list[dict[str, Any]]) -> None:
    with pytest.raises(errors.ModelProtocolError):
        fold(*events)


@pytest.mark.parametrize("data", [b"", b"null", b"[]", b'{"type": "ping"', b'{"type": "\xff"}', b"[DONE]"])
def test_bytes_that_are_no_event_are_a_protocol_error(data: bytes) -> None:
    with pytest.raises(errors.ModelProtocolError):
        Accumulator("m", Counts()).feed(ServerSentEvent("x", data))


def test_later_counts_replace_earlier_ones_and_cost_money() -> None:
    start = wire.start("claude-sonnet-5-20260630", input_tokens=1000)
    start["message"]["usage"] |= {"cache_read_input_tokens": 500, "cache_creation_input_tokens": None}
    end = wire.finish("end_turn", output_tokens=200)
    end[0]["usage"] |= {"cache_creation_input_tokens": 100}
    usage = fold(start, *end)[0].completed().usage
    assert (usage.input_tokens, usage.output_tokens) == (1000, 200)
    assert (usage.cache_read_tokens, usage.cache_write_tokens) == (500, 100)
    assert usage.cost_usd == pytest.approx((1000 * 2 + 200 * 10 + 500 * 0.2 + 100 * 2.5) / 1e6)


def test_prices_hold_for_a_model_and_its_snapshots_only() -> None:
    assert cost_usd("claude-opus-5", input_tokens=1_000_000, output_tokens=0) == 5
    assert cost_usd("claude-opus-5-latest", input_tokens=1_000_000, output_tokens=0) == 5
    assert cost_usd("claude-opus-5-9", input_tokens=1_000_000, output_tokens=0) == 0
    assert cost_usd("llama3.2", input_tokens=1_000_000, output_tokens=0) == 0
    assert cost_usd("claude-haiku-5-5", input_tokens=100_000, output_tokens=0) == pytest.approx(0.01)
    assert cost_usd("claude-haiku-5-5", input_tokens=100_001, output_tokens=0) == pytest.approx(0.0500005)


def test_whatever_the_bytes_a_stream_completes_or_raises_a_model_error() -> None:
    text, tool = wire.text_block(0, "Größe 🌊"), wire.tool_block(1, "read", '{"a": [1, "é"]}')
    whole = wire.encode(START, *text, *tool, *wire.finish("tool_use"))
    chance = random.Random(7)
    complete = 0
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(chance.randint(1, 3)):
            place = chance.randrange(len(data))
            data[place : place + chance.randint(0, 9)] = chance.randbytes(chance.randint(0, 3))
        complete += _survives(bytes(data))
    assert 0 < complete < 2000


def _survives(data: bytes) -> bool:
    folded, decoder = Accumulator("m", Counts()), SseDecoder()
    try:
        for event in decoder.feed(data):
            folded.feed(event)
        folded.completed()
    except errors.ModelError:
        return False
    return True
