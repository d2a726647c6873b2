"""The log in PostgreSQL: the store of several machines, nothing acknowledged is lost with a process or the power.

``PostgresLog`` is the whole port, for the hub; ``PostgresReader`` is the reading half, for doors and executors. Both are
shells around a few connections. Several hubs may write to one database: every append is decided against rows that hold
still, and the runs' epochs and numbers fence whoever comes late. After a lost connection it is unknown whether an append
was committed; the sequencer repeats it under the same publisher's number and is told ``repeated``.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Final

from runtime.clock import Clock
from runtime.errors import StoreUnavailable
from runtime.events.envelope import Stored
from runtime.log.census import Census
from runtime.log.credentials import Key
from runtime.log.decide import PAGE
from runtime.log.log import Conversation, Created, Lease, NewRun, Run, Write, Written
from runtime.log.postgres_append import append
from runtime.log.postgres_census import census
from runtime.log.postgres_connections import Connection, Connections, server_of
from runtime.log.postgres_conversations import close, delete_run, get_conversation, recent_conversations, runs_of
from runtime.log.postgres_hints import PostgresHints as PostgresHints
from runtime.log.postgres_hints import PostgresNotifier
from runtime.log.postgres_history import begin
from runtime.log.postgres_keys import add_key, expire_key, get_key, list_keys, revoke_key
from runtime.log.postgres_ownership import claim, create, release, renew
from runtime.log.postgres_reads import (
    get_run,
    last_seqs,
    owned_runs,
    publisher_seq,
    read_events,
    recent_runs,
    size_of,
    spent,
)
from runtime.log.postgres_schema import ensure_schema
from runtime.log.postgres_settings import warnings
from runtime.log.reset import Jump, random_jump
from runtime.telemetry import logger

_log = logger("postgres")

LOG_CONNECTIONS: Final = 8
"""JOURNAL.md 1.9; one appends, the others create, claim, renew and read beside it."""

READER_CONNECTIONS: Final = 3
"""Per process; there are many more readers than hubs."""


class PostgresReader:
    """Reads what is committed in the database at ``url``. Needs no opening: it connects when it is first asked."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connections: Connections | None = None

    async def close(self) -> None:
        """Let go of the connections; safe to call twice, and a later read connects again."""
        connections, self._connections = self._connections, None
        if connections is not None:
            await connections.close()

    async def get(self, run_id: str) -> Run | None:
        return await self._connected().run(lambda db: get_run(db, run_id))

    async def recent(self, *, tenant_id: str, limit: int = 50) -> list[Run]:
        return await self._connected().run(lambda db: recent_runs(db, tenant_id, limit))

    async def read(self, run_id: str, *, after: int, limit: int = PAGE, deltas: bool = True) -> list[Stored]:
        return await self._connected().run(lambda db: read_events(db, run_id, after, limit, deltas))

    async def heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        return await self._connected().run(lambda db: last_seqs(db, run_ids))

    async def census(self, *, tenant_id: str | None, since: float, limit: int) -> Census:
        return await self._connected().run(lambda db: census(db, tenant_id, since, limit))

    async def conversations(self, *, tenant_id: str, limit: int = 50, before: int | None = None) -> list[Conversation]:
        return await self._connected().run(lambda db: recent_conversations(db, tenant_id, limit, before))

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        return await self._connected().run(lambda db: get_conversation(db, tenant_id, conversation_id))

    async def runs_of(
        self, tenant_id: str, conversation_id: str, *, limit: int = 50, before: str | None = None
    ) -> list[Run]:
        return await self._connected().run(lambda db: runs_of(db, tenant_id, conversation_id, limit, before))

    async def key(self, key_id: str) -> Key | None:
        return await self._connected().run(lambda db: get_key(db, key_id))

    async def keys(self, *, tenant_id: str | None, limit: int = 200) -> list[Key]:
        return await self._connected().run(lambda db: list_keys(db, tenant_id, limit))

    def _connected(self) -> Connections:
        if self._connections is None:
            self._connections = Connections(self._url, READER_CONNECTIONS)
        return self._connections


class PostgresLog:
    """The whole ``Log`` port. ``clock`` is for tests; without one all times are the database's own."""

    def __init__(
        self,
        url: str,
        clock: Clock | None = None,
        notifier: PostgresNotifier | None = None,
        *,
        jump: Jump = random_jump,
    ) -> None:
        self._jump = jump
        self._url = url
        self._clock = clock
        self._notifier = notifier
        self._connections: Connections | None = None

    async def open(self) -> None:
        if self._connections is not None:
            return
        connections = Connections(self._url, LOG_CONNECTIONS, begin=self._begin)
        try:
            found = await connections.open()
            await ensure_schema(self._url)
            await connections.run(self._begin)
        except BaseException:
            await connections.close()
            raise
        for warning in warnings(found):
            _log.warning("%s: %s", connections.server, warning)
        self._connections = connections
        if self._notifier is not None:
            self._notifier.start()

    async def close(self) -> None:
        connections, self._connections = self._connections, None
        if connections is None:
            return
        await connections.close()
        if self._notifier is not None:
            await self._notifier.stop()

    async def create(self, new: NewRun) -> Created:
        return await self._opened().run(lambda db: create(db, new, self._now()))

    async def append(self, writes: Sequence[Write]) -> list[Written]:
        answers = await self._opened().run(lambda db: append(db, writes))
        if self._notifier is not None:
            pairs = zip(writes, answers, strict=True)
            self._notifier.changed(write.run_id for write, answer in pairs if answer.outcome == "committed")
        return answers

    async def publisher_seq(self, run_id: str, publisher: str) -> int:
        return await self._opened().run(lambda db: publisher_seq(db, run_id, publisher))

    async def get(self, run_id: str) -> Run | None:
        return await self._opened().run(lambda db: get_run(db, run_id))

    async def recent(self, *, tenant_id: str, limit: int = 50) -> list[Run]:
        return await self._opened().run(lambda db: recent_runs(db, tenant_id, limit))

    async def read(self, run_id: str, *, after: int, limit: int = PAGE, deltas: bool = True) -> list[Stored]:
        return await self._opened().run(lambda db: read_events(db, run_id, after, limit, deltas))

    async def heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        return await self._opened().run(lambda db: last_seqs(db, run_ids))

    async def size(self, run_id: str) -> int:
        return await self._opened().run(lambda db: size_of(db, run_id))

    async def claim(self, run_id: str | None, *, executor: str, limit: int = 16) -> list[Run]:
        return await self._opened().run(lambda db: claim(db, run_id, executor, limit, self._now()))

    async def renew(self, executor: str, *, ttl_s: float) -> Lease:
        return await self._opened().run(lambda db: renew(db, executor, ttl_s, self._now()))

    async def owned(self, executor: str) -> list[Run]:
        return await self._opened().run(lambda db: owned_runs(db, executor))

    async def release(self, executor: str, *, lost: bool = False) -> None:
        await self._opened().run(lambda db: release(db, executor, lost=lost))

    async def spent(self, tenant_id: str, day: int) -> tuple[int, int]:
        return await self._opened().run(lambda db: spent(db, tenant_id, day))

    async def census(self, *, tenant_id: str | None, since: float, limit: int) -> Census:
        return await self._opened().run(lambda db: census(db, tenant_id, since, limit))

    async def conversations(self, *, tenant_id: str, limit: int = 50, before: int | None = None) -> list[Conversation]:
        return await self._opened().run(lambda db: recent_conversations(db, tenant_id, limit, before))

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        return await self._opened().run(lambda db: get_conversation(db, tenant_id, conversation_id))

    async def runs_of(
        self, tenant_id: str, conversation_id: str, *, limit: int = 50, before: str | None = None
    ) -> list[Run]:
        return await self._opened().run(lambda db: runs_of(db, tenant_id, conversation_id, limit, before))

    async def delete_conversation(self, tenant_id: str, conversation_id: str) -> tuple[str, ...]:
        connections = self._opened()
        run_ids = await connections.run(lambda db: close(db, tenant_id, conversation_id))
        for run_id in run_ids:
            await connections.run(partial(delete_run, run_id=run_id))
        return tuple(run_ids)

    async def key(self, key_id: str) -> Key | None:
        return await self._opened().run(lambda db: get_key(db, key_id))

    async def keys(self, *, tenant_id: str | None, limit: int = 200) -> list[Key]:
        return await self._opened().run(lambda db: list_keys(db, tenant_id, limit))

    async def add_key(self, key: Key) -> None:
        await self._opened().run(lambda db: add_key(db, key))

    async def revoke_key(self, key_id: str, at: float) -> Key | None:
        return await self._opened().run(lambda db: revoke_key(db, key_id, at))

    async def expire_key(self, key_id: str, at: float) -> Key | None:
        return await self._opened().run(lambda db: expire_key(db, key_id, at))

    async def _begin(self, db: Connection) -> None:
        await begin(db, self._jump)

    def _now(self) -> float | None:
        return None if self._clock is None else self._clock.now()

    def _opened(self) -> Connections:
        if self._connections is None:
            raise StoreUnavailable(f"the log at {server_of(self._url)} is not open")
        return self._connections
