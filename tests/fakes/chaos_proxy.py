"""A TCP proxy that breaks things, for the HTTP door, PostgreSQL and the model alike; lives in the test's own process.

What happens to a connection is planned when it is accepted (``plan``, by its number: 1, 2, 3 ...); what happens to all of
them can be switched at any time: ``latency_s``, ``blackhole``, ``stalled``, ``reset_all``. Everything is counted.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

Direction = Literal["to client", "to server"]
CHUNK = 16 * 1024
SSL_REQUESTS = (80877103, 80877104)
"""PostgreSQL's codes of SSLRequest and GSSENCRequest, which are answered with one byte outside the protocol."""
READY = b"Z\x00\x00\x00\x05I"
"""PostgreSQL's ReadyForQuery outside a transaction: whatever was asked is committed, or never will be."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What is to happen to one connection; nothing by default."""

    cut_after: int | None = None
    """Bytes in ``direction`` that still pass; then the connection ends, inside whatever it is."""
    direction: Direction = "to client"
    reset: bool = True
    """End it with RST; else with FIN."""
    stall: bool = False
    """At the cut say nothing more, and keep the connection open."""
    drop_reply: bool = False
    """Let the request through, swallow the answer and reset: whoever asked cannot know."""
    drop_commit: int | None = None
    """PostgreSQL: swallow the answer to the N-th command of the connection that ends with ``commit_tag``, and reset."""
    commit_tag: bytes = b"COMMIT"


class ChaosProxy:
    """``async with ChaosProxy(host, port) as proxy``: connect to ``proxy.port`` on 127.0.0.1 instead."""

    def __init__(self, host: str, port: int, *, plan: Callable[[int], Fault] = lambda number: Fault()) -> None:
        self._target = (host, port)
        self._plan = plan
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.latency_s = 0.0
        self.blackhole = False
        """While true, bytes are taken and thrown away, and new connections are accepted and never answered."""
        self.lose_reply_to: bytes | None = None
        """PostgreSQL: the answer to the next request with these bytes in it is swallowed to its end; then a reset."""
        self.counts: Counter[str] = Counter()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> ChaosProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._server is not None
        self._server.close()
        self._flowing.set()
        self.reset_all()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stall(self, on: bool) -> None:
        """Hold every byte back (in order, none lost) until it is switched off."""
        if on:
            self._flowing.clear()
        else:
            self._flowing.set()

    def reset_all(self) -> None:
        """RST on everything that is open."""
        for writer in list(self._open):
            _reset(writer)

    def statistics(self) -> dict[str, int]:
        """Connections, bytes each way, and how often each fault struck."""
        return {"open": len(self._open) // 2, **self.counts}

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.counts["connections"] += 1
        fault = self._plan(self.counts["connections"])
        self._open.add(writer)
        upstream: asyncio.StreamWriter | None = None
        try:
            if self.blackhole:
                self.counts["blackholed"] += 1
                await reader.read()
                return
            above, upstream = await asyncio.open_connection(*self._target)
            self._open.add(upstream)
            await self._both(_Connection(self, fault, reader, writer, above, upstream))
        except (OSError, asyncio.CancelledError):
            self.counts["broken"] += 1
        finally:
            self._tasks.discard(task)
            for end in (writer, upstream):
                if end is not None:
                    self._open.discard(end)
                    end.close()

    async def _both(self, connection: _Connection) -> None:
        pumps = [asyncio.create_task(connection.down()), asyncio.create_task(connection.up())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            if not connection.over:  # one side has finished: what is under way to the other still arrives
                await asyncio.wait(pumps, timeout=5.0)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def pass_on(self) -> bool:
        """Wait as told; whether the bytes are to go on at all."""
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        await self._flowing.wait()
        return not self.blackhole


class _Connection:
    def __init__(
        self,
        proxy: ChaosProxy,
        fault: Fault,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        above: asyncio.StreamReader,
        upstream: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._fault = fault
        self._client, self._server = (reader, writer), (above, upstream)
        self._left = {"to client": None, "to server": None, fault.direction: fault.cut_after}
        self._commits = CommitCounter(fault.commit_tag, fault.drop_commit)
        self._losing = False
        self.over = False

    async def up(self) -> None:
        await self._pump(self._client[0], self._server[1], "to server")

    async def down(self) -> None:
        await self._pump(self._server[0], self._client[1], "to client")

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, direction: Direction) -> None:
        counts = self._proxy.counts
        while data := await source.read(CHUNK):
            if not await self._proxy.pass_on():
                counts["bytes thrown away"] += len(data)
                continue
            kept, struck = self._judge(data, direction)
            if kept:
                counts[f"bytes {direction}"] += len(kept)
                sink.write(kept)
                with suppress(OSError):
                    await sink.drain()
            if struck is not None:
                await self._strike(struck)
                return
        if sink.can_write_eof():
            with suppress(OSError):
                sink.write_eof()

    def _judge(self, data: bytes, direction: Direction) -> tuple[bytes, str | None]:
        """What still passes of ``data``, and the fault that strikes after it."""
        if direction == "to server":
            self._commits.asked(data)
            if self._proxy.lose_reply_to is not None and self._proxy.lose_reply_to in data:
                self._proxy.lose_reply_to, self._losing = None, True
        elif self._losing:
            return b"", "replies lost" if data.endswith(READY) else None
        elif self._fault.drop_reply:
            return b"", "replies dropped"
        elif self._fault.drop_commit is not None and (at := self._commits.answered(data)) is not None:
            return data[:at], "commits unanswered"
        left = self._left[direction]
        if left is None or len(data) < left:
            self._left[direction] = None if left is None else left - len(data)
            return data, None
        return data[:left], "cuts"

    async def _strike(self, what: str) -> None:
        self._proxy.counts[what] += 1
        if self._fault.stall and what == "cuts":
            await asyncio.Event().wait()
        self.over = True
        for _, writer in (self._client, self._server):
            if self._fault.reset or what != "cuts":
                _reset(writer)
            else:
                writer.close()


class CommitCounter:
    """Reads the server's side of a PostgreSQL connection, and finds the answer that is to be lost."""

    def __init__(self, tag: bytes, which: int | None) -> None:
        self._tag = tag
        self._which = which
        self._bare = 0
        self._buffer = b""
        self.seen = 0

    def asked(self, data: bytes) -> None:
        """Bytes to the server: an SSLRequest is answered with one bare byte."""
        if len(data) == 8 and struct.unpack("!ii", data)[1] in SSL_REQUESTS:
            self._bare += 1

    def answered(self, data: bytes) -> int | None:
        """Bytes from the server: where in ``data`` the doomed answer begins, or None."""
        if self._which is None:
            return None
        before = len(self._buffer)
        self._buffer += data
        at = 0
        while self._bare and at < len(self._buffer):
            self._bare, at = self._bare - 1, at + 1
        while len(self._buffer) >= at + 5:
            kind, length = self._buffer[at : at + 1], struct.unpack("!i", self._buffer[at + 1 : at + 5])[0]
            if len(self._buffer) < at + 1 + length:
                break
            if kind == b"C" and self._buffer[at + 5 : at + 1 + length].startswith(self._tag):
                self.seen += 1
                if self.seen == self._which:
                    return max(0, at - before)
            at += 1 + length
        self._buffer = self._buffer[at:]
        return None


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
