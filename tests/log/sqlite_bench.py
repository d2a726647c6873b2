"""What the tests of the SQLite log share: a run, a write, their records."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime.clock import ManualClock
from runtime.events.envelope import Record
from runtime.log.log import NewRun, Write
from runtime.log.sqlite import SqliteLog

ACCEPTED = Record("run.accepted", "status", None, b"{}")
DELTA = Record("turn.delta", "token", "s", b"x" * 100)


def new(run_id: str = "r1", **changes: Any) -> NewRun:
    return replace(NewRun(run_id, "t", None, "?", 60.0, "continue", 30.0, (ACCEPTED,)), **changes)


def write(after: int, number: int, *records: Record) -> Write:
    return Write("r1", None, after, "p", number, records or (DELTA,))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "log.db"


@pytest.fixture
async def log(path: Path) -> AsyncIterator[SqliteLog]:
    log = SqliteLog(path, ManualClock())
    await log.open()
    yield log
    await log.close()
