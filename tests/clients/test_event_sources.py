"""Clients that others publish read our event streams unmodified: a whole run, on after a cut, to the end at 204."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx_sse
import pytest

from runtime.bootstrap.system import in_process_server
from runtime.client import HeadraceClient, RunEvent
from runtime.config import Settings
from runtime.events.plan import Todo
from runtime.testing.scripted import plans, says, scripted
from tests.node import CLIENTS, installed, running

WORDS = " ".join(f"wört {n} 🌊" for n in range(60))
TURNS = (
    plans(Todo(id="find", title="Find", agent="research"), Todo(id="tell", title="Tell", agent="writing")),
    says("research", WORDS),
    says("writing", WORDS),
)


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    settings = Settings(model="scripted", log="memory:", data_dir=tmp_path, heartbeat_s=0.2)
    async with in_process_server(settings, stand_in=scripted(*TURNS, rate=100)) as url:
        yield url


@pytest.fixture
async def run(url: str) -> list[RunEvent]:
    """The events of a run that is over."""
    async with HeadraceClient(url) as client:
        return [event async for event in client.stream("Why?")]


def path(run: list[RunEvent]) -> str:
    return f"/v1/runs/{run[0].run_id}/events"


@asynccontextmanager
async def cut_after(url: str, sizes: list[int]) -> AsyncIterator[str]:
    """The same server behind a line that breaks: after so many bytes of the first answer, of the second, ..."""
    address, left, tasks = urlsplit(url), list(sizes), set[asyncio.Task[None]]()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        allowed = left.pop(0) if left else None
        upstream, asking = await asyncio.open_connection(address.hostname, address.port)

        async def ask() -> None:
            while data := await reader.read(4096):
                asking.write(data)

        asked = asyncio.create_task(ask())
        try:
            while (allowed is None or allowed > 0) and (data := await upstream.read(allowed or 4096)):
                writer.write(data)
                await writer.drain()
                allowed = None if allowed is None else allowed - len(data)
        finally:
            asked.cancel()
            asking.close()
            writer.transport.abort() if allowed == 0 else writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(relay(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    assert not left, f"{len(left)} cuts were not made"


def of_run(run: list[RunEvent]) -> list[tuple[str, str, str]]:
    return [(event.id, event.family, event.type) for event in run]


async def read(client: httpx.AsyncClient, url: str, last: str = "") -> list[tuple[str, str, str]]:
    """One connection of httpx-sse; ends when it does."""
    headers = {"Last-Event-ID": last} if last else {}
    seen = []
    async with httpx_sse.aconnect_sse(client, "GET", url, headers=headers) as source:
        if source.response.status_code == 204:
            return []
        with suppress(httpx.TransportError):
            async for event in source.aiter_sse():
                if event.data:
                    seen.append((event.id, event.event, json.loads(event.data)["type"]))
    return seen


async def test_httpx_sse_reads_a_run_goes_on_after_a_cut_and_finds_its_end(url: str, run: list[RunEvent]) -> None:
    async with httpx.AsyncClient() as client:
        assert await read(client, url + path(run)) == of_run(run)
        async with cut_after(url, [2000, 3000]) as line:
            seen = await read(client, line + path(run))
            assert 0 < len(seen) < len(run)
            while seen[-1][2] != "run.completed":
                seen += await read(client, line + path(run), seen[-1][0])
        assert seen == of_run(run)
        assert await read(client, url + path(run), seen[-1][0]) == []


async def spoken(process: asyncio.subprocess.Process) -> list[dict[str, Any]]:
    """What the script says until its source is closed."""
    said: list[dict[str, Any]] = []
    assert process.stdout is not None
    while line := await process.stdout.readline():
        said.append(json.loads(line))
        if "closed" in said[-1]:
            return said
    assert process.stderr is not None
    raise AssertionError(f"it ended by itself: {said[-3:]} {(await process.stderr.read()).decode()}")


def events(said: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(s["id"], s["event"], s["type"]) for s in said if "id" in s]


async def test_an_event_source_reads_a_run_and_stops_by_itself_at_its_end(url: str, run: list[RunEvent]) -> None:
    installed(CLIENTS)
    async with asyncio.timeout(60), running(CLIENTS / "follow.mjs", url + path(run)) as process:
        said = await spoken(process)
    assert events(said) == of_run(run)
    # The stream ends, it comes back after the two seconds it was told, and 204 closes it for good.
    assert [s for s in said if "id" not in s] == [{"open": True}, {"error": None}, {"error": 204}, {"closed": True}]


async def test_an_event_source_goes_on_where_the_line_broke(url: str, run: list[RunEvent]) -> None:
    installed(CLIENTS)
    async with (
        asyncio.timeout(60),
        cut_after(url, [2000, 3000]) as line,
        running(CLIENTS / "follow.mjs", line + path(run)) as process,
    ):
        said = await spoken(process)
    assert events(said) == of_run(run)
    assert [s for s in said if "open" in s] == [{"open": True}] * 3


async def test_an_event_source_follows_a_run_while_it_is_made(url: str) -> None:
    installed(CLIENTS)
    async with asyncio.timeout(60), HeadraceClient(url) as client:
        run_id = (await client.create("Why?"))["run_id"]
        async with running(CLIENTS / "follow.mjs", f"{url}/v1/runs/{run_id}/events") as process:
            said = await spoken(process)
        made = [event async for event in client.follow(run_id)]
    assert events(said) == of_run(made)
