"""The app behind a real server on loopback: what only sockets show."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvicorn

from runtime.clock import ManualClock
from runtime.config import Settings
from runtime.events import catalog as ev
from runtime.events.envelope import Draft
from runtime.generator.app import build_app
from runtime.generator.sse import OPENING
from runtime.ids import new_id
from tests.generator.memory_door import MemoryDoor

BODY = b'{"input":"Why?"}'
POST = (
    b"POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n"
)


@pytest.fixture
def door() -> MemoryDoor:
    return MemoryDoor(ManualClock())


@pytest.fixture
async def port(door: MemoryDoor, tmp_path: Path) -> AsyncIterator[int]:
    settings = Settings(data_dir=tmp_path, model="offline", heartbeat_s=0.05)
    app = build_app(door, settings, clock=door.clock, new_id=new_id, team=tuple)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await serving


async def test_stream_over_a_socket_until_the_client_leaves(port: int, door: MemoryDoor) -> None:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST % len(BODY) + BODY)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert OPENING in await reader.readuntil(b"\n\n")
        await reader.readuntil(b"run.accepted")
        await reader.readuntil(b": ping\n\n")
        (run_id,) = door.runs
        assert door.readers[run_id] == 1
        writer.close()
        while door.readers[run_id]:
            await asyncio.sleep(0.01)
        assert door.closed == 1


async def test_finished_stream_ends_its_response_and_keeps_the_connection(port: int, door: MemoryDoor) -> None:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST % len(BODY) + BODY)
        await reader.readuntil(b"run.accepted")
        (run_id,) = door.runs
        await door.publish(run_id, Draft(ev.RunCompleted(answer="Because.")))
        await reader.readuntil(b"run.completed")
        await reader.readuntil(b"\r\n0\r\n\r\n")
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        writer.close()


async def test_body_shorter_than_declared_creates_nothing(port: int, door: MemoryDoor) -> None:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST % (len(BODY) + 10) + BODY)
        writer.write_eof()
        await reader.read()
        writer.close()
    assert not door.runs


async def test_connection_is_cut_when_the_stream_breaks(port: int, door: MemoryDoor) -> None:
    async with asyncio.timeout(10):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST % len(BODY) + BODY)
        await reader.readuntil(b"run.accepted")
        (run_id,) = door.runs
        door.events[run_id].append(None)  # type: ignore[arg-type]  # a broken log
        rest = await reader.read()
        assert not rest.endswith(b"0\r\n\r\n")
        writer.close()
