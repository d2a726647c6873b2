"""Clients that record: raw sockets, nothing interpreted away, every whole event hashed as its bytes came.

A recorder follows one run to its end through whatever breaks, always resuming with the id of the last *whole* event, and keeps
each connection's segment. ``python -m tests.recorders PORT RUN FILE`` is one in a process of its own, which writes every
segment as a line of JSON the moment it ends.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable
from dataclasses import asdict
from pathlib import Path

from runtime.log.log import TERMINAL_TYPES
from tests.history import Segment, digest

AGAIN_S = 0.3
SILENCE_S = 40.0
"""Longer than any heartbeat: a stream that says nothing for so long is broken off, and that is noted."""
WHOLE_WITHIN_S = 600.0
"""For a recorder in a process of its own."""

_TERMINAL = [b'"type":"%s"' % kind.encode() for kind in TERMINAL_TYPES]


class Recorder:
    """One client of one run; ``heard`` and ``ended`` are there to be overridden."""

    def __init__(self, port: int, run_id: str, name: str) -> None:
        self._port = port
        self._run_id = run_id
        self.name = name
        self.cursor = ""
        self.segments: list[Segment] = []
        self.reconnects = 0
        self.silences = 0
        self.last_event_at = 0.0

    def heard(self, block: bytes) -> None:
        """Every block as it comes, comments too."""

    def ended(self, segment: Segment) -> None:
        """Every segment as its connection ends."""

    async def follow(self) -> None:
        """Until the run's last event has been seen."""
        while True:
            segment = Segment(self.name, self._run_id, self.cursor)
            self.segments.append(segment)
            try:
                await self._connection(segment)
            except TimeoutError:
                self.silences += 1
                segment.end = "silence"
            except (OSError, EOFError, ValueError) as error:
                segment.end = f"{type(error).__name__}: {error}"
            self.ended(segment)
            if segment.end == "whole":
                return
            self.reconnects += 1
            await asyncio.sleep(AGAIN_S)

    async def _connection(self, segment: Segment) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(self._request())
            head = await _patiently(reader.readuntil(b"\r\n\r\n"))
            status = int(head.split()[1])
            if status == 204:
                segment.end = "whole"
            elif status != 200 or b"chunked" not in head.lower():
                raise ValueError(f"status {status}")
            else:
                await self._frames(reader, segment)
        finally:
            writer.close()

    def _request(self) -> bytes:
        lines = [f"GET /v1/runs/{self._run_id}/events HTTP/1.1", "Host: localhost", "Accept: text/event-stream"]
        lines += [f"Last-Event-ID: {self.cursor}"] if self.cursor else []
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode()

    async def _frames(self, reader: asyncio.StreamReader, segment: Segment) -> None:
        gathered = b""
        async for piece in _pieces(reader):
            *blocks, gathered = (gathered + piece).split(b"\n\n")
            for block in blocks:
                self.heard(block)
                if not block.startswith(b"id: "):
                    continue  # a comment, or the time to come back
                self.cursor = block[4 : block.index(b"\n")].decode()
                self.last_event_at = asyncio.get_running_loop().time()
                segment.events.append((self.cursor, digest(block + b"\n\n")))
                if any(kind in block[: block.find(b'"data"')] for kind in _TERMINAL):
                    segment.end = "whole"
                    return


async def _pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """A chunked body as it comes, also of a chunk that never becomes whole; raises ``EOFError`` when it is cut."""
    while True:
        line = await _patiently(reader.readline())
        if not line.endswith(b"\r\n"):
            raise EOFError("cut between two chunks")
        left = int(line, 16)
        if left == 0:
            return
        while left > 0:
            piece = await _patiently(reader.read(left))
            if not piece:
                raise EOFError("cut in a chunk")
            left -= len(piece)
            yield piece
        await _patiently(reader.readexactly(2))


async def _patiently(reading: Awaitable[bytes]) -> bytes:
    async with asyncio.timeout(SILENCE_S):
        return await reading


class _Writer(Recorder):
    """Writes its segments into a file, so that they outlive its process."""

    def __init__(self, port: int, run_id: str, file: Path) -> None:
        super().__init__(port, run_id, file.stem)
        self._file = file

    def ended(self, segment: Segment) -> None:
        with self._file.open("a") as out:
            out.write(json.dumps(asdict(segment)) + "\n")


def read_segments(path: Path) -> list[Segment]:
    """What a recorder's process wrote; a last line that is not whole is left out."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    found = [Segment(**json.loads(line)) for line in lines]
    for segment in found:
        segment.events = [(event_id, fingerprint) for event_id, fingerprint in segment.events]
    return found


async def main(port: str, run: str, file: str) -> None:
    """Follow ``run`` at ``port``, writing to ``file``. Raises ``TimeoutError``."""
    async with asyncio.timeout(WHOLE_WITHIN_S):
        await _Writer(int(port), run, Path(file)).follow()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
