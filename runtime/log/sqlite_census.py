"""The census of a SQLite log."""

from __future__ import annotations

import sqlite3
from typing import Final

from runtime.log.census import DAY_S, DAYS, UNFINISHED, Census, DaySum, UnderWay
from runtime.log.sqlite_reads import RUN, to_run

_UNFINISHED: Final = """
    FROM runs INDEXED BY runs_unfinished WHERE status IN ('accepted', 'running', 'waiting')
    AND (:tenant_id IS NULL OR tenant_id = :tenant_id)"""
"""``INDEXED BY``: never a scan of all runs, whatever the planner thinks of their number."""
_COUNT: Final = (
    f"SELECT tenant_id, status, count(*) {_UNFINISHED} GROUP BY tenant_id, status ORDER BY tenant_id, status"
)
_OLDEST: Final = f"SELECT {RUN} {_UNFINISHED} ORDER BY n LIMIT :unfinished"
_NEWEST: Final = f"""
    SELECT {RUN} FROM (SELECT * FROM runs WHERE %s ORDER BY n DESC LIMIT :limit) WHERE created_at >= :since
    ORDER BY n DESC"""
_NEWEST_OF_ALL: Final = _NEWEST % "true"
_NEWEST_OF_TENANT: Final = _NEWEST % "tenant_id = :tenant_id"
_DAYS: Final = """
    SELECT tenant_id, day, reserved, spent FROM ledger
    WHERE day >= :day AND (:tenant_id IS NULL OR tenant_id = :tenant_id) AND (reserved > 0 OR spent > 0)
    ORDER BY day DESC, spent DESC, tenant_id LIMIT :days"""


def census(db: sqlite3.Connection, tenant_id: str | None, since: float, limit: int) -> Census:
    """All four answers as of one moment."""
    names = {
        "tenant_id": tenant_id,
        "since": since,
        "day": int(since // DAY_S),
        "limit": max(limit, 0),
        "unfinished": UNFINISHED,
        "days": DAYS,
    }
    newest = _NEWEST_OF_ALL if tenant_id is None else _NEWEST_OF_TENANT
    db.execute("BEGIN")
    try:
        return Census(
            under_way=tuple(UnderWay(*row) for row in db.execute(_COUNT, names).fetchall()),
            unfinished=tuple(to_run(row) for row in db.execute(_OLDEST, names).fetchall()),
            newest=tuple(to_run(row) for row in db.execute(newest, names).fetchall()),
            days=tuple(DaySum(*row) for row in db.execute(_DAYS, names).fetchall()),
        )
    finally:
        db.execute("COMMIT")
