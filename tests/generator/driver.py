"""Drives an ASGI app by hand: what a server would do, with every message in sight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from starlette.types import ASGIApp, Message


def http_scope(method: str, path: str, headers: Sequence[tuple[str, str]] = (), query: str = "") -> dict[str, Any]:
    """A scope as uvicorn makes it; ``Host`` is added when the headers have none."""
    named = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    if not any(name == b"host" for name, _ in named):
        named.append((b"host", b"127.0.0.1:8000"))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": named,
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 1234),
    }


class Exchange:
    """One request and whatever comes back. ``block`` makes sends hang, as a client that reads nothing does."""

    def __init__(self, app: ASGIApp, scope: dict[str, Any], body: bytes = b"") -> None:
        self.sent: list[Message] = []
        self.block = False
        self.disconnected = asyncio.Event()
        self._news = asyncio.Condition()
        self._body: bytes | None = body
        self.task: asyncio.Task[None] = asyncio.create_task(self._run(app, scope))

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def text(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    @property
    def ended(self) -> bool:
        """True after a clean end."""
        return len(self.sent) > 1 and not self.sent[-1].get("more_body", False)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds after some send; at most 5 s."""
        async with asyncio.timeout(5), self._news:
            await self._news.wait_for(condition)

    async def until_sent(self, text: bytes) -> None:
        """Wait until ``text`` is in what came back."""
        await self.until(lambda: text in self.text)

    async def done(self) -> None:
        """Wait for the app to return, and raise what it raised."""
        async with asyncio.timeout(5):
            await self.task

    async def leave(self) -> None:
        """The client goes away; wait for the app to return."""
        self.disconnected.set()
        await self.done()

    async def _run(self, app: ASGIApp, scope: dict[str, Any]) -> None:
        await app(scope, self._receive, self._send)

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self.disconnected.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self.block:
            await asyncio.Event().wait()
        async with self._news:
            self.sent.append(message)
            self._news.notify_all()
