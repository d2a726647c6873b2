"""The app over a door in memory, and a client that calls it without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette

from runtime.clock import ManualClock
from runtime.config import Settings
from runtime.generator.app import build_app
from tests.generator.memory_door import MemoryDoor
from tests.generator.runs_by_door import ids, team


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, model="offline", max_body_bytes=4096, heartbeat_s=0.05, max_streams=3)


@pytest.fixture
def door() -> MemoryDoor:
    return MemoryDoor(ManualClock(), max_readers=2)


@pytest.fixture
def app(door: MemoryDoor, settings: Settings) -> Starlette:
    return build_app(door, settings, clock=door.clock, new_id=ids().__next__, team=team)


@pytest.fixture
async def http(app: Starlette) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client
