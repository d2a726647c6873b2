"""A run and a write for the tests of the SQLite log."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from runtime.events.envelope import Record
from runtime.log.log import NewRun, Write

ACCEPTED = Record("run.accepted", "status", None, b"{}")
DELTA = Record("turn.delta", "token", "s", b"x" * 100)


def new(run_id: str = "r1", **changes: Any) -> NewRun:
    return replace(NewRun(run_id, "t", None, "?", 60.0, "continue", 30.0, (ACCEPTED,)), **changes)


def write(after: int, number: int, *records: Record) -> Write:
    return Write("r1", None, after, "p", number, records or (DELTA,))
