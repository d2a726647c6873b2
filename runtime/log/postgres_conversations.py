"""What is asked of and written to the conversations in a PostgreSQL log.

A conversation's row is locked by whoever enters it and by whoever deletes it, so that one of them waits and then sees
what the other did. Who enters has its run's row first; who deletes takes no row of an unfinished run: no deadlock.
"""

from __future__ import annotations

from typing import Final

from runtime.errors import NotFound
from runtime.log.decide import busy, deleted, require_followed, title_in
from runtime.log.log import TERMINAL, Conversation, NewRun, Run
from runtime.log.postgres_connections import Connection
from runtime.log.postgres_reads import RUN, to_run

_CONVERSATION: Final = """
    SELECT c.tenant_id, c.conversation_id, c.title, c.created_at, c.updated_at, c.place,
        first.question, sums.runs, sums.reserved, sums.spent
    FROM conversations c
    CROSS JOIN LATERAL (
        SELECT question FROM runs r WHERE r.tenant_id = c.tenant_id AND r.conversation_id = c.conversation_id
        ORDER BY n LIMIT 1) first
    CROSS JOIN LATERAL (
        SELECT count(*) AS runs, sum(reserved)::bigint AS reserved, sum(spent)::bigint AS spent
        FROM runs r WHERE r.tenant_id = c.tenant_id AND r.conversation_id = c.conversation_id) sums
    WHERE NOT c.deleted AND c.tenant_id = $1"""
_GET: Final = f"{_CONVERSATION} AND c.conversation_id = $2"
_RECENT: Final = f"{_CONVERSATION} AND ($2::bigint IS NULL OR c.place < $2) ORDER BY c.place DESC LIMIT $3"
_RUNS_OF: Final = f"""
    SELECT {RUN} FROM runs r WHERE r.tenant_id = $1 AND r.conversation_id = $2
    AND ($3::text IS NULL OR r.n < (
        SELECT n FROM runs WHERE run_id = $3 AND tenant_id = $1 AND conversation_id = $2))
    ORDER BY r.n DESC LIMIT $4"""

_BEGIN: Final = """
    INSERT INTO conversations (tenant_id, conversation_id, title, created_at, updated_at, place)
    VALUES ($1, $2, $3, $4, $4, $5) ON CONFLICT DO NOTHING RETURNING 1"""
_LOCK: Final = """
    SELECT deleted, (SELECT run_id FROM runs WHERE n = place) FROM conversations
    WHERE tenant_id = $1 AND conversation_id = $2 FOR UPDATE"""
_ENTER: Final = """
    UPDATE conversations SET title = coalesce(title, $3), updated_at = $4, place = $5
    WHERE tenant_id = $1 AND conversation_id = $2"""
_CLOSE: Final = "UPDATE conversations SET title = NULL, deleted = true WHERE tenant_id = $1 AND conversation_id = $2"
_RUNS: Final = "SELECT run_id, status FROM runs WHERE tenant_id = $1 AND conversation_id = $2 ORDER BY n"
_DELETE: Final = (
    "DELETE FROM events WHERE run_id = $1",
    "DELETE FROM publishers WHERE run_id = $1",
    "DELETE FROM idempotency WHERE run_id = $1",
    "DELETE FROM runs WHERE run_id = $1",
    "INSERT INTO deleted_runs (run_id) VALUES ($1) ON CONFLICT DO NOTHING",
)


async def recent_conversations(db: Connection, tenant_id: str, limit: int, before: int | None) -> list[Conversation]:
    """The tenant's conversations with a lower place than ``before``, the newest first."""
    return [Conversation(*row) for row in await db.fetch(_RECENT, tenant_id, before, max(limit, 0))]


async def get_conversation(db: Connection, tenant_id: str, conversation_id: str) -> Conversation | None:
    """The conversation, or None."""
    row = await db.fetchrow(_GET, tenant_id, conversation_id)
    return None if row is None else Conversation(*row)


async def runs_of(db: Connection, tenant_id: str, conversation_id: str, limit: int, before: str | None) -> list[Run]:
    """The conversation's runs older than ``before``, the newest first."""
    return [to_run(row) for row in await db.fetch(_RUNS_OF, tenant_id, conversation_id, before, max(limit, 0))]


async def enter(db: Connection, new: NewRun, n: int, at: float) -> None:
    """Make ``new``, which is the run ``n`` created ``at``, the newest of its conversation; begins that if there is none.

    Part of the transaction that creates the run. Raises ``Conflict``.
    """
    place, title = (new.tenant_id, new.conversation_id), title_in(new.records)
    if await db.fetchval(_BEGIN, *place, title, at, n):
        require_followed(new, None)
        return
    # A statement of its own, after the wait for the row: what whoever held it has done is seen.
    held = await db.fetchrow(_LOCK, *place)
    if held is None or held[0]:
        raise deleted()
    require_followed(new, held[1])
    await db.execute(_ENTER, *place, title, at, n)


async def close(db: Connection, tenant_id: str, conversation_id: str) -> list[str]:
    """Let no run enter any more; the ids of those to delete. Raises ``NotFound`` when nothing is left, ``Conflict``."""
    async with db.transaction():
        known = await db.fetchrow(_LOCK, tenant_id, conversation_id)
        runs = await db.fetch(_RUNS, tenant_id, conversation_id)
        if known is None or not runs:
            raise NotFound("no such conversation")
        if any(status not in TERMINAL for _, status in runs):
            raise busy()
        await db.execute(_CLOSE, tenant_id, conversation_id)
    return [run_id for run_id, _ in runs]


async def delete_run(db: Connection, run_id: str) -> None:
    """Delete all that is kept of an ended run but its id."""
    async with db.transaction():
        for statement in _DELETE:
            await db.execute(statement, run_id)
