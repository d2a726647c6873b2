"""Clients that follow runs over raw sockets, come back after every loss with their last whole id, and note every byte they saw."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from runtime.log.log import TERMINAL_TYPES
from tests.history import Segment, digest

AGAIN_S = 0.3
SILENCE_S = 40.0
"""Longer than any heartbeat: a stream that says nothing for so long is broken off, and that is noted."""


class Recorder:
    """One client of one run."""

    def __init__(self, port: int, run_id: str, name: str) -> None:
        self._port = port
        self._run_id = run_id
        self._name = name
        self.cursor = ""
        self.segments: list[Segment] = []
        self.reconnects = 0
        self.silences = 0
        self.last_event_at = 0.0

    async def follow(self) -> None:
        """Until the run's last event has been seen."""
        while True:
            segment = Segment(self._name, self._run_id, self.cursor)
            self.segments.append(segment)
            try:
                if await self._connection(segment):
                    return
            except TimeoutError:
                self.silences += 1
                segment.end = "silence"
            except (OSError, EOFError, ValueError) as error:
                segment.end = type(error).__name__
            self.reconnects += 1
            await asyncio.sleep(AGAIN_S)

    def heard(self, block: bytes) -> None:
        """Every block as it comes, comments too: for tests that want to know more."""

    async def _connection(self, segment: Segment) -> bool:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            lines = [f"GET /v1/runs/{self._run_id}/events HTTP/1.1", "Host: localhost", "Accept: text/event-stream"]
            lines += [f"Last-Event-ID: {self.cursor}"] if self.cursor else []
            writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode())
            async with asyncio.timeout(SILENCE_S):
                head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split()[1])
            if status == 204:
                segment.end = "whole"
                return True
            if status != 200:
                raise ValueError(f"status {status}")
            return await self._frames(reader, segment)
        finally:
            writer.close()

    async def _frames(self, reader: asyncio.StreamReader, segment: Segment) -> bool:
        gathered = b""
        async for chunk in _chunks(reader):
            gathered += chunk
            *blocks, gathered = gathered.split(b"\n\n")
            for block in blocks:
                self.heard(block)
                if not block.startswith(b"id: "):
                    continue
                event_id = block[4 : block.index(b"\n")].decode()
                segment.events.append((event_id, digest(block + b"\n\n")))
                self.cursor = event_id
                self.last_event_at = asyncio.get_running_loop().time()
                if any(b'"type":"%s"' % kind.encode() in block for kind in TERMINAL_TYPES):
                    segment.end = "whole"
                    return True
        return False


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The pieces of a chunked body; ends with it, raises ``EOFError`` when it is cut."""
    while True:
        async with asyncio.timeout(SILENCE_S):
            size = int(await reader.readline() or b"-1", 16)
        if size < 0:
            raise EOFError
        if size == 0:
            return
        async with asyncio.timeout(SILENCE_S):
            yield (await reader.readexactly(size + 2))[:-2]
