"""The log in a SQLite file: the store of one machine, nothing acknowledged is lost with the process or the power.

``SqliteLog`` is the whole port, for the one process that writes; ``SqliteReader`` is the reading half, for any number
of others beside it. Both are shells: the work stands in ``sqlite_writer`` and ``sqlite_reads`` and runs in threads.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from runtime.clock import Clock
from runtime.errors import StoreUnavailable
from runtime.events.envelope import Stored
from runtime.log.census import Census
from runtime.log.credentials import Key
from runtime.log.decide import PAGE
from runtime.log.log import Conversation, Created, Lease, NewRun, Run, Write, Written
from runtime.log.reset import Jump, machine_boot_id, random_jump
from runtime.log.sqlite_census import census
from runtime.log.sqlite_file import open_for_reading
from runtime.log.sqlite_keys import add_key, expire_key, get_key, list_keys, revoke_key
from runtime.log.sqlite_reads import (
    get_conversation,
    get_run,
    last_seqs,
    read_events,
    recent_conversations,
    recent_runs,
    runs_of,
    size_of,
)
from runtime.log.sqlite_thread import StoreThread
from runtime.log.sqlite_writer import SqliteWriter

T = TypeVar("T")


class SqliteReader:
    """Reads what is committed in the file at ``path``; finds nothing while there is no file. Needs no opening."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread: StoreThread | None = None
        self._db: sqlite3.Connection | None = None

    async def close(self) -> None:
        """Let go of the file; safe to call twice, and a later read opens it again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            await thread.run(self._disconnect)
            thread.stop()

    async def get(self, run_id: str) -> Run | None:
        return await self._ask(lambda db: get_run(db, run_id), None)

    async def recent(self, *, tenant_id: str, limit: int = 50) -> list[Run]:
        return await self._ask(lambda db: recent_runs(db, tenant_id, limit), [])

    async def read(self, run_id: str, *, after: int, limit: int = PAGE, deltas: bool = True) -> list[Stored]:
        return await self._ask(lambda db: read_events(db, run_id, after, limit, deltas), [])

    async def heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        return await self._ask(lambda db: last_seqs(db, run_ids), {})

    async def size(self, run_id: str) -> int:
        return await self._ask(lambda db: size_of(db, run_id), 0)

    async def census(self, *, tenant_id: str | None, since: float, limit: int) -> Census:
        return await self._ask(lambda db: census(db, tenant_id, since, limit), Census((), (), (), ()))

    async def conversations(self, *, tenant_id: str, limit: int = 50, before: int | None = None) -> list[Conversation]:
        return await self._ask(lambda db: recent_conversations(db, tenant_id, limit, before), [])

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        return await self._ask(lambda db: get_conversation(db, tenant_id, conversation_id), None)

    async def runs_of(
        self, tenant_id: str, conversation_id: str, *, limit: int = 50, before: str | None = None
    ) -> list[Run]:
        return await self._ask(lambda db: runs_of(db, tenant_id, conversation_id, limit, before), [])

    async def key(self, key_id: str) -> Key | None:
        return await self._ask(lambda db: get_key(db, key_id), None)

    async def keys(self, *, tenant_id: str | None, limit: int = 200) -> list[Key]:
        return await self._ask(lambda db: list_keys(db, tenant_id, limit), [])

    async def _ask(self, question: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        if self._thread is None:
            self._thread = StoreThread("sqlite-reader")
        return await self._thread.run(partial(self._answer, question, nothing))

    def _answer(self, question: Callable[[sqlite3.Connection], T], nothing: T) -> T:
        if self._db is None:
            self._db = open_for_reading(self._path)
        return nothing if self._db is None else question(self._db)

    def _disconnect(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None


class SqliteLog:
    """The whole ``Log`` port. Raises ``StoreLocked`` too, from any write, once another process has taken the file over.

    ``get`` and ``publisher_seq`` go through the write thread: they see the end of every append begun before, also of
    one whose caller was cancelled. ``recent`` and ``read`` have a connection of their own and never hold up an append.
    """

    def __init__(
        self, path: Path, clock: Clock, *, boot_id: Callable[[], str] = machine_boot_id, jump: Jump = random_jump
    ) -> None:
        """``boot_id`` and ``jump``: see ``reset``; both are asked when the log is opened."""
        self._path = path
        self._clock = clock
        self._boot_id = boot_id
        self._jump = jump
        self._reader = SqliteReader(path)
        self._thread: StoreThread | None = None
        self._writer: SqliteWriter | None = None

    async def open(self) -> None:
        if self._thread is not None:
            return
        thread = self._thread = StoreThread("sqlite-writer")
        try:
            await thread.run(self._take_file)
        except Exception:
            self._thread = None
            thread.stop()
            raise

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is None:
            return
        # The reader first: the last connection to close is the one that checkpoints, and that must be the writer.
        await self._reader.close()
        await thread.run(self._let_go)
        thread.stop()

    async def create(self, new: NewRun) -> Created:
        return await self._write(lambda writer: writer.create(new, self._clock.now()))

    async def append(self, writes: Sequence[Write]) -> list[Written]:
        return await self._write(lambda writer: writer.append(writes))

    async def publisher_seq(self, run_id: str, publisher: str) -> int:
        return await self._write(lambda writer: writer.publisher_seq(run_id, publisher))

    async def get(self, run_id: str) -> Run | None:
        return await self._write(lambda writer: get_run(writer.db, run_id))

    async def recent(self, *, tenant_id: str, limit: int = 50) -> list[Run]:
        self._opened()
        return await self._reader.recent(tenant_id=tenant_id, limit=limit)

    async def read(self, run_id: str, *, after: int, limit: int = PAGE, deltas: bool = True) -> list[Stored]:
        self._opened()
        return await self._reader.read(run_id, after=after, limit=limit, deltas=deltas)

    async def heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        self._opened()
        return await self._reader.heads(run_ids)

    async def size(self, run_id: str) -> int:
        self._opened()
        return await self._reader.size(run_id)

    async def claim(self, run_id: str | None, *, executor: str, limit: int = 16) -> list[Run]:
        return await self._write(lambda writer: writer.claim(run_id, executor, limit, self._clock.now()))

    async def renew(self, executor: str, *, ttl_s: float) -> Lease:
        return await self._write(lambda writer: writer.renew(executor, ttl_s, self._clock.now()))

    async def owned(self, executor: str) -> list[Run]:
        return await self._write(lambda writer: writer.owned(executor))

    async def release(self, executor: str, *, lost: bool = False) -> None:
        await self._write(lambda writer: writer.release(executor, lost=lost))

    async def spent(self, tenant_id: str, day: int) -> tuple[int, int]:
        return await self._write(lambda writer: writer.spent(tenant_id, day))

    async def census(self, *, tenant_id: str | None, since: float, limit: int) -> Census:
        self._opened()
        return await self._reader.census(tenant_id=tenant_id, since=since, limit=limit)

    async def conversations(self, *, tenant_id: str, limit: int = 50, before: int | None = None) -> list[Conversation]:
        self._opened()
        return await self._reader.conversations(tenant_id=tenant_id, limit=limit, before=before)

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        self._opened()
        return await self._reader.conversation(tenant_id, conversation_id)

    async def runs_of(
        self, tenant_id: str, conversation_id: str, *, limit: int = 50, before: str | None = None
    ) -> list[Run]:
        self._opened()
        return await self._reader.runs_of(tenant_id, conversation_id, limit=limit, before=before)

    async def delete_conversation(self, tenant_id: str, conversation_id: str) -> tuple[str, ...]:
        run_ids = await self._write(lambda writer: writer.close_conversation((tenant_id, conversation_id)))
        for run_id in run_ids:
            await self._write(partial(SqliteWriter.delete_run, run_id=run_id))
        await self._write(SqliteWriter.forget)
        return tuple(run_ids)

    async def key(self, key_id: str) -> Key | None:
        return await self._write(lambda writer: get_key(writer.db, key_id))

    async def keys(self, *, tenant_id: str | None, limit: int = 200) -> list[Key]:
        return await self._write(lambda writer: list_keys(writer.db, tenant_id, limit))

    async def add_key(self, key: Key) -> None:
        await self._write(lambda writer: writer.change(lambda db: add_key(db, key)))

    async def revoke_key(self, key_id: str, at: float) -> Key | None:
        return await self._write(lambda writer: writer.change(lambda db: revoke_key(db, key_id, at)))

    async def expire_key(self, key_id: str, at: float) -> Key | None:
        return await self._write(lambda writer: writer.change(lambda db: expire_key(db, key_id, at)))

    async def _write(self, work: Callable[[SqliteWriter], T]) -> T:
        return await self._opened().run(partial(self._with_writer, work))

    def _opened(self) -> StoreThread:
        if self._thread is None:
            raise StoreUnavailable("the log is not open")
        return self._thread

    def _with_writer(self, work: Callable[[SqliteWriter], T]) -> T:
        if self._writer is None:
            raise StoreUnavailable(f"{self._path} is not open")
        return work(self._writer)

    def _take_file(self) -> None:
        self._writer = SqliteWriter(self._path, self._boot_id(), self._jump)

    def _let_go(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
