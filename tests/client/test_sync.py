"""The synchronous client: what the asynchronous one does, for programs without an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

import pytest

from runtime.client import ApiError, HeadraceSyncClient, RunView, reduce
from runtime.client.reconnect import Reconnect
from runtime.clock import ManualClock
from runtime.events.codec import public_json
from tests.client.raw_server import RUN_ID, RawServer, long_log, random_cuts, serving

T = TypeVar("T")


async def meanwhile(program: Callable[[], T]) -> T:
    """A program without a loop, in a thread; the server goes on in this one."""
    async with asyncio.timeout(30):
        return await asyncio.to_thread(program)


def client_of(server: RawServer, **options: object) -> HeadraceSyncClient:
    return HeadraceSyncClient(server.url, clock=ManualClock(), jitter=lambda: 0.5, **options)


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "headrace-client"]


async def test_a_stream_cut_at_random_bytes_is_read_exactly_once() -> None:
    server = RawServer(long_log(), cut=random_cuts(3, 25, 2600))

    def program() -> tuple[list[str], str | None]:
        lines, view = [], RunView()
        with client_of(server, reconnect=Reconnect(attempts=30)) as client:
            for event in client.stream("q", documents="/docs"):
                lines.append(event.line)
                view = reduce(view, event)
        return lines, view.answer

    async with serving(server):
        lines, answer = await meanwhile(program)
    assert [line.encode() for line in lines] == [public_json(event) for event in server.log]
    assert answer == "done"
    assert len(set(server.keys)) == 1
    assert threads() == []


async def test_plain_calls_and_errors() -> None:
    server = RawServer(long_log(2))

    def program() -> RunView:
        with client_of(server, api_key="k") as client:
            assert client.create("q")["run_id"] == RUN_ID
            assert client.runs()[0]["state"] == "completed"
            assert client.cancel(RUN_ID)["cancel_requested"] is True
            assert client.ready()
            with pytest.raises(ApiError) as caught:
                client.snapshot("unknown")
            assert (caught.value.status, caught.value.code) == (404, "missing")
            assert [event.seq for event in client.follow(RUN_ID, after=2)] == [3, 4]
            return client.ask("q")

    async with serving(server):
        view = await meanwhile(program)
    assert (view.answer, view.last_seq) == ("done", 4)
    assert len({*server.keys}) == 2


async def test_a_stream_that_is_left_early_closes_its_connection() -> None:
    server = RawServer(long_log(), hold_at=60)

    def program() -> None:
        with client_of(server) as client:
            events = client.stream("q")
            for event in events:
                if event.seq == 10:
                    break
            events.close()  # type: ignore[attr-defined]  # it is a generator
            assert client.cancel(RUN_ID)

    async with serving(server):
        await meanwhile(program)
        async with asyncio.timeout(5):
            await asyncio.gather(*server.handlers, return_exceptions=True)


async def test_closing_the_client_ends_its_streams_and_its_thread() -> None:
    server = RawServer(long_log(), hold_at=60)

    def program() -> None:
        client = client_of(server)
        events = client.follow(RUN_ID)
        assert next(events).seq == 1
        client.close()
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            client.runs()
        with pytest.raises((RuntimeError, StopIteration)):
            next(events)

    async with serving(server):
        await meanwhile(program)
    assert threads() == []


async def test_one_client_serves_several_threads() -> None:
    server = RawServer(long_log(30))

    async with serving(server):
        client = await asyncio.to_thread(client_of, server)
        reading = [meanwhile(lambda: [event.seq for event in client.follow(RUN_ID)]) for _ in range(5)]
        seen = await asyncio.gather(*reading)
        await asyncio.to_thread(client.close)
    assert seen == [list(range(1, 33))] * 5


class SleepsForEver(ManualClock):
    """Whoever waits on it waits until it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = threading.Event()

    async def sleep(self, seconds: float) -> None:
        self.waits.set()
        await asyncio.Event().wait()


async def test_a_reader_is_told_when_the_client_is_closed_while_it_waits_for_events() -> None:
    server = RawServer(long_log(), hold_at=60)

    async with serving(server):
        client = await asyncio.to_thread(client_of, server)
        waiting = asyncio.create_task(meanwhile(lambda: list(client.follow(RUN_ID))))
        while not server.resumed_at:
            await asyncio.sleep(0.01)
        await asyncio.to_thread(client.close)
        with pytest.raises(RuntimeError, match="closed"):
            await waiting


async def test_a_reader_is_told_when_the_client_is_closed_while_it_waits_to_come_back() -> None:
    server, clock = RawServer(long_log(), cut=lambda: 10), SleepsForEver()

    async with serving(server):
        client = await asyncio.to_thread(HeadraceSyncClient, server.url, clock=clock)
        waiting = asyncio.create_task(meanwhile(lambda: list(client.follow(RUN_ID))))
        await asyncio.to_thread(clock.waits.wait, 10)
        await asyncio.to_thread(client.close)
        with pytest.raises(RuntimeError, match="closed"):
            await waiting
