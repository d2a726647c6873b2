"""The real adapter over real HTTP on loopback: every fault one classification, every way out closes the socket."""

from __future__ import annotations

import asyncio
import socket
import time
import traceback
from collections.abc import AsyncIterator, Callable

import pytest

from runtime import errors
from runtime.clock import SystemClock
from runtime.events.messages import ToolUseBlock
from runtime.llm.anthropic import AnthropicClient
from runtime.llm.client import Chunk, TextDelta
from tests.fakes import messages_wire as wire
from tests.fakes.messages_faults import FAULTS, MATRIX, Reply
from tests.fakes.messages_server import MessagesServer
from tests.fakes.turns import KEY, asking, completed, impatient, play

LONG = "rate-50x4000"
"""A model that speaks for longer than any test."""


@pytest.fixture
async def server() -> AsyncIterator[MessagesServer]:
    async with MessagesServer() as running:
        yield running


@pytest.fixture
async def client(server: MessagesServer) -> AsyncIterator[AnthropicClient]:
    made = impatient(server.base_url)
    yield made
    await made.aclose()


async def until(condition: Callable[[], object], within_s: float = 2.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(0.002)


RAISES: dict[str, type[errors.ModelError]] = {
    "429-0.2": errors.ModelRateLimited,
    "429-90": errors.ModelRateLimited,
    "429-date": errors.ModelRateLimited,
    "429-garbage": errors.ModelRateLimited,
    "429-ms": errors.ModelRateLimited,
    "429-600": errors.ModelRateLimited,
    "429-7200": errors.ModelRateLimited,
    "400-retry": errors.ModelOverloaded,
    "429-negative": errors.ModelRateLimited,
    "529": errors.ModelOverloaded,
    "500": errors.ModelOverloaded,
    "502": errors.ModelOverloaded,
    "409": errors.ModelOverloaded,
    "500-no-retry": errors.ModelRequestRejected,
    "error-event": errors.ModelOverloaded,
    "error-event-rate": errors.ModelRateLimited,
    "error-event-invalid": errors.ModelRequestRejected,
    "error-event-key": errors.ModelUnauthorized,
    "error-event-new": errors.ModelProtocolError,
    "rst": errors.ModelStreamBroken,
    "rst-unanswered": errors.ModelStreamBroken,
    "fin": errors.ModelStreamBroken,
    "clean-eof": errors.ModelStreamBroken,
    "no-stop-reason": errors.ModelStreamBroken,
    "stall": errors.ModelTimeout,
    "ping-stall": errors.ModelTimeout,
    "first-stall": errors.ModelTimeout,
    "first-ping-stall": errors.ModelTimeout,
    "408": errors.ModelTimeout,
    "malformed-sse": errors.ModelProtocolError,
    "unknown-stop": errors.ModelStopUnknown,
    "page": errors.ModelProtocolError,
    "400": errors.ModelRequestRejected,
    "404": errors.ModelRequestRejected,
    "413": errors.ModelRequestRejected,
    "401": errors.ModelUnauthorized,
    "402": errors.ModelUnauthorized,
    "403": errors.ModelUnauthorized,
}
UNBILLED = frozenset(RAISES) & {
    *("429-0.2", "429-90", "429-date", "429-garbage", "429-ms", "429-negative", "429-600", "429-7200"),
    *("529", "500", "500-no-retry", "409", "400", "400-retry", "401", "402", "403", "404", "413"),
}
"""Refused outright: the provider did no work. Not among them: what a proxy says (408, 502), silence, and all in mid-stream."""
COMPLETES: dict[str, tuple[str, int]] = {
    "cut-tool-json": ("tool_use", 1),
    "cut-tool-json-max-tokens": ("max_tokens", 1),
    "whole-tool-max-tokens": ("max_tokens", 1),
    "trailing-garbage": ("tool_use", 1),
    "nan": ("tool_use", 1),
    "not-an-object": ("tool_use", 1),
    "refusal": ("refusal", 0),
    "pause-turn": ("pause_turn", 0),
    "max-tokens": ("max_tokens", 0),
    "context-window": ("model_context_window_exceeded", 0),
}
"""Stop reason and number of invalid calls."""


def test_every_fault_has_one_expectation() -> None:
    assert len(MATRIX) == 21
    assert not RAISES.keys() & COMPLETES.keys()
    assert RAISES.keys() | COMPLETES.keys() == FAULTS.keys()


@pytest.mark.parametrize("fault", RAISES)
async def test_a_fault_is_one_error_after_one_call(server: MessagesServer, client: AnthropicClient, fault: str) -> None:
    with pytest.raises(errors.ModelError) as caught:
        await play(client, asking(f"fault-{fault}"))
    assert type(caught.value) is RAISES[fault]
    assert caught.value.unbilled == (fault in UNBILLED)
    assert KEY not in caught.value.message
    assert 10 < len(caught.value.message) < 500
    assert len(server.calls) == 1
    await until(lambda: server.calls[0].closed)


@pytest.mark.parametrize("fault", COMPLETES)
async def test_a_stop_that_is_no_error_completes_with_nothing_to_run(client: AnthropicClient, fault: str) -> None:
    end = await completed(client, asking(f"fault-{fault}"))
    assert (end.stop_reason, len(end.invalid_calls)) == COMPLETES[fault]
    assert not [block for block in end.content if isinstance(block, ToolUseBlock)]


@pytest.mark.parametrize(
    ("fault", "least", "most"),
    [("429-0.2", 0.2, 0.2), ("429-90", 90, 90), ("429-ms", 0.15, 0.15), ("429-date", 25, 31)],
)
async def test_retry_after_is_read(client: AnthropicClient, fault: str, least: float, most: float) -> None:
    with pytest.raises(errors.ModelRateLimited) as caught:
        await play(client, asking(f"fault-{fault}"))
    assert least <= (caught.value.retry_after_s or 0) <= most


@pytest.mark.parametrize("fault", ["429-garbage", "429-negative", "529"])
async def test_a_senseless_retry_after_is_none(client: AnthropicClient, fault: str) -> None:
    with pytest.raises(errors.ModelError) as caught:
        await play(client, asking(f"fault-{fault}"))
    assert caught.value.retry_after_s is None


@pytest.mark.parametrize("fault", ["401", "error-event-key"])
async def test_a_wrong_key_names_the_setting_and_never_the_key(client: AnthropicClient, fault: str) -> None:
    with pytest.raises(errors.ModelUnauthorized, match=r"check ANTHROPIC_API_KEY.*bad key: \*\*\*") as caught:
        await play(client, asking(f"fault-{fault}"))
    assert KEY not in "".join(traceback.format_exception(caught.value))


async def test_nothing_listening_names_the_address_and_the_remedy() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://me:secret@127.0.0.1:{unused.getsockname()[1]}"
        lonely = AnthropicClient(KEY, url, SystemClock())
        with pytest.raises(errors.ModelUnreachable, match=r"http://127\.0\.0\.1:\d+ .*ANTHROPIC_BASE_URL") as caught:
            await play(lonely, asking("m"))
        await lonely.aclose()
    assert "secret" not in caught.value.message
    assert caught.value.unbilled


async def test_an_address_that_does_not_answer_is_a_timeout() -> None:
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)  # a full backlog drops what else wants to connect (Linux)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        client = AnthropicClient(KEY, f"http://127.0.0.1:{full.getsockname()[1]}", SystemClock(), 0.2)
        with pytest.raises(errors.ModelTimeout, match=r"no connection .* within 0\.2 s") as caught:
            await play(client, asking("m"))
        assert caught.value.unbilled
        await client.aclose()


async def test_what_was_shown_before_a_fault_was_shown(client: AnthropicClient) -> None:
    seen: list[Chunk] = []
    with pytest.raises(errors.ModelStreamBroken):
        await play(client, asking("fault-rst"), seen)
    assert seen == [TextDelta("This"), TextDelta(" will"), TextDelta(" not")]


async def test_aclose_closes_the_socket_at_once(server: MessagesServer, client: AnthropicClient) -> None:
    turn = client.stream(asking(LONG))
    await anext(turn)
    await turn.aclose()
    await until(lambda: server.calls[0].hung_up)


@pytest.mark.parametrize("model", [LONG, "fault-first-stall", "fault-stall"])
async def test_cancelling_closes_the_socket_at_once(
    server: MessagesServer, client: AnthropicClient, model: str
) -> None:
    task = asyncio.create_task(play(client, asking(model)))
    await until(lambda: server.calls)
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: server.calls[0].hung_up)


async def test_a_reset_of_everything_breaks_every_turn(server: MessagesServer, client: AnthropicClient) -> None:
    turns = [asyncio.create_task(play(client, asking(LONG))) for _ in range(3)]
    await until(lambda: len(server.calls) == 3 and all(call.bytes_sent > 2000 for call in server.calls))
    server.cut()
    for outcome in await asyncio.gather(*turns, return_exceptions=True):
        assert isinstance(outcome, errors.ModelStreamBroken)
    assert not any(call.hung_up for call in server.calls)


async def test_turns_that_end_well_share_a_connection(server: MessagesServer, client: AnthropicClient) -> None:
    for _ in range(3):
        await play(client, asking("plain"))
    assert {call.connection for call in server.calls} == {1}


async def test_a_slow_reader_is_no_silent_model(client: AnthropicClient) -> None:
    slept = False
    async for _ in client.stream(asking("rate-100")):
        if not slept:
            slept = True
            await asyncio.sleep(0.9)  # more than both content limits


async def test_a_slow_but_steady_model_is_waited_for(client: AnthropicClient) -> None:
    assert (await completed(client, asking("rate-20x12"))).stop_reason == "end_turn"


async def test_thinking_that_is_not_shown_may_take_as_long_as_the_first_content(
    client: AnthropicClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def thinks_in_silence(reply: Reply) -> None:
        await reply.stream()
        await reply.events(wire.start("m"), wire.opened(0, {"type": "thinking", "thinking": ""}))
        await asyncio.sleep(0.5)  # more than the progress limit, less than the first content's
        await reply.events(wire.closed(0), *wire.text_block(1, "So."), *wire.finish("end_turn"))
        await reply.end()

    monkeypatch.setitem(FAULTS, "thinks", thinks_in_silence)
    assert (await completed(client, asking("fault-thinks"))).stop_reason == "end_turn"


async def test_closing_the_client_breaks_its_turns(server: MessagesServer, client: AnthropicClient) -> None:
    task = asyncio.create_task(play(client, asking(LONG)))
    await until(lambda: server.calls and server.calls[0].bytes_sent > 2000)
    await client.aclose()
    with pytest.raises(errors.ModelError):
        await task
    await until(lambda: server.calls[0].hung_up)
    with pytest.raises(errors.ModelError):
        await play(client, asking("m"))


async def test_the_whole_turn_has_a_limit(server: MessagesServer) -> None:
    hasty = AnthropicClient(KEY, server.base_url, SystemClock(), turn_timeout_s=0.2)
    with pytest.raises(errors.ModelTimeout, match=r"turn took more than 0\.2 s"):
        await play(hasty, asking(LONG))
    await until(lambda: server.calls[0].hung_up)
    await hasty.aclose()


async def test_flaky_models_recover(client: AnthropicClient) -> None:
    for _ in range(2):
        with pytest.raises(errors.ModelOverloaded):
            await play(client, asking("flaky-2-529"))
    assert (await completed(client, asking("flaky-2-529"))).stop_reason == "end_turn"
