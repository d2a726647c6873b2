"""The questions that change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Final

import asyncpg

from runtime.events.envelope import Stored
from runtime.log.decide import PAGE
from runtime.log.log import Run
from runtime.log.postgres_connections import Connection

COLUMNS: Final = tuple(field.name for field in fields(Run))
RUN: Final = ", ".join(f"r.{name}" for name in COLUMNS)
"""The columns of ``runs AS r`` in the order of the fields of ``Run``."""

UNFINISHED: Final = "r.status IN ('accepted', 'running', 'waiting')"
"""As in the partial indexes, or PostgreSQL does not use them."""

_GET: Final = f"SELECT {RUN} FROM runs r WHERE run_id = $1"
_RECENT: Final = f"SELECT {RUN} FROM runs r WHERE tenant_id = $1 ORDER BY n DESC LIMIT $2"
_OWNED: Final = f"SELECT {RUN} FROM runs r WHERE owner = $1 AND {UNFINISHED} ORDER BY n"
_HEADS: Final = "SELECT run_id, last_seq FROM runs WHERE run_id = ANY($1::text[])"
_READ: Final = """
    SELECT seq, epoch, type, family, stage, body FROM events
    WHERE run_id = $1 AND seq > $2 %s ORDER BY seq LIMIT $3"""
_READ_ALL: Final = _READ % ""
_READ_WITHOUT_DELTAS: Final = _READ % "AND family <> 'token'"


def to_run(row: asyncpg.Record) -> Run:
    """Make a ``Run`` of a row of the columns ``RUN``."""
    return Run(*row)


async def get_run(db: Connection, run_id: str) -> Run | None:
    """The run, or None."""
    row = await db.fetchrow(_GET, run_id)
    return None if row is None else to_run(row)


async def recent_runs(db: Connection, tenant_id: str, limit: int) -> list[Run]:
    """The tenant's newest runs first."""
    return [to_run(row) for row in await db.fetch(_RECENT, tenant_id, max(limit, 0))]


async def owned_runs(db: Connection, executor: str) -> list[Run]:
    """The executor's unfinished runs, the oldest first."""
    return [to_run(row) for row in await db.fetch(_OWNED, executor)]


async def read_events(db: Connection, run_id: str, after: int, limit: int, deltas: bool) -> list[Stored]:
    """One page of events with ``seq > after``, at most ``PAGE``."""
    query = _READ_ALL if deltas else _READ_WITHOUT_DELTAS
    return [Stored(*row) for row in await db.fetch(query, run_id, after, max(min(limit, PAGE), 0))]


async def last_seqs(db: Connection, run_ids: Sequence[str]) -> dict[str, int]:
    """How far those runs have come; unknown ones are left out."""
    return {row[0]: row[1] for row in await db.fetch(_HEADS, list(run_ids))}


async def size_of(db: Connection, run_id: str) -> int:
    """Bytes of the run's events."""
    query = "SELECT coalesce(sum(octet_length(body)), 0)::bigint FROM events WHERE run_id = $1"
    return int(await db.fetchval(query, run_id))


async def publisher_seq(db: Connection, run_id: str, publisher: str) -> int:
    """The publisher's last number, or 0."""
    query = "SELECT last_pub_seq FROM publishers WHERE run_id = $1 AND publisher = $2"
    return await db.fetchval(query, run_id, publisher) or 0


async def spent(db: Connection, tenant_id: str, day: int) -> tuple[int, int]:
    """What the day's runs hold back and have spent."""
    row = await db.fetchrow("SELECT reserved, spent FROM ledger WHERE tenant_id = $1 AND day = $2", tenant_id, day)
    return (0, 0) if row is None else (row[0], row[1])
