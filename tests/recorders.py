"""Clients that record: raw sockets, nothing interpreted away, every whole event hashed as its bytes came.

A recorder follows one run to its end through whatever breaks, always resuming with the id of the last *whole* event, and
writes each connection's segment as a line of JSON the moment it ends. ``python -m tests.recorders PORT RUN FILE`` is one in
a process of its own; ``Recorder.follow`` is the same for a thread.
"""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path

from tests.history import Segment, digest

TERMINAL = re.compile(rb'"type":"run\.(?:completed|failed|cancelled|expired)"')
PAUSE_S = 0.05
GONE = (404, 409, 410)
"""Answers after which the same cursor is of no more use: noted as the segment's end."""


class Recorder:
    """One client of one run. ``write`` gets every segment as it ends."""

    def __init__(
        self,
        name: str,
        port: int,
        run: str,
        write: Callable[[Segment], object],
        *,
        headers: dict[str, str] | None = None,
    ) -> None:
        self._name = name
        self._port = port
        self._run = run
        self._write = write
        self._headers = headers or {}
        self.cursor = ""
        self.connections = 0

    def follow(self, *, within_s: float = 120.0) -> str:
        """Until the run's last event, or an answer that ends it; answers how it ended. Raises ``TimeoutError``."""
        end = time.monotonic() + within_s
        while time.monotonic() < end:
            segment = Segment(self._name, self._run, self.cursor)
            try:
                self._connect(segment, end)
            except OSError as error:
                segment.end = segment.end or f"broken: {type(error).__name__}"
            if segment.events:
                self.cursor = segment.events[-1][0]
            self._write(segment)
            if segment.end == "whole" or segment.end in map(str, GONE):
                return segment.end
            time.sleep(PAUSE_S)
        raise TimeoutError(f"{self._name} stands at {self.cursor or 'the start'} of {self._run} after {within_s:g} s")

    def _connect(self, segment: Segment, end: float) -> None:
        self.connections += 1
        with socket.create_connection(
            ("127.0.0.1", self._port), timeout=max(0.1, end - time.monotonic())
        ) as connection:
            connection.sendall(self._request())
            body = _body(connection, segment)
            pending = b""
            for data in body:
                *blocks, pending = (pending + data).split(b"\n\n")
                for block in blocks:
                    self._take(segment, block + b"\n\n")
                    if segment.end == "whole":
                        return

    def _take(self, segment: Segment, frame: bytes) -> None:
        if not frame.startswith(b"id: "):
            return  # a comment, or the time to come back
        event_id = frame[4 : frame.index(b"\n")].decode()
        segment.events.append((event_id, digest(frame)))
        if TERMINAL.search(frame[: frame.find(b'"data"')]):
            segment.end = "whole"

    def _request(self) -> bytes:
        headers = {"Host": f"127.0.0.1:{self._port}", "Accept": "text/event-stream", "Connection": "close"}
        if self.cursor:
            headers["Last-Event-ID"] = self.cursor
        lines = [f"{name}: {value}" for name, value in {**headers, **self._headers}.items()]
        return "\r\n".join([f"GET /v1/runs/{self._run}/events HTTP/1.1", *lines, "", ""]).encode()


def _body(connection: socket.socket, segment: Segment) -> Iterator[bytes]:
    """The body's bytes as they come, also of a chunk that never becomes whole. Notes any status but 200."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += _received(connection)
    head, _, raw = raw.partition(b"\r\n\r\n")
    status = int(head.split(b" ", 2)[1])
    if status != 200:
        segment.end = "whole" if status == 204 else str(status)
        return
    if b"chunked" not in head.lower():
        raise ConnectionError("the stream is not chunked")
    while True:
        while b"\r\n" not in raw:
            raw += _received(connection)
        size, _, raw = raw.partition(b"\r\n")
        left = int(size, 16)
        if left == 0:
            return
        while left > 0:
            if not raw:
                raw = _received(connection)
            piece, raw = raw[:left], raw[left:]
            left -= len(piece)
            yield piece
        while len(raw) < 2:
            raw += _received(connection)
        raw = raw[2:]


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("closed")
    return data


def read_segments(path: Path) -> list[Segment]:
    """What a recorder's process wrote; a last line that is not whole is left out."""
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    found = [Segment(**json.loads(line)) for line in lines]
    for segment in found:
        segment.events = [(event_id, fingerprint) for event_id, fingerprint in segment.events]
    return found


def main(port: str, run: str, file: str) -> None:
    """Follow ``run`` at ``port``, writing to ``file``; raises when it does not come to its end in ten minutes."""
    with Path(file).open("a", buffering=1) as out:
        Recorder(Path(file).stem, int(port), run, lambda s: out.write(json.dumps(asdict(s)) + "\n")).follow(
            within_s=600.0
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
