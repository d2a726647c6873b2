"""The client over real connections that break: every event once, in order, to the end."""

from __future__ import annotations

import socket
from contextlib import aclosing

import pytest

from runtime.client import HeadraceClient
from runtime.client.cursor import Cursor
from runtime.client.errors import Unreachable
from runtime.client.reconnect import Reconnect
from runtime.client.sse import Frame
from runtime.clock import ManualClock
from runtime.errors import Busy, Conflict, HeadraceError, InvalidRequest, NotFound
from runtime.events.codec import public_json
from tests.client.raw_server import RUN_ID, RawServer, long_log, random_cuts, serving


def client_of(server: RawServer, **options: object) -> HeadraceClient:
    return HeadraceClient(server.url, clock=ManualClock(), jitter=lambda: 0.5, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("orderly", [False, True])
async def test_a_stream_cut_at_random_bytes_is_read_exactly_once(seed: int, orderly: bool) -> None:
    server = RawServer(long_log(), cut=random_cuts(seed, 25, 2600), orderly=orderly)
    async with serving(server), client_of(server, reconnect=Reconnect(attempts=30)) as client:
        lines = [received.line async for received in client.stream("q", documents="/docs")]
    assert [line.encode() for line in lines] == [public_json(event) for event in server.log]
    assert server.posts[0] == {"input": "q", "documents": "/docs"}
    assert len(server.resumed_at) >= 20
    assert len(set(server.keys)) == 1


async def test_a_second_reader_from_the_middle_gets_the_rest() -> None:
    server = RawServer(long_log())
    async with serving(server), client_of(server) as client:
        assert [e.seq async for e in client.follow(RUN_ID, after=100)] == list(range(101, 123))
        assert [e.seq async for e in client.follow(RUN_ID, after=122)] == []
    assert server.resumed_at == ["100", "122"]


async def test_an_early_leaver_closes_its_connection() -> None:
    server = RawServer(long_log(), hold_at=60)
    async with serving(server), client_of(server) as client, aclosing(client.stream("q")) as events:
        async for event in events:
            if event.seq == 10:
                break


async def test_a_server_that_always_breaks_is_given_up_with_a_sentence() -> None:
    server = RawServer(long_log(), cut=lambda: 10)
    clock = ManualClock()
    async with serving(server), HeadraceClient(server.url, clock=clock, jitter=lambda: 0.5) as client:
        with pytest.raises(Unreachable, match=r"broke after event 0.*8 attempts"):
            async for _ in client.follow(RUN_ID):
                pass
    assert len(clock.slept) == 7
    assert max(clock.slept) <= 10


async def test_refused_connection_names_the_remedy() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with HeadraceClient(url) as client:
            with pytest.raises(Unreachable, match=r"nothing answers at http.*headrace serve"):
                await client.runs()
            with pytest.raises(Unreachable, match="headrace serve"):
                async for _ in client.stream("q"):
                    pass
            assert not await client.ready()


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, InvalidRequest),
        (422, InvalidRequest),
        (404, NotFound),
        (409, Conflict),
        (429, Busy),
        (503, Busy),
        (500, HeadraceError),
    ],
)
async def test_problems_become_our_errors(status: int, expected: type[HeadraceError]) -> None:
    server = RawServer(long_log(1), refuse=(status, {"detail": "because", "code": "conversation_busy"}))
    async with serving(server), client_of(server) as client:
        for call in (client.create("q"), anext(client.stream("q"))):
            with pytest.raises(expected) as caught:
                await call
            assert caught.value.message == "because"
            if isinstance(caught.value, Conflict):
                assert caught.value.reason == "conversation_busy"
            if isinstance(caught.value, Busy):
                assert caught.value.retry_after_s == 7


async def test_a_resume_is_sent_with_a_key_and_only_what_was_wished() -> None:
    server = RawServer(long_log(1))
    plan = {"todos": [{"id": "a", "title": "A", "agent": "research"}]}
    async with serving(server), client_of(server) as client:
        assert (await client.resume(RUN_ID, from_stage="a", plan=plan, budget_usd=None))["run_id"] == RUN_ID
        await client.resume(RUN_ID)
        with pytest.raises(NotFound):
            await client.resume("../unknown")
    assert server.paths == [f"/v1/runs/{RUN_ID}/resume"] * 2
    assert server.posts == [{"from_stage": "a", "plan": plan}, {}]
    assert len(set(server.keys)) == 2
    assert all(server.keys)


async def test_a_resumed_stream_that_is_cut_meets_the_same_run_again() -> None:
    server = RawServer(long_log(), cut=random_cuts(7, 25, 2600))
    async with serving(server), client_of(server, reconnect=Reconnect(attempts=30)) as client:
        lines = [received.line async for received in client.resume_stream(RUN_ID, from_stage="s")]
    assert [line.encode() for line in lines] == [public_json(event) for event in server.log]
    assert set(server.paths) == {f"/v1/runs/{RUN_ID}/resume"}
    assert server.posts[0] == {"from_stage": "s"}
    assert len(set(server.keys)) == 1


@pytest.mark.parametrize("reason", ["run_unfinished", "not_resumable"])
async def test_a_run_that_cannot_be_resumed_is_a_conflict_with_its_reason(reason: str) -> None:
    server = RawServer(long_log(1), refuse=(409, {"detail": "because", "code": reason}))
    async with serving(server), client_of(server) as client:
        for call in (client.resume(RUN_ID), anext(client.resume_stream(RUN_ID))):
            with pytest.raises(Conflict, match="because") as caught:
                await call
            assert caught.value.reason == reason


async def test_a_problem_tells_each_mistake_once() -> None:
    errors = [{"pointer": "/a", "detail": "one"}, {"pointer": "/b", "detail": "two"}]
    server = RawServer(long_log(1), refuse=(422, {"detail": "It does not fit: one.", "errors": errors}))
    async with serving(server), client_of(server) as client:
        with pytest.raises(InvalidRequest) as caught:
            await client.create("q")
    assert caught.value.message == "It does not fit: one.; /b: two"


async def test_plain_calls() -> None:
    server = RawServer(long_log(1))
    async with serving(server), client_of(server) as client:
        assert (await client.create("q"))["run_id"] == RUN_ID
        assert (await client.runs())[0]["state"] == "completed"
        assert (await client.cancel(RUN_ID))["cancel_requested"] is True
        assert await client.ready()
        with pytest.raises(NotFound):
            await client.snapshot("unknown")


def test_unknown_types_are_passed_over_but_counted() -> None:
    cursor = Cursor()
    unknown = '{"seq":1,"epoch":1,"run_id":"r","family":"object","type":"from.tomorrow","at":1.0,"data":{}}'
    received = cursor.take(Frame("1.1", "object", unknown))
    assert received is not None
    assert received.envelope is None
    assert cursor.headers() == {"Last-Event-ID": "1.1"}


def test_a_gap_is_never_passed_over() -> None:
    with pytest.raises(HeadraceError, match="event 1 is missing"):
        Cursor().take(Frame("2.1", "object", "{}"))


def test_waits_are_bounded_and_end() -> None:
    policy = Reconnect(attempts=4)
    assert [policy.delay(n, 0.5) for n in (1, 2, 3, 4)] == [0.125, 0.25, 0.5, None]
    assert policy.delay(1, 0.0, asked_s=5.0) == 5.0
    assert policy.delay(1, 0.0, asked_s=500.0) == policy.most_s
