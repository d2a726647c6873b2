"""A Messages API server for tests: raw asyncio, none of our runtime's code, faults chosen by the model's name.

In a test::

    async with MessagesServer() as server:
        client = AnthropicClient("key", server.base_url, clock)

As a process: ``python tests/fakes/messages_server.py --port 0`` prints ``listening on PORT``.

Models: ``fault-NAME``, ``flaky-K-NAME`` and ``late-K-NAME`` (:mod:`tests.fakes.messages_faults`); ``rate-50`` and
``rate-50x400`` speak at 50 tokens a second (400 words long); ``window-900x6`` calls its first tool six times before it
answers, and has a window of 900 tokens; a name in ``recordings`` gets those bytes; any other is the
assistant of :mod:`tests.fakes.messages_assistant` at ``token_rate``. ``GET /calls`` gives the calls as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import re
import socket
import struct
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Self

if not __package__:  # run as a script: the repository's root is not on the path then
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.fakes import messages_assistant as assistant
from tests.fakes import messages_faults as faults
from tests.fakes import messages_wire as wire


@dataclasses.dataclass
class Call:
    """One request, as the server saw it; times are monotonic seconds."""

    path: str
    model: str
    body: dict[str, Any]
    headers: dict[str, str]
    opened: float
    connection: int
    closed: float | None = None
    bytes_sent: int = 0
    hung_up: bool = False
    """The client closed before the answer was over."""


class Connection:
    """One client's connection; implements :class:`tests.fakes.messages_faults.Reply` for the call being answered."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer
        self.early = b""
        self.call: Call | None = None
        self.key = ""
        self.left = False
        """We closed first: a fault, or the server was told to cut."""

    async def request(self) -> tuple[str, dict[str, str], bytes]:
        head = self.early + await self.reader.readuntil(b"\r\n\r\n")
        self.early = b""
        first, *rows = head.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (row.partition(":") for row in rows)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        self.key = headers.get("authorization", "").removeprefix("Bearer ")
        return first.split(" ")[1], headers, body

    async def write(self, data: bytes) -> None:
        if self.call is not None:
            self.call.bytes_sent += len(data)
        self.writer.write(data)
        await self.writer.drain()

    async def refuse(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        payload = (body if isinstance(body, str) else json.dumps(body)).encode()
        kind = "text/html" if isinstance(body, str) else "application/json"
        rows = {"content-type": kind, "content-length": str(len(payload)), **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in rows.items())
        await self.write(f"HTTP/1.1 {status} Status\r\n{head}\r\n".encode() + payload)

    async def stream(self, content_type: str = "text/event-stream") -> None:
        await self.write(
            f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        )

    async def events(self, *events: wire.Event) -> None:
        await self.raw(wire.encode(*events))

    async def raw(self, data: bytes) -> None:
        await self.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    async def end(self) -> None:
        await self.write(b"0\r\n\r\n")

    def fin(self) -> None:
        self.left = True
        self.writer.write(b"ff\r\nevent: content_bl")
        self.writer.close()

    def reset(self) -> None:
        self.left = True
        linger = struct.pack("ii", 1, 0)  # on, for 0 seconds: closing sends RST, not FIN
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()


class MessagesServer:
    """The server; ``calls`` is its log. ``token_rate`` is words a second, 0 for as fast as possible."""

    def __init__(self, token_rate: float = 0.0, port: int = 0, recordings: dict[str, bytes] | None = None) -> None:
        self.token_rate = token_rate
        self.port = port
        self.recordings = recordings or {}
        self.piece_bytes = 0
        """Over 0, recordings are sent in pieces of that many bytes, to split events and UTF-8 anywhere."""
        self.counts = True
        """Whether it counts tokens when it is asked to; some servers of the API do not."""
        self.calls: list[Call] = []
        self._cache: set[str] = set()
        self._seen: Counter[str] = Counter()
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._connections = 0
        self._server: asyncio.Server | None = None

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        tasks = [task for task in self._open if task is not asyncio.current_task()]
        self.cut()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every open connection, in whatever it is doing."""
        for connection in list(self._open.values()):
            connection.reset()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections += 1
        connection = self._open[task] = Connection(self._connections, reader, writer)
        try:
            while not writer.is_closing():
                path, headers, body = await connection.request()
                await self._handle(connection, path, headers, body)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is gone, or the fault was to go
        except asyncio.CancelledError:
            pass  # the server stops; asyncio would log a cancelled handler as an error
        finally:
            del self._open[task]
            writer.close()

    async def _handle(self, connection: Connection, path: str, headers: dict[str, str], body: bytes) -> None:
        connection.call = None
        if path == "/calls":
            await connection.refuse(200, {"calls": [dataclasses.asdict(call) for call in self.calls]})
            return
        asked = json.loads(body)
        call = Call(path, asked["model"], asked, headers, time.monotonic(), connection.number)
        self.calls.append(call)
        connection.call = call
        if path == "/v1/messages/count_tokens":
            await self._counted(connection, asked)
        elif path == "/v1/messages":
            await self._watched(connection, call)
        else:
            await connection.refuse(404, wire.error("not_found_error"))
        call.closed = call.closed or time.monotonic()

    async def _counted(self, connection: Connection, asked: dict[str, Any]) -> None:
        if self.counts:
            await connection.refuse(200, {"input_tokens": tokens_of(asked)})
        else:
            await connection.refuse(404, wire.error("not_found_error"))

    async def _watched(self, connection: Connection, call: Call) -> None:
        """Answer, and notice at once when the client goes away."""
        work = asyncio.create_task(self._answer(connection, call))
        watch = asyncio.create_task(connection.reader.read(1))
        try:
            await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
            # Nothing read, or a reset instead: the client went. A byte read is the next request, come early.
            gone = work.exception() if work.done() else watch.exception() or watch.result() or ConnectionError()
            call.hung_up = isinstance(gone, ConnectionError) and not connection.left
        finally:
            call.closed = time.monotonic()
            for task in (work, watch):
                task.cancel()
            outcomes = await asyncio.gather(work, watch, return_exceptions=True)
        connection.early = outcomes[1] if isinstance(outcomes[1], bytes) else b""
        if isinstance(outcomes[0], Exception):
            raise outcomes[0]
        if call.hung_up:
            connection.writer.close()

    async def _answer(self, connection: Connection, call: Call) -> None:
        fault = self._fault(call.model)
        if fault is not None:
            await fault(connection)
        elif call.model in self.recordings:
            await self._replay(connection, self.recordings[call.model])
        elif call.body.get("stream"):
            await self._speak(connection, call)
        else:
            await connection.refuse(200, _message(call.model, *assistant.answer(call.body)))

    def _fault(self, model: str) -> faults.Fault | None:
        self._seen[model] += 1
        if model.startswith("fault-"):
            return faults.FAULTS[model.removeprefix("fault-")]
        if (some := re.fullmatch(r"(flaky|late)-(\d+)-(.+)", model)) is None:
            return None
        among_the_first = self._seen[model] <= int(some[2])
        return faults.FAULTS[some[3]] if among_the_first == (some[1] == "flaky") else None

    async def _replay(self, connection: Connection, recording: bytes) -> None:
        await connection.stream()
        step = self.piece_bytes or len(recording)
        for place in range(0, len(recording), step):
            await connection.raw(recording[place : place + step])
        await connection.end()

    def _cached(self, call: Call) -> dict[str, int]:
        """Cache accounting: what an earlier call marked, and this one repeats up to a mark of its own, is read."""
        prefixes = cache_prefixes(call.body)
        read = max((len(p) // 4 for p in prefixes if p in self._cache), default=0)
        written = max((len(p) // 4 for p in prefixes), default=0)
        self._cache.update(prefixes)
        return {"cache_read_input_tokens": read, "cache_creation_input_tokens": max(0, written - read)}

    def _words(self, call: Call, words: int) -> tuple[list[wire.Event], str]:
        narrow = re.fullmatch(r"window-(\d+)x(\d+)", call.model)
        if narrow is None:
            return assistant.answer(call.body, words)
        if tokens_of(call.body) > int(narrow[1]):
            return [], "model_context_window_exceeded"
        asked = sum(
            one.model == call.model and one.path == "/v1/messages" and "tools" in one.body for one in self.calls
        )
        return assistant.answer(call.body, 0, asked if asked <= int(narrow[2]) else 0)

    async def _speak(self, connection: Connection, call: Call) -> None:
        speed = re.fullmatch(r"rate-(\d+)(?:x(\d+))?", call.model)
        rate = float(speed[1]) if speed else self.token_rate
        content, stop_reason = self._words(call, int(speed[2] or 0) if speed else 0)
        await connection.stream()
        await connection.events(wire.start(call.model, tokens_of(call.body), self._cached(call)), faults.PING)
        begun = time.monotonic()
        for number, event in enumerate(content, start=1):
            if rate and (wait := begun + number / rate - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            await connection.events(event)
        await connection.events(*wire.finish(stop_reason, len(content)))
        await connection.end()


def cache_prefixes(body: dict[str, Any]) -> list[str]:
    """What stands before each cache mark, the marks themselves left out. The API takes four; more are a mistake."""
    parts = [("tool", tool) for tool in body.get("tools", [])]
    parts += [("system", block) for block in body.get("system", []) if isinstance(block, dict)]
    for message in body["messages"]:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        parts += [(message["role"], block) for block in blocks]
    found, before = [], body["model"]
    for role, block in parts:
        before += role + json.dumps({key: value for key, value in block.items() if key != "cache_control"})
        found += [before] if "cache_control" in block else []
    assert len(found) <= 4, "the API takes at most four cache marks"
    return found


def tokens_of(body: dict[str, Any]) -> int:
    """Four bytes of what is asked make a token; cache marks are none of it."""
    return len(re.sub(r', "cache_control": \{[^}]*\}', "", json.dumps(body))) // 4


def _message(model: str, events: list[wire.Event], stop_reason: str) -> dict[str, Any]:
    """The same answer, not streamed."""
    blocks: list[dict[str, Any]] = []
    raw: list[str] = []
    for event in events:
        if event["type"] == "content_block_start":
            blocks.append(dict(event["content_block"]))
            raw.append("")
        elif event["type"] == "content_block_delta":
            raw[-1] += event["delta"].get("text") or event["delta"].get("partial_json") or ""
    for block, text in zip(blocks, raw, strict=True):
        block |= {"input": json.loads(text)} if block["type"] == "tool_use" else {"text": text}
    return {**wire.start(model)["message"], "content": blocks, "stop_reason": stop_reason}


async def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--token-rate", type=float, default=0.0)
    options = parser.parse_args()
    async with MessagesServer(options.token_rate, options.port) as server:
        print(f"listening on {server.port}", flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
