"""The append: rows in, ``judge``, rows out, and no transaction held open where none is needed.

Two ways lead to the same statement, ``_WRITE``, which changes a run only if it still is as it was judged.

The short way takes two round trips: read, then write, each a transaction by itself. A client that freezes holds nothing,
and a run that someone else changed in between is left alone and goes the long way. Most writes are text and go this way.

The long way is for writes that move money, whose tenant's day has to hold still, and for runs that changed: one
transaction that first locks the runs, in the order of their ids, then the days, so that two hubs cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from runtime.log.decide import Account
from runtime.log.log import Run, Write, Written
from runtime.log.postgres_batch import Batch, Day, Rows, day_of, judge, may_move_money
from runtime.log.postgres_connections import Connection
from runtime.log.postgres_reads import RUN

_READ: Final = f"""
    SELECT {RUN}, p.publisher, p.last_pub_seq
    FROM unnest($1::text[], $2::text[]) AS asked (run_id, publisher)
    JOIN runs r USING (run_id)
    LEFT JOIN publishers p ON p.run_id = asked.run_id AND p.publisher = asked.publisher"""
"""One statement, so runs and publishers are seen at one moment."""

_LOCK_RUNS: Final = "SELECT FROM runs WHERE run_id = ANY($1::text[]) ORDER BY run_id FOR UPDATE"

_LOCK_DAYS: Final = """
    SELECT l.tenant_id, l.day, l.reserved, l.spent
    FROM ledger l JOIN unnest($1::text[], $2::bigint[]) AS asked (tenant_id, day) USING (tenant_id, day)
    ORDER BY l.tenant_id, l.day FOR UPDATE OF l"""

_WRITE: Final = """
    WITH w AS (
        SELECT * FROM unnest(
            $1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bool[],
            $6::bigint[], $7::text[], $8::bool[], $9::float8[], $10::bigint[], $11::bigint[], $12::bigint[])
        AS w (run_id, epoch, seq_was, status_was, cancel_was,
            last_seq, status, cancel_requested, wake_at, reserved, spent, takeovers)),
    held AS MATERIALIZED (
        SELECT r.run_id FROM runs r JOIN w USING (run_id) ORDER BY r.run_id FOR UPDATE OF r),
    changed AS (
        UPDATE runs r SET
            last_seq = w.last_seq, status = w.status, cancel_requested = w.cancel_requested, wake_at = w.wake_at,
            reserved = w.reserved, spent = w.spent, takeovers = w.takeovers,
            owner = CASE WHEN w.status = 'waiting' THEN NULL ELSE r.owner END
        FROM held JOIN w USING (run_id)
        WHERE r.run_id = held.run_id AND r.epoch = w.epoch AND r.last_seq = w.seq_was
            AND r.status = w.status_was AND r.cancel_requested = w.cancel_was
        RETURNING r.run_id),
    written AS (
        INSERT INTO events (run_id, seq, epoch, type, family, stage, body)
        SELECT e.* FROM unnest(
            $13::text[], $14::bigint[], $15::bigint[], $16::text[], $17::text[], $18::text[], $19::bytea[])
        AS e (run_id, seq, epoch, type, family, stage, body) JOIN changed USING (run_id)),
    numbered AS (
        INSERT INTO publishers (run_id, publisher, last_pub_seq)
        SELECT p.* FROM unnest($20::text[], $21::text[], $22::bigint[]) AS p (run_id, publisher, last_pub_seq)
        JOIN changed USING (run_id)
        ON CONFLICT (run_id, publisher) DO UPDATE SET last_pub_seq = excluded.last_pub_seq),
    settled AS (
        INSERT INTO ledger (tenant_id, day, reserved, spent)
        SELECT * FROM unnest($23::text[], $24::bigint[], $25::bigint[], $26::bigint[])
        ON CONFLICT (tenant_id, day) DO UPDATE SET reserved = excluded.reserved, spent = excluded.spent),
    titled AS (
        UPDATE conversations c SET title = t.title
        FROM unnest($27::text[], $28::text[]) AS t (run_id, title) JOIN changed USING (run_id) JOIN runs r USING (run_id)
        WHERE c.tenant_id = r.tenant_id AND c.conversation_id = r.conversation_id AND c.title IS NULL)
    SELECT run_id FROM changed"""


async def append(db: Connection, writes: Sequence[Write]) -> list[Written]:
    """See ``Log.append``. Every exception leaves it open whether the writes were committed."""
    if may_move_money(writes):
        return await _append_locked(db, writes)
    batch = judge(await _read(db, writes), writes)
    missed = batch.heads.keys() - await _store(db, batch)
    if not missed:
        return batch.answers
    again = await _append_locked(db, [write for write in writes if write.run_id in missed])
    later = iter(again)
    return [next(later) if w.run_id in missed else answer for w, answer in zip(writes, batch.answers, strict=True)]


async def _append_locked(db: Connection, writes: Sequence[Write]) -> list[Written]:
    async with db.transaction():
        await db.execute(_LOCK_RUNS, sorted({write.run_id for write in writes}))
        rows = await _read(db, writes)
        if may_move_money(writes):
            rows.days.update(await _lock_days(db, rows.runs.values()))
        batch = judge(rows, writes)
        missed = batch.heads.keys() - await _store(db, batch)
        assert not missed  # they are locked
    return batch.answers


async def _read(db: Connection, writes: Sequence[Write]) -> Rows:
    pairs = sorted({(write.run_id, write.publisher) for write in writes})
    found = Rows({}, {})
    for row in await db.fetch(_READ, [run_id for run_id, _ in pairs], [publisher for _, publisher in pairs]):
        *run, publisher, last = row
        found.runs[row[0]] = found.runs.get(row[0]) or Run(*run)
        if publisher is not None:
            found.publishers[row[0], publisher] = last
    return found


async def _lock_days(db: Connection, runs: Iterable[Run]) -> dict[Day, Account]:
    days = sorted({day_of(run) for run in runs})
    locked = await db.fetch(_LOCK_DAYS, [tenant_id for tenant_id, _ in days], [day for _, day in days])
    return {(tenant_id, day): Account(None, reserved, spent) for tenant_id, day, reserved, spent in locked}


async def _store(db: Connection, batch: Batch) -> set[str]:
    """Write what still can be; answers which of the changed runs were as they had been judged."""
    if not batch.heads:
        return set()
    runs = [
        (
            *(run_id, was.epoch, was.last_seq, was.status, was.cancel_requested),
            *(head.last_seq, head.status, head.cancel_requested, head.wake_at),
            *(head.account.reserved, head.account.spent, head.takeovers),
        )
        for run_id, head in batch.heads.items()
        for was in [batch.before[run_id]]
    ]
    publishers = [(*pair, last) for pair, last in batch.publishers.items()]
    days = [(*place, account.reserved, account.spent) for place, account in batch.days.items()]
    titles = list(batch.titles.items())
    changes = (*_columns(runs, 12), *_columns(batch.events, 7), *_columns(publishers, 3), *_columns(days, 4))
    columns = (*changes, *_columns(titles, 2))
    return {row[0] for row in await db.fetch(_WRITE, *columns)}


def _columns(rows: Sequence[tuple[object, ...]], width: int) -> list[list[object]]:
    return [[row[column] for row in rows] for column in range(width)]
