"""Creation, leases and claims: each one statement where the order of things allows it.

``now`` is a time of the caller's own for tests, else None: then the store's clock counts, asked where it is needed, so
that time spent waiting for a lock counts too. Nobody else's clock is believed.
"""

from __future__ import annotations

from typing import Final

import asyncpg

from runtime.errors import InvalidRequest, StoreUnavailable
from runtime.log.decide import DAY_S, HANDOUT_S, IDEMPOTENCY_KEPT_S, busy, created, require_share, run_exists
from runtime.log.log import Created, Lease, NewRun, Run
from runtime.log.postgres_connections import Connection
from runtime.log.postgres_conversations import enter
from runtime.log.postgres_reads import COLUMNS, RUN, UNFINISHED, get_run, to_run

_NOW: Final = "coalesce($1::float8, extract(epoch FROM clock_timestamp())::float8)"

_STORED: Final = tuple(name for name in COLUMNS if name not in ("created_at", "deadline_at"))
_CREATE: Final = f"""
    WITH clock AS MATERIALIZED (
        SELECT {_NOW} AS now WHERE NOT EXISTS (SELECT FROM deleted_runs WHERE run_id = $3::text)),
    named AS (
        INSERT INTO idempotency AS i (tenant_id, idempotency_key, run_id, hash, created_at)
        SELECT $4, $2, $3, $5, now FROM clock WHERE $2::text IS NOT NULL
        ON CONFLICT (tenant_id, idempotency_key) DO UPDATE
            SET run_id = excluded.run_id, hash = excluded.hash, created_at = excluded.created_at
            WHERE i.created_at <= excluded.created_at - {IDEMPOTENCY_KEPT_S}
        RETURNING 1),
    run AS (
        INSERT INTO runs (created_at, deadline_at, {", ".join(_STORED)})
        SELECT now, now + $6::float8, {", ".join(f"${n}" for n in range(11, 11 + len(_STORED)))} FROM clock
        WHERE $2::text IS NULL OR EXISTS (SELECT FROM named)
        RETURNING run_id, n, created_at),
    written AS (
        INSERT INTO events (run_id, seq, epoch, type, family, stage, body)
        SELECT run.run_id, e.seq, 0, e.type, e.family, e.stage, e.body FROM run, unnest(
            $7::text[], $8::text[], $9::text[], $10::bytea[]) WITH ORDINALITY AS e (type, family, stage, body, seq)),
    day AS (
        INSERT INTO ledger (tenant_id, day, reserved, spent)
        SELECT $4, floor(created_at / 86400), 0, 0 FROM run ON CONFLICT DO NOTHING)
    SELECT n, created_at FROM run"""
"""Gives no row when the key names a run already, or when the run's id was a deleted one's. The day's row is made here so
that an append always finds one to lock."""

_FORGET_KEYS: Final = f"""
    DELETE FROM idempotency WHERE (tenant_id, idempotency_key) IN (
        SELECT tenant_id, idempotency_key FROM idempotency WHERE created_at <= {_NOW} - {IDEMPOTENCY_KEPT_S}
        ORDER BY created_at LIMIT 100 FOR UPDATE SKIP LOCKED)"""

_CLAIM: Final = f"""
    WITH me AS MATERIALIZED (
        SELECT 1 FROM executors WHERE executor = $2 AND lease_expires_at > {_NOW} FOR SHARE),
    free AS MATERIALIZED (
        SELECT r.n FROM runs r JOIN runs seen USING (n) LEFT JOIN executors e ON e.executor = seen.owner
        WHERE r.epoch = seen.epoch AND {UNFINISHED} AND EXISTS (SELECT FROM me) AND ($4::text IS NULL OR r.run_id = $4) AND (
            (r.status = 'accepted' AND ($4 IS NOT NULL OR r.created_at + {HANDOUT_S} < {_NOW}))
            OR (r.status = 'running' AND coalesce(e.lease_expires_at, 0) <= {_NOW})
            OR (r.status = 'waiting' AND (r.cancel_requested OR r.wake_at <= {_NOW})))
        ORDER BY r.n LIMIT $3 FOR UPDATE OF r %s),
    taken AS (
        UPDATE runs r SET
            status = 'running', epoch = r.epoch + 1, owner = $2, wake_at = NULL,
            takeovers = r.takeovers + (r.status = 'running' AND r.owner IS NOT NULL AND r.epoch = (
                SELECT e.epoch FROM events e WHERE e.run_id = r.run_id AND e.seq = r.last_seq))::int
        FROM free WHERE r.n = free.n RETURNING r.*)
    SELECT {RUN} FROM taken r ORDER BY r.n"""
"""``seen`` is the run as it was when the statement began. Once its row is locked, PostgreSQL asks the conditions again with
the row as it has become, but with the others as they were: without ``seen`` a run that another executor has just claimed
would look like one whose owner has no lease."""
_CLAIM_ANY: Final = _CLAIM % "SKIP LOCKED"
_CLAIM_ONE: Final = _CLAIM % ""
"""Waits for a run that is just being written to; an answer ``not claimable`` must not mean ``busy``."""

_RENEW: Final = f"""
    INSERT INTO executors AS e (executor, lease_expires_at) VALUES ($2, {_NOW} + $3::float8)
    ON CONFLICT (executor) DO UPDATE SET lease_expires_at =
        CASE WHEN e.lease_expires_at <= {_NOW} THEN 0 ELSE {_NOW} + $3::float8 END
    RETURNING lease_expires_at > 0"""
_TO_CANCEL: Final = f"SELECT run_id FROM runs r WHERE owner = $1 AND {UNFINISHED} AND cancel_requested ORDER BY n"
_REVOKE: Final = """
    INSERT INTO executors (executor, lease_expires_at) VALUES ($1, 0)
    ON CONFLICT (executor) DO UPDATE SET lease_expires_at = 0"""
_HAND_OVER: Final = f"""
    UPDATE runs SET owner = NULL WHERE n IN (
        SELECT n FROM runs r WHERE owner = $1 AND {UNFINISHED} ORDER BY run_id FOR UPDATE)"""

_NAMED: Final = f"""
    SELECT run_id, hash FROM idempotency
    WHERE tenant_id = $2 AND idempotency_key = $3 AND created_at > {_NOW} - {IDEMPOTENCY_KEPT_S}"""
_WAS_DELETED: Final = "SELECT EXISTS (SELECT FROM deleted_runs WHERE run_id = $1)"


_LOCK_TENANT: Final = "SELECT pg_advisory_xact_lock(1212437059, hashtext($1))"
"""The first number is ``HDRC``, as in ``postgres_schema``; advisory locks with two numbers are others than those with one."""
_SHARE: Final = f"""
    SELECT {_NOW},
        (SELECT count(*) FROM runs r WHERE r.tenant_id = $2 AND {UNFINISHED} AND r.status <> 'waiting'),
        coalesce((SELECT spent FROM ledger l WHERE l.tenant_id = $2 AND l.day = floor({_NOW} / {DAY_S})), 0)"""


async def create(db: Connection, new: NewRun, now: float | None) -> Created:
    """See ``Log.create``."""
    if new.most_runs is not None or new.day_budget is not None:
        async with (
            db.transaction()
        ):  # held until the run is there: of two doors that create at once, one sees the other's
            await db.execute(_LOCK_TENANT, new.tenant_id)
            existing = await _named_by_key(db, new, now)
            if existing is not None:
                return Created(existing, existing=True)
            await _refuse_over_quota(db, new, now)
            return await _create(db, new, now)
    return await _create(db, new, now)


async def _refuse_over_quota(db: Connection, new: NewRun, now: float | None) -> None:
    at, in_flight, spent = await db.fetchrow(_SHARE, now, new.tenant_id)  # type: ignore[misc]  # one row always
    require_share(new, in_flight=in_flight, spent=spent, now=at)


async def _create(db: Connection, new: NewRun, now: float | None) -> Created:
    for _ in range(2):  # a key may grow too old between the two questions
        at = await _insert(db, new, now)
        if at is not None:
            return Created(created(new, now=at), existing=False)
        existing = await _named_by_key(db, new, now)
        if existing is not None:
            return Created(existing, existing=True)
        if await db.fetchval(_WAS_DELETED, new.run_id):
            raise run_exists(new.run_id)
    raise StoreUnavailable("the Idempotency-Key is being taken and given up by others; try again")


async def claim(db: Connection, run_id: str | None, executor: str, limit: int, now: float | None) -> list[Run]:
    """See ``Log.claim``."""
    query = _CLAIM_ANY if run_id is None else _CLAIM_ONE
    return [to_run(row) for row in await db.fetch(query, now, executor, max(limit, 0), run_id)]


async def renew(db: Connection, executor: str, ttl_s: float, now: float | None) -> Lease:
    """See ``Log.renew``."""
    if not await db.fetchval(_RENEW, now, executor, ttl_s):
        return Lease(alive=False)
    rows = await db.fetch(_TO_CANCEL, executor)
    return Lease(alive=True, cancel_requested=tuple(row[0] for row in rows))


async def release(db: Connection, executor: str, *, lost: bool) -> None:
    """See ``Log.release``. The lease first and by itself: a claim under way ends before it, and its runs are seen."""
    async with db.transaction():
        await db.execute(_REVOKE, executor)
        if not lost:
            await db.execute(_HAND_OVER, executor)


async def _insert(db: Connection, new: NewRun, now: float | None) -> float | None:
    """Create the run and give its time, or None when its key names another, or its id is a deleted one's."""
    if new.conversation_id is None:
        row = await _insert_run(db, new, now)
    else:
        async with db.transaction():
            row = await _insert_run(db, new, now)
            if row is not None:
                await enter(db, new, *row)
    if row is not None and new.idempotency_key is not None:
        await db.execute(_FORGET_KEYS, now)
    return None if row is None else row[1]


async def _insert_run(db: Connection, new: NewRun, now: float | None) -> tuple[int, float] | None:
    run = created(new, now=0.0)
    records = [[getattr(r, name) for r in new.records] for name in ("type", "family", "stage", "body")]
    values = [getattr(run, name) for name in _STORED]
    try:
        row = await db.fetchrow(
            _CREATE, now, new.idempotency_key, new.run_id, new.tenant_id, new.idempotency_hash, new.deadline_s,
            *records, *values,
        )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        match error.constraint_name:
            case "runs_pkey":
                raise run_exists(new.run_id) from error
            case "one_unfinished_run_per_conversation":
                raise busy() from error
        raise
    return None if row is None else (row[0], row[1])


async def _named_by_key(db: Connection, new: NewRun, now: float | None) -> Run | None:
    if new.idempotency_key is None:
        return None
    row = await db.fetchrow(_NAMED, now, new.tenant_id, new.idempotency_key)
    if row is None:
        return None
    if row["hash"] != new.idempotency_hash:
        raise InvalidRequest("this Idempotency-Key was used with another request body")
    return await get_run(db, row["run_id"])
