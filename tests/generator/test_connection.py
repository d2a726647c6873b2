"""Deadlines and limits of one connection, with the shipped values, in virtual time: the socket is a twin in memory."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from runtime.clock import ManualClock
from runtime.config import Settings
from runtime.generator.app import build_app
from runtime.generator.connection import MAX_HEAD_BYTES, Connection
from runtime.ids import new_id
from tests.generator.memory_door import MemoryDoor
from tests.virtual_time import virtual_time

HOST = b"Host: localhost\r\n"
GET = b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /v1/runs HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"


class Wire(asyncio.Transport):
    """A socket's twin: what was written, when it was ended; ``unsent`` bytes wait for a client that does not read."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.get_running_loop()
        self.written = bytearray()
        self.unsent = 0
        self.ended_at: float | None = None
        self.aborted_at: float | None = None

    def write(self, data: Any) -> None:
        assert self.ended_at is None
        self.written += data

    def write_eof(self) -> None:
        self.ended_at = self.loop.time()

    def can_write_eof(self) -> bool:
        return True

    def abort(self) -> None:
        self.aborted_at = self.loop.time()

    def close(self) -> None:
        self.abort()

    def is_closing(self) -> bool:
        return self.aborted_at is not None

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Line:
    """A connection and its wire."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(app, log_config=None, lifespan="off", http=Connection)
        config.load()
        self.wire = Wire()
        self.protocol = Connection(config, ServerState(), {}, asyncio.get_running_loop())
        self.protocol.connection_made(self.wire)

    async def send(self, data: bytes) -> None:
        """What a socket would deliver, and time for the application to work."""
        self.protocol.data_received(data)
        for _ in range(50):
            await asyncio.sleep(0)

    async def trickle(self, data: bytes, seconds: int) -> None:
        """One byte a second, as long as there is somebody to send to."""
        for n in range(seconds):
            if self.wire.aborted_at is None:
                self.protocol.data_received(data[n % len(data) : n % len(data) + 1])
            await asyncio.sleep(1)

    @property
    def text(self) -> str:
        return self.wire.written.decode()

    @property
    def statuses(self) -> list[str]:
        return re.findall(r"HTTP/1\.1 ([0-9]{3}) ", self.text)


def line(door: MemoryDoor | None = None) -> Line:
    door = door or MemoryDoor(ManualClock())
    return Line(build_app(door, Settings(model="offline"), clock=door.clock, new_id=new_id, team=tuple))


@virtual_time
async def test_head_that_trickles_in_is_given_up_after_ten_seconds() -> None:
    slow = line()
    await slow.trickle(b"GET /healthz HTTP/1.1\r\nX-A: " + b"a" * 60, 40)
    assert slow.statuses == ["408"] and '"code":"head_timeout"' in slow.text
    assert slow.wire.ended_at == pytest.approx(10)
    assert slow.wire.aborted_at == pytest.approx(20), "it went on sending"


@virtual_time
async def test_connection_that_says_nothing_is_closed_without_a_word() -> None:
    silent = line()
    await asyncio.sleep(20)
    assert silent.wire.ended_at == pytest.approx(10) and not silent.wire.written
    assert silent.wire.aborted_at == pytest.approx(12)


@virtual_time
async def test_line_ends_alone_do_not_keep_a_connection_open() -> None:
    before, after = line(), line()
    await after.send(GET)
    await asyncio.gather(before.trickle(b"\r\n", 30), after.trickle(b"\r\n", 30))
    assert before.wire.ended_at == pytest.approx(10)
    assert after.wire.ended_at == pytest.approx(10) and after.statuses == ["200"]


@virtual_time
async def test_second_request_has_the_same_deadline() -> None:
    slow = line()
    await slow.send(GET)
    await asyncio.sleep(3)
    await slow.trickle(b"GET /healthz HTTP/1.1\r\nX-A: " + b"a" * 60, 40)
    assert slow.statuses == ["200", "408"]
    assert slow.wire.ended_at == pytest.approx(13)


@virtual_time
async def test_body_that_trickles_in_is_given_up_after_thirty_seconds() -> None:
    door = MemoryDoor(ManualClock())
    slow = line(door)
    await slow.send(POST + b"Content-Length: 900\r\n\r\n")
    await slow.trickle(b" ", 60)
    assert slow.statuses == ["408"] and '"code":"body_timeout"' in slow.text
    assert slow.wire.ended_at == pytest.approx(30) and slow.wire.aborted_at == pytest.approx(40)
    assert not door.runs


@virtual_time
async def test_body_that_nobody_reads_does_not_keep_a_connection_open() -> None:
    slow = line()
    await slow.send(b"GET /healthz HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n")
    assert slow.statuses == ["200"]
    await slow.trickle(b"1\r\na\r\n", 60)
    assert slow.statuses == ["200"] and slow.wire.ended_at == pytest.approx(32)


@virtual_time
async def test_request_that_is_whole_may_take_as_long_as_it_takes() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(100)
        await _answer(send)

    patient = Line(app)
    await patient.send(GET)
    await asyncio.sleep(101)
    assert patient.statuses == ["200"]


@virtual_time
async def test_head_without_an_end_is_refused_while_it_comes() -> None:
    for endless in (b"GET /healthz HTTP/1.1\r\nX-A: " + b"a" * MAX_HEAD_BYTES, b"GET /" + b"x" * MAX_HEAD_BYTES):
        large = line()
        for at in range(0, len(endless), 1000):
            await large.send(endless[at : at + 1000])
        assert large.statuses == ["431"] and large.wire.ended_at == 0


@virtual_time
async def test_heads_that_came_before_are_not_counted() -> None:
    steady = line()
    for _ in range(2 * MAX_HEAD_BYTES // len(GET)):
        await steady.send(GET)
    assert set(steady.statuses) == {"200"}


@virtual_time
async def test_trailers_do_not_become_headers() -> None:
    seen: list[list[tuple[bytes, bytes]]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        seen.append(scope["headers"])
        await _answer(send)

    await Line(app).send(POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nAuthorization: Bearer x\r\n\r\n")
    assert [name for name, _ in seen[0]] == [b"host", b"content-type", b"transfer-encoding"]


class Streaming:
    """An application that answers over and over until ``over``."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        await self.over.wait()
        await send({"type": "http.response.body", "body": b"last"})


@virtual_time
async def test_rubbish_after_a_request_does_not_reach_into_its_answer() -> None:
    app = Streaming()
    stream = Line(app)
    await stream.send(GET)
    await stream.send(b"rubbish\r\n\r\n" + GET)
    await stream.trickle(b"\x00", 20)
    assert stream.wire.ended_at is None
    app.over.set()
    await asyncio.sleep(1)
    assert stream.statuses == ["200"] and stream.text.endswith("5\r\nfirst\r\n4\r\nlast\r\n0\r\n\r\n")
    assert stream.wire.ended_at == pytest.approx(20)


@virtual_time
async def test_what_was_asked_before_the_rubbish_is_answered() -> None:
    queue = line()
    await queue.send(GET + GET + b"GET /\x00")
    assert queue.statuses == ["200", "200"] and queue.wire.ended_at == 0


@virtual_time
async def test_what_trickles_in_behind_a_stream_leaves_it_alone() -> None:
    for late in (b"GET / HTTP/1.1\r\nX-A: " + b"a" * 60, POST + b"Content-Length: 900\r\n\r\n" + b" " * 99):
        app = Streaming()
        stream = Line(app)
        await stream.send(GET)
        await stream.send(late[:100])
        await stream.trickle(late[100:] or b"a", 60)
        assert stream.statuses == ["200"] and stream.wire.ended_at is None
        app.over.set()
        await asyncio.sleep(1)
        assert stream.statuses == ["200"] and stream.text.endswith("0\r\n\r\n") and stream.wire.ended_at is not None


@virtual_time
async def test_body_that_breaks_off_creates_nothing_and_gets_its_400() -> None:
    door = MemoryDoor(ManualClock())
    broken = line(door)
    await broken.send(POST + b"Transfer-Encoding: chunked\r\n\r\n10\r\n")
    await broken.send(b'{"input":"Why?"}XX')
    assert broken.statuses == ["400"] and '"code":"malformed_request"' in broken.text
    assert not door.runs


@virtual_time
async def test_client_that_still_takes_in_its_answer_is_not_cut_off_and_one_that_does_not_is() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await _answer(send, [(b"connection", b"close")])

    slow, stopped = Line(app), Line(app)
    slow.wire.unsent = stopped.wire.unsent = 5000
    for one in (slow, stopped):
        await one.send(GET)
    for _ in range(5):
        await asyncio.sleep(1.9)
        slow.wire.unsent -= 1000
        assert slow.wire.aborted_at is None
    await asyncio.sleep(6)
    assert stopped.wire.aborted_at == pytest.approx(2)
    assert slow.wire.aborted_at is not None and slow.wire.aborted_at > 11


@virtual_time
async def test_nothing_is_upgraded() -> None:
    for to in (b"h2c", b"websocket"):
        upgrade = line()
        await upgrade.send(GET[:-2] + b"Connection: Upgrade\r\nUpgrade: " + to + b"\r\nSec-WebSocket-Key: a\r\n\r\n")
        assert upgrade.statuses == ["200"] and "connection: close" in upgrade.text


async def _answer(send: Callable[[Any], Awaitable[None]], headers: list[tuple[bytes, bytes]] | None = None) -> None:
    length = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": length + (headers or [])})
    await send({"type": "http.response.body", "body": b"ok"})
