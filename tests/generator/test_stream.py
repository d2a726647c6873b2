import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import pytest
from starlette.types import Message

from runtime.errors import Busy, Fenced, StoreUnavailable
from runtime.events.envelope import Stored
from runtime.generator.sse import COME_BACK, HEARTBEAT, OPENING, STORE_UNAVAILABLE, frame
from runtime.generator.stream import EventStream, OpenStreams, ReaderTooSlow
from tests.generator.driver import Exchange, http_scope

SCOPE = http_scope("GET", "/v1/runs/x/events")


def event(seq: int) -> Stored:
    return Stored(seq, 1, "custom", "object", None, b'{"type":"custom"}')


class Script:
    """A door's generator: plays batches, raises errors, then waits for ever; counts how often it is closed."""

    def __init__(self, *steps: Sequence[Stored] | Exception | None, ends: bool = False) -> None:
        self.steps = steps
        self.ends = ends
        self.opened = 0
        self.closed = 0
        self.close_takes: Callable[[], Any] | None = None

    async def follow(self) -> AsyncGenerator[list[Stored], None]:
        self.opened += 1
        try:
            for step in self.steps:
                await asyncio.sleep(0)
                if isinstance(step, Exception):
                    raise step
                yield list(step or ())
            if not self.ends:
                await asyncio.Event().wait()
        finally:
            if self.close_takes is not None:
                await self.close_takes()
            self.closed += 1


def stream(script: Script, streams: OpenStreams | None = None, **options: Any) -> EventStream:
    return EventStream(script.follow, streams=streams or OpenStreams(10), **options)


async def test_headers_and_opening_are_out_before_the_log_is_touched() -> None:
    script = Script()
    exchange = Exchange(stream(script), SCOPE)
    exchange.block = True
    await asyncio.sleep(0.01)
    assert script.opened == 0  # not even the headers could be sent
    await exchange.leave()
    assert script.opened == 0

    exchange = Exchange(stream(script, headers={"Location": "/v1/runs/1"}), SCOPE)
    await exchange.until(lambda: len(exchange.sent) == 2)
    assert exchange.status == 200
    assert exchange.headers["content-type"].startswith("text/event-stream")
    assert exchange.headers["cache-control"] == "no-cache, no-transform"
    assert exchange.headers["x-accel-buffering"] == "no"
    assert exchange.headers["location"] == "/v1/runs/1"
    assert exchange.text == OPENING
    await exchange.leave()


async def test_batches_are_sent_whole_and_silence_is_a_heartbeat() -> None:
    script = Script([event(1), event(2)], None, [event(3)], ends=True)
    exchange = Exchange(stream(script), SCOPE)
    await exchange.done()
    bodies = [message["body"] for message in exchange.sent[1:]]
    assert bodies == [OPENING, frame(event(1)) + frame(event(2)), HEARTBEAT, frame(event(3)), b""]
    assert exchange.ended
    assert (script.opened, script.closed) == (1, 1)


async def test_client_that_leaves_closes_the_generator_once() -> None:
    streams = OpenStreams(10)
    script = Script([event(1)])
    exchange = Exchange(stream(script, streams), SCOPE)
    await exchange.until(lambda: len(exchange.sent) == 3)
    assert streams.count == 1
    await exchange.leave()
    assert script.closed == 1
    assert not exchange.ended
    await asyncio.sleep(0)
    assert streams.count == 0


async def test_client_that_leaves_while_a_send_hangs_closes_the_generator_once() -> None:
    script = Script([event(1)], [event(2)])
    exchange = Exchange(stream(script), SCOPE)
    await exchange.until(lambda: len(exchange.sent) == 2)
    exchange.block = True
    await asyncio.sleep(0.01)
    await exchange.leave()
    assert script.closed == 1


async def test_cancellation_of_the_request_closes_the_generator_once() -> None:
    script = Script([event(1)])
    exchange = Exchange(stream(script), SCOPE)
    await exchange.until(lambda: len(exchange.sent) == 3)
    exchange.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exchange.done()
    assert script.closed == 1


async def test_cancellation_delivered_again_does_not_disturb_the_closing() -> None:
    script = Script([event(1)])
    cleaning, may_finish = asyncio.Event(), asyncio.Event()

    async def slowly() -> None:
        cleaning.set()
        await may_finish.wait()

    script.close_takes = slowly
    streams = OpenStreams(10)
    exchange = Exchange(stream(script, streams), SCOPE)
    await exchange.until(lambda: len(exchange.sent) == 3)
    exchange.task.cancel()
    await cleaning.wait()
    exchange.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exchange.done()
    assert (script.closed, streams.count) == (0, 1)
    may_finish.set()
    while streams.count:
        await asyncio.sleep(0)
    assert script.closed == 1


async def test_store_away_is_told_and_ends_cleanly_with_a_time_to_come_back() -> None:
    script = Script([event(1)], StoreUnavailable("secret path"))
    exchange = Exchange(stream(script), SCOPE)
    await exchange.done()
    assert exchange.text == OPENING + frame(event(1)) + STORE_UNAVAILABLE + COME_BACK
    assert exchange.ended
    assert script.closed == 1


async def test_too_many_readers_are_asked_to_come_back() -> None:
    exchange = Exchange(stream(Script(Busy("51st"))), SCOPE)
    await exchange.done()
    assert exchange.status == 200
    assert exchange.text == OPENING + COME_BACK
    assert exchange.ended
    refused = Exchange(EventStream(None, streams=OpenStreams(0)), SCOPE)
    await refused.done()
    assert refused.text == OPENING + COME_BACK
    assert refused.ended


@pytest.mark.parametrize("error", [RuntimeError("bug"), Fenced("x"), TimeoutError()])
async def test_any_other_failure_breaks_the_connection(error: Exception) -> None:
    script = Script([event(1)], error)
    exchange = Exchange(stream(script), SCOPE)
    with pytest.raises(type(error)):
        await exchange.done()
    assert exchange.text == OPENING + frame(event(1))
    assert not exchange.ended
    assert script.closed == 1


async def test_reader_that_does_not_drain_is_dropped() -> None:
    script = Script([event(1)], [event(2)])
    exchange = Exchange(stream(script, send_deadline_s=0.05), SCOPE)
    await exchange.until(lambda: len(exchange.sent) == 2)
    exchange.block = True
    with pytest.raises(ReaderTooSlow):
        await exchange.done()
    assert script.closed == 1


async def test_send_that_raises_closes_the_generator() -> None:
    async def send(message: Message) -> None:
        if message.get("body", b"").startswith(b"id:"):
            raise OSError("connection lost")

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    script = Script([event(1)])
    with pytest.raises(OSError, match="connection lost"):
        await stream(script)(SCOPE, receive, send)
    assert script.closed == 1


async def test_head_gives_headers_and_does_not_follow() -> None:
    script = Script()
    exchange = Exchange(stream(script), http_scope("HEAD", "/v1/runs/x/events"))
    await exchange.done()
    assert (exchange.status, exchange.text, exchange.ended, script.opened) == (200, b"", True, 0)


def test_limit_of_open_streams() -> None:
    assert OpenStreams(0).full_for(SCOPE)
    assert not OpenStreams(1).full_for(SCOPE)
