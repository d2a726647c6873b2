"""What is written about conversations in a SQLite log; each function is a part of a transaction of the writer's."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final, TypeAlias

from runtime.errors import NotFound
from runtime.log.decide import busy, deleted, require_followed, title_in
from runtime.log.log import TERMINAL, NewRun

Place: TypeAlias = tuple[str, str]
"""Tenant and conversation."""

_FIND: Final = """
    SELECT deleted, (SELECT run_id FROM runs WHERE n = place) FROM conversations
    WHERE tenant_id = ? AND conversation_id = ?"""
_ENTER: Final = """
    INSERT INTO conversations AS c (tenant_id, conversation_id, title, created_at, updated_at, place)
    VALUES (:tenant_id, :conversation_id, :title, :now, :now, :n)
    ON CONFLICT (tenant_id, conversation_id) DO UPDATE
        SET title = coalesce(c.title, excluded.title), updated_at = excluded.updated_at, place = excluded.place"""
_TITLE: Final = "UPDATE conversations SET title = ? WHERE tenant_id = ? AND conversation_id = ? AND title IS NULL"
_RUNS: Final = "SELECT run_id, status FROM runs WHERE tenant_id = ? AND conversation_id = ? ORDER BY n"
_CLOSE: Final = "UPDATE conversations SET title = NULL, deleted = 1 WHERE tenant_id = ? AND conversation_id = ?"
_DELETE: Final = (
    "DELETE FROM events WHERE run_id = ?",
    "DELETE FROM publishers WHERE run_id = ?",
    "DELETE FROM idempotency WHERE run_id = ?",
    "DELETE FROM runs WHERE run_id = ?",
    "INSERT OR IGNORE INTO deleted_runs (run_id) VALUES (?)",
)


def require_open(db: sqlite3.Connection, new: NewRun) -> None:
    """Raise ``Conflict`` unless ``new`` may come next in its conversation."""
    rows = db.execute(_FIND, (new.tenant_id, new.conversation_id)).fetchall()
    if rows and rows[0][0]:
        raise deleted()
    require_followed(new, rows[0][1] if rows else None)


def enter(db: sqlite3.Connection, new: NewRun, n: int | None, now: float) -> None:
    """Make ``new``, which is the run ``n``, the newest of its conversation, and begin that if there is none yet."""
    place = {"tenant_id": new.tenant_id, "conversation_id": new.conversation_id}
    db.execute(_ENTER, {**place, "title": title_in(new.records), "now": now, "n": n})


def set_titles(db: sqlite3.Connection, titles: Mapping[Place, str]) -> None:
    """Give titles to those that have none."""
    db.executemany(_TITLE, [(title, *place) for place, title in titles.items()])


def close(db: sqlite3.Connection, place: Place) -> list[str]:
    """Let no run enter any more; the ids of those to delete. Raises ``NotFound`` when nothing is left, ``Conflict``."""
    known = db.execute(_FIND, place).fetchall()
    runs = db.execute(_RUNS, place).fetchall()
    if not known or not runs:
        raise NotFound("no such conversation")
    if any(status not in TERMINAL for _, status in runs):
        raise busy()
    db.execute(_CLOSE, place)
    return [run_id for run_id, _ in runs]


def delete_run(db: sqlite3.Connection, run_id: str) -> None:
    """Delete all that is kept of an ended run but its id."""
    for statement in _DELETE:
        db.execute(statement, (run_id,))
