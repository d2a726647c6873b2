"""The census of a PostgreSQL log."""

from __future__ import annotations

from typing import Final

from runtime.log.census import DAY_S, DAYS, UNFINISHED, Census, DaySum, UnderWay
from runtime.log.postgres_connections import Connection
from runtime.log.postgres_reads import RUN, to_run
from runtime.log.postgres_reads import UNFINISHED as IS_UNFINISHED

_OF_TENANT: Final = "($1::text IS NULL OR tenant_id = $1)"
_COUNT: Final = f"""
    SELECT tenant_id, status, count(*) FROM runs r WHERE {IS_UNFINISHED} AND {_OF_TENANT}
    GROUP BY tenant_id, status ORDER BY tenant_id COLLATE "C", status COLLATE "C\""""
_OLDEST: Final = f"SELECT {RUN} FROM runs r WHERE {IS_UNFINISHED} AND {_OF_TENANT} ORDER BY n LIMIT $2"
_NEWEST: Final = f"""
    SELECT {RUN} FROM (SELECT * FROM runs WHERE %s ORDER BY n DESC LIMIT $2) r WHERE created_at >= $1 ORDER BY n DESC"""
_NEWEST_OF_ALL: Final = _NEWEST % "true"
_NEWEST_OF_TENANT: Final = _NEWEST % "tenant_id = $3"
_DAYS: Final = f"""
    SELECT tenant_id, day, reserved, spent FROM ledger
    WHERE day >= $2 AND {_OF_TENANT} AND (reserved > 0 OR spent > 0)
    ORDER BY day DESC, spent DESC, tenant_id COLLATE "C" LIMIT $3"""


async def census(db: Connection, tenant_id: str | None, since: float, limit: int) -> Census:
    """All four answers as of one moment."""
    asked = (since, max(limit, 0)) if tenant_id is None else (since, max(limit, 0), tenant_id)
    newest = _NEWEST_OF_ALL if tenant_id is None else _NEWEST_OF_TENANT
    async with db.transaction(isolation="repeatable_read", readonly=True):
        counted = await db.fetch(_COUNT, tenant_id)
        oldest = await db.fetch(_OLDEST, tenant_id, UNFINISHED)
        created = await db.fetch(newest, *asked)
        days = await db.fetch(_DAYS, tenant_id, int(since // DAY_S), DAYS)
    return Census(
        under_way=tuple(UnderWay(*row) for row in counted),
        unfinished=tuple(to_run(row) for row in oldest),
        newest=tuple(to_run(row) for row in created),
        days=tuple(DaySum(*row) for row in days),
    )
