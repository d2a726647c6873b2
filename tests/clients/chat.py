"""A chat of the published AI SDK, in a Node process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from tests.node import CLIENTS, installed, running

WITHIN_S = 30.0


@dataclass
class Seen:
    """What the client shows after a command."""

    status: str
    error: str | None
    messages: list[dict[str, Any]]
    finished: list[dict[str, Any]]
    transient: list[dict[str, Any]]
    requests: list[str]

    @property
    def last(self) -> dict[str, Any]:
        return self.messages[-1]

    def parts(self, kind: str, message: int = -1) -> list[dict[str, Any]]:
        return [part for part in self.messages[message]["parts"] if part["type"] == kind]

    def texts(self, message: int = -1) -> list[str]:
        return [part["text"] for part in self.parts("text", message)]


@dataclass
class Chat:
    """Drives the process line by line."""

    process: asyncio.subprocess.Process
    seen: list[Seen] = field(default_factory=list)

    async def do(self, act: str, **more: Any) -> Seen:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.process.stdin.write(json.dumps({"do": act, **more}).encode() + b"\n")
        async with asyncio.timeout(WITHIN_S):
            line = await self.process.stdout.readline()
            if not line:
                raise AssertionError((await self.process.stderr.read()).decode()[-3000:])
        self.seen.append(Seen(**json.loads(line)))
        return self.seen[-1]


@contextlib.asynccontextmanager
async def chat(url: str, chat_id: str, *, package: str = "ai", **options: Any) -> AsyncIterator[Chat]:
    """A chat over ``url``'s AI SDK endpoint; ``options``: body, messages, automatic."""
    installed(CLIENTS)
    arguments = (package, f"{url}/v1/ai-sdk/chat", chat_id, json.dumps(options))
    async with running(CLIENTS / "chat.mjs", *arguments) as process:
        yield Chat(process)
