"""The questions both SQLite connections ask, each answered whole: no cursor outlives its function."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

import orjson

from runtime.events.envelope import Stored
from runtime.log.decide import PAGE
from runtime.log.log import Conversation, Run

RUN: Final = (
    "run_id, tenant_id, conversation_id, question, status, epoch, last_seq, owner, created_at, deadline_at,"
    " cancel_requested, on_disconnect, grace_s, takeovers, wake_at, budget, day_budget, reserved, spent"
)
"""The columns of ``runs`` in the order of the fields of ``Run``."""

_CANCEL_REQUESTED: Final = RUN.split(", ").index("cancel_requested")
"""The one column that SQLite, having no booleans, keeps as 0 or 1."""

_GET: Final = f"SELECT {RUN} FROM runs WHERE run_id = ?"
_RECENT: Final = f"SELECT {RUN} FROM runs WHERE tenant_id = ? ORDER BY n DESC LIMIT ?"
_EVENT: Final = "SELECT seq, epoch, type, family, stage, body FROM events WHERE run_id = ? AND seq > ?"
_HEADS: Final = "SELECT run_id, last_seq FROM runs WHERE run_id IN (SELECT value FROM json_each(?))"
_CONVERSATION: Final = """
    SELECT tenant_id, conversation_id, title, created_at, updated_at, place,
        (SELECT question FROM runs {r} ORDER BY n LIMIT 1), (SELECT count(*) FROM runs {r}),
        (SELECT sum(reserved) FROM runs {r}), (SELECT sum(spent) FROM runs {r})
    FROM conversations c WHERE NOT deleted AND tenant_id = :tenant_id AND """.replace(
    "{r}", "r WHERE r.tenant_id = c.tenant_id AND r.conversation_id = c.conversation_id"
)
_GET_CONVERSATION: Final = f"{_CONVERSATION} conversation_id = :conversation_id"
_CONVERSATIONS: Final = f"{_CONVERSATION} (:before IS NULL OR place < :before) ORDER BY place DESC LIMIT :limit"
_RUNS_OF: Final = f"""
    SELECT {RUN} FROM runs WHERE tenant_id = :tenant_id AND conversation_id = :conversation_id
    AND (:before IS NULL OR n < (
        SELECT n FROM runs WHERE run_id = :before AND tenant_id = :tenant_id AND conversation_id = :conversation_id))
    ORDER BY n DESC LIMIT :limit"""
_READ: Final = f"{_EVENT} ORDER BY seq LIMIT ?"
_READ_WITHOUT_DELTAS: Final = f"{_EVENT} AND family <> 'token' ORDER BY seq LIMIT ?"


def to_run(row: tuple[Any, ...]) -> Run:  # Any: SQLite's columns; STRICT tables keep their types
    """Make a ``Run`` of a row of the columns ``RUN``."""
    values = list(row)
    values[_CANCEL_REQUESTED] = bool(values[_CANCEL_REQUESTED])
    return Run(*values)


def get_run(db: sqlite3.Connection, run_id: str) -> Run | None:
    """The run, or None."""
    rows = db.execute(_GET, (run_id,)).fetchall()
    return to_run(rows[0]) if rows else None


def recent_runs(db: sqlite3.Connection, tenant_id: str, limit: int) -> list[Run]:
    """The tenant's newest runs first; ``limit`` below 0 is 0 (to SQLite it would mean all)."""
    return [to_run(row) for row in db.execute(_RECENT, (tenant_id, max(limit, 0))).fetchall()]


def recent_conversations(db: sqlite3.Connection, tenant_id: str, limit: int, before: int | None) -> list[Conversation]:
    """The tenant's conversations with a lower place than ``before``, the newest first."""
    names = {"tenant_id": tenant_id, "limit": max(limit, 0), "before": before}
    return [Conversation(*row) for row in db.execute(_CONVERSATIONS, names).fetchall()]


def get_conversation(db: sqlite3.Connection, tenant_id: str, conversation_id: str) -> Conversation | None:
    """The conversation, or None."""
    names = {"tenant_id": tenant_id, "conversation_id": conversation_id}
    rows = db.execute(_GET_CONVERSATION, names).fetchall()
    return Conversation(*rows[0]) if rows else None


def runs_of(db: sqlite3.Connection, tenant_id: str, conversation_id: str, limit: int, before: str | None) -> list[Run]:
    """The conversation's runs older than ``before``, the newest first."""
    place = {"tenant_id": tenant_id, "conversation_id": conversation_id}
    return [to_run(row) for row in db.execute(_RUNS_OF, {**place, "limit": max(limit, 0), "before": before}).fetchall()]


def read_events(db: sqlite3.Connection, run_id: str, after: int, limit: int, deltas: bool) -> list[Stored]:
    """One page of events with ``seq > after``, at most ``PAGE``."""
    query = _READ if deltas else _READ_WITHOUT_DELTAS
    return [Stored(*row) for row in db.execute(query, (run_id, after, max(min(limit, PAGE), 0))).fetchall()]


def size_of(db: sqlite3.Connection, run_id: str) -> int:
    """Bytes of the run's events."""
    ((size,),) = db.execute("SELECT coalesce(sum(length(body)), 0) FROM events WHERE run_id = ?", (run_id,)).fetchall()
    return int(size)


def last_seqs(db: sqlite3.Connection, run_ids: Sequence[str]) -> dict[str, int]:
    """How far those runs have come; unknown ones are left out."""
    return dict(db.execute(_HEADS, (orjson.dumps(list(run_ids)).decode(),)).fetchall())
