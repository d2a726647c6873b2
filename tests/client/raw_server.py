"""A small real HTTP server on raw sockets that speaks our API and misbehaves on purpose."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from runtime.events.catalog import Event, RunAccepted, RunCompleted, RunInput, TurnDelta
from runtime.events.codec import encode, public_json
from runtime.events.envelope import Draft, Stored
from runtime.generator.contract import AgentEntry, AgentList, ToolEntry, ToolList

RUN_ID = "0b7e9a52-4c1d-4a53-9a55-0f6f6f6f6f6f"

AGENTS = AgentList(
    agents=[
        AgentEntry(name="ferry", description="Crosses.", role="stage", tools=["row"], models=["offline:extractive"])
    ]
)
TOOLS = ToolList(
    tools=[
        ToolEntry(
            name="row",
            title="Row",
            description="Row over the river.\nSlowly.",
            icon="",
            kind="at_most_once",
            input_schema={"type": "object"},
            agents=["ferry"],
        )
    ]
)


def stored(drafts: Sequence[Draft | Event], *, at: float = 1_700_000_000.0) -> list[Stored]:
    """A log of these, numbered, one second apart."""
    log = []
    for seq, item in enumerate(drafts, 1):
        record = encode(item if isinstance(item, Draft) else Draft(item), RUN_ID, at + seq)
        log.append(Stored(seq, 1, record.type, record.family, record.stage, record.body))
    return log


def long_log(tokens: int = 120) -> list[Stored]:
    """Acceptance, tokens with characters of every length in UTF-8, the end."""
    deltas = [Draft(TurnDelta(text=f"wört {i} 🌊"), stage="s", agent="a", turn=1, attempt=1) for i in range(tokens)]
    return stored([RunAccepted(input=RunInput(question="q")), *deltas, RunCompleted(answer="done")])


def frame(event: Stored) -> bytes:
    head = b"id: %d.%d\nevent: %s\ndata: " % (event.seq, event.epoch, event.family.encode())
    return head + public_json(event) + b"\n\n"


@dataclass
class RawServer:
    """Serves one log. ``cut`` says after how many bytes of a stream the connection is broken; None lets it be."""

    log: list[Stored]
    cut: Callable[[], int | None] = lambda: None
    hold_at: int | None = None
    """The stream waits after this event until a cancel arrives, then sends the rest."""
    orderly: bool = False
    """Cut by ending the response in good order, as a server that restarts does."""
    answers: dict[str, object] = field(default_factory=dict)
    """By method and path, with its query: what is answered; None: 204."""
    refuse: tuple[int, dict[str, object]] | None = None
    posts: list[dict[str, object]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)
    resumed_at: list[str] = field(default_factory=list)
    cancelled: asyncio.Event = field(default_factory=asyncio.Event)
    url: str = ""
    handlers: set[asyncio.Task[None]] = field(default_factory=set)

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.handlers.add(task)
        task.add_done_callback(self.handlers.discard)
        try:
            method, target, headers, body = await _request(reader)
            self.credentials.append(headers.get("authorization", ""))
            await self._answer(writer, method, target, headers, body)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            return  # the client left: what these tests are about
        finally:
            writer.close()

    async def _answer(
        self, writer: asyncio.StreamWriter, method: str, target: str, headers: dict[str, str], body: bytes
    ) -> None:
        path = urlsplit(target).path
        if self.refuse is not None and path.startswith("/v1"):
            status, problem = self.refuse
            _json(writer, status, problem, "application/problem+json")
        elif f"{method} {target}" in self.answers:
            self.paths.append(f"{method} {target}")
            answer = self.answers[f"{method} {target}"]
            if answer is None:
                writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            else:
                _json(writer, 200, answer)
        elif path == "/readyz":
            _json(writer, 200, {"status": "ready"})
        elif method == "POST" and path in ("/v1/runs", f"/v1/runs/{RUN_ID}/resume"):
            self.paths.append(path)
            self.posts.append(json.loads(body))
            self.keys.append(headers.get("idempotency-key", ""))
            if headers.get("accept") == "text/event-stream":
                await self._stream(writer, 0)
            else:
                _json(writer, 202 if path == "/v1/runs" else 201, {"run_id": RUN_ID, "state": "accepted"})
        elif path == "/v1/runs":
            run = {"run_id": RUN_ID, "state": "completed", "question": "q?", "created_at": 1.7e9}
            _json(writer, 200, {"runs": [run]})
        elif path == "/v1/agents":
            _json(writer, 200, AGENTS.model_dump())
        elif path == "/v1/tools":
            _json(writer, 200, TOOLS.model_dump())
        elif path == f"/v1/runs/{RUN_ID}/cancel":
            self.cancelled.set()
            _json(writer, 202, {"run_id": RUN_ID, "cancel_requested": True})
        elif path == f"/v1/runs/{RUN_ID}/events":
            last = headers.get("last-event-id") or parse_qs(urlsplit(target).query).get("after", ["0"])[0]
            self.resumed_at.append(last)
            await self._stream(writer, int(last.partition(".")[0]))
        else:
            detail = "There is nothing here that you can see."
            _json(writer, 404, {"title": "Not Found", "detail": detail}, "application/problem+json")

    async def _stream(self, writer: asyncio.StreamWriter, after: int) -> None:
        if after >= len(self.log):
            writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
            return
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
            b"x-run-id: " + RUN_ID.encode() + b"\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        )
        held = self.log[: self.hold_at] if self.hold_at else self.log
        data = b"retry: 10\n: headrace\n\n" + b": ping\n\n".join(frame(e) for e in held[after:])
        cut = self.cut()
        data, broken = (data[:cut], True) if cut is not None and cut < len(data) else (data, False)
        if data:
            writer.write(b"%x\r\n" % len(data) + data + b"\r\n")
        await writer.drain()
        if broken and not self.orderly:
            return  # without the last chunk: a broken connection
        if self.hold_at and not broken:
            await self.cancelled.wait()
            rest = b"".join(frame(e) for e in self.log[self.hold_at :])
            writer.write(b"%x\r\n" % len(rest) + rest + b"\r\n")
        writer.write(b"0\r\n\r\n")


def random_cuts(seed: int, breaks: int, most: int) -> Callable[[], int | None]:
    """Cuts at random bytes, ``breaks`` times, then no more."""
    chance = random.Random(seed)
    left = [breaks]

    def cut() -> int | None:
        left[0] -= 1
        return chance.randrange(0, most) if left[0] >= 0 else None

    return cut


@asynccontextmanager
async def serving(server: RawServer) -> AsyncIterator[RawServer]:
    """The server on a free loopback port."""
    listener = await asyncio.start_server(server.handle, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        for handler in server.handlers:
            handler.cancel()
        await asyncio.gather(*server.handlers, return_exceptions=True)


async def _request(reader: asyncio.StreamReader) -> tuple[str, str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.strip().split("\r\n")
    method, target, _ = first.split(" ")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return method, target, headers, await reader.readexactly(int(headers.get("content-length", "0")))


def _json(writer: asyncio.StreamWriter, status: int, value: object, kind: str = "application/json") -> None:
    body = json.dumps(value).encode()
    extra = b"retry-after: 7\r\n" if status in (429, 503) else b""
    writer.write(
        b"HTTP/1.1 %d X\r\ncontent-type: %s\r\ncontent-length: %d\r\n%sconnection: close\r\n\r\n"
        % (status, kind.encode(), len(body), extra)
        + body
    )
