"""The whole system in one process behind a socket, with runs in the states that requests are about."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import uvicorn

from runtime.bootstrap.system import in_process
from runtime.config import Settings
from runtime.generator.connection import Connection
from tests.hostile.brief import Brief
from tests.hostile.case import BUSY, CONVERSATION, ENDED, HASH, UPPER, WAITING
from tests.rig import PLANNING

SCRIPT = f"""{PLANNING}
[[turn]]
agent = "planner"
[turn.output]
todos = [{{ id = "write", title = "Write", agent = "writing", depends_on = [] }}]
[[turn]]
text = "Because."
"""


@dataclass(frozen=True)
class World:
    """A server, and ids that are there: of a run that has ended, of one that waits for a person, of a conversation."""

    port: int
    ended: str
    waiting: str
    plan_hash: str
    conversation: str
    """Of the ended run."""
    busy: str
    """The waiting run is in this one."""

    def filled(self, raw: bytes) -> bytes:
        """``raw`` with the ids in the place of their names in ``case``."""
        ids = {
            ENDED: self.ended,
            WAITING: self.waiting,
            HASH: self.plan_hash,
            CONVERSATION: self.conversation,
            BUSY: self.busy,
            UPPER: self.ended.upper(),
        }
        for name, value in ids.items():
            assert len(name) == len(value)  # else Content-Length would not fit
            raw = raw.replace(name.encode(), value.encode())
        return raw


@asynccontextmanager
async def serving(tmp_path: Path, *, brief: bool = False, **settings: object) -> AsyncIterator[World]:
    """``brief``: event streams end by themselves (``Brief``)."""
    async with listening(tmp_path, brief=brief, **settings) as url:
        yield await world(url)


@asynccontextmanager
async def listening(tmp_path: Path, *, brief: bool = False, **settings: object) -> AsyncIterator[str]:
    """The same without the runs; gives the address."""
    script = tmp_path / "script.toml"
    script.write_text(SCRIPT)
    chosen = Settings(model="scripted", script=script, data_dir=tmp_path, log="memory:", **settings)  # type: ignore[arg-type]
    async with in_process(chosen) as system:
        app = Brief(system.app) if brief else system.app
        server = _Server(uvicorn.Config(app, http=Connection, log_level="error", lifespan="off"))
        listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        answering = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = server.force_exit = True
            await answering


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def world(url: str, headers: Mapping[str, str] | None = None) -> World:
    """Makes the runs over HTTP; ``headers`` say who asks."""
    async with httpx2.AsyncClient(base_url=url, timeout=60, headers=headers) as client:
        ended = (await client.post("/v1/runs", json={"input": "Why?"})).json()
        waiting = (await client.post("/v1/runs", json={"input": "Why?", "approve_plan": True})).json()
        async with asyncio.timeout(60):
            while (await client.get(f"/v1/runs/{ended['run_id']}")).json()["state"] != "completed":
                await asyncio.sleep(0.05)
            while not (asked := (await client.get(f"/v1/runs/{waiting['run_id']}")).json()["approvals"]):
                await asyncio.sleep(0.05)
    port = int(url.rpartition(":")[2])
    return World(
        port,
        ended["run_id"],
        waiting["run_id"],
        asked[0]["arguments_hash"],
        ended["conversation_id"],
        waiting["conversation_id"],
    )
