"""Connections to PostgreSQL: a few, each bounded in time, each left behind at the first doubt.

A piece of work has 5 s to get a free connection, 5 s to connect if none is idle, and 5 s to finish. Then its connection is
cut, without a cancel request: the server may be committing at that moment, and a cancelled commit can look finished to the
server before its standby has it. The idle connections are cut with it, since what silenced one has mostly silenced all. So
no call waits for ever on a network that swallows packets, and the next one finds out afresh. (asyncpg's own pool sends
cancel requests and closes idle connections politely, without a limit.)

Work goes on to its end when whoever asked for it is cancelled, as it does in the thread of the SQLite log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, TypeAlias, TypeVar
from urllib.parse import urlsplit

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from runtime.errors import CallerError, ConfigurationError, StoreUnavailable
from runtime.log.postgres_errors import refused, unavailable
from runtime.log.postgres_settings import READ_BACK, SESSION, Found, refuse_unsafe

T = TypeVar("T")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

CONNECT_S: Final = 5.0
WORK_S: Final = 5.0
"""As the sessions' ``statement_timeout``."""
CLOSE_S: Final = 1.0


def server_of(url: str) -> str:
    """Where ``url`` leads, for people: without user, password and options."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


async def connect(url: str, settings: Mapping[str, str] = SESSION) -> Connection:
    """A connection to a primary that is safe to write to. Raises the driver's errors and ``ConfigurationError``."""
    return (await connect_and_read_back(url, settings))[0]


async def connect_and_read_back(url: str, settings: Mapping[str, str] = SESSION) -> tuple[Connection, Found]:
    """The same, and the settings it was found to have."""
    async with asyncio.timeout(CONNECT_S):
        try:
            connection: Connection = await asyncpg.connect(
                url, timeout=CONNECT_S, server_settings=dict(settings), target_session_attrs=SessionAttribute.read_write
            )
        except ValueError as error:
            raise ConfigurationError(f"HEADRACE_LOG: {error}") from error
        try:
            (row,) = await connection.fetch(READ_BACK)
            found = dict(row)
            refuse_unsafe(found)
        except BaseException:
            connection.terminate()
            raise
        return connection, found


async def let_go(connection: Connection) -> None:
    """Close politely; cut what does not answer in time."""
    try:
        await connection.close(timeout=CLOSE_S)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


class Connections:
    """Up to ``limit`` connections, made when they are needed and kept for the next."""

    def __init__(self, url: str, limit: int, *, begin: Callable[[Connection], Awaitable[None]] | None = None) -> None:
        """``begin`` is done first on every connection but that of ``open``; if it fails, so does the work."""
        self._begin = begin
        self.server: Final = server_of(url)
        self._url = url
        self._free = asyncio.Semaphore(limit)
        self._idle: list[Connection] = []
        self._under_way: set[asyncio.Task[object]] = set()
        self._closed = False

    async def open(self) -> Found:
        """Make the first connection and give the server's settings. Raises ``ConfigurationError``, ``StoreUnavailable``."""
        try:
            connection, found = await connect_and_read_back(self._url)
        except Exception as error:
            if (translated := refused(error, self.server)) is not None:
                raise translated from error
            raise
        self._idle.append(connection)
        return found

    async def close(self) -> None:
        """Refuse what comes, wait for what is under way, let go; safe to call twice."""
        self._closed = True
        if self._under_way:
            await asyncio.wait(self._under_way)
        while self._idle:
            await let_go(self._idle.pop())

    async def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Give ``work`` a connection and return what it gives.

        Raises ``StoreUnavailable`` when the store cannot be reached or does not answer in time, even though ``work`` may
        have been committed; and what ``work`` raises.
        """
        if self._closed:
            raise StoreUnavailable(f"the log at {self.server} is closed")
        task = asyncio.create_task(self._translated(work))
        self._under_way.add(task)
        task.add_done_callback(self._settled)
        return await asyncio.shield(task)

    def _settled(self, task: asyncio.Task[T]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may have gone

    async def _translated(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._free.acquire()
            try:
                return await self._bounded(work)
            finally:
                self._free.release()
        except Exception as error:
            if (translated := unavailable(error, self.server)) is not None:
                raise translated from error
            raise

    async def _bounded(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        connection = self._take() or await self._connect()
        watchdog = asyncio.get_running_loop().call_later(WORK_S, self._cut, connection)
        try:
            done = await work(connection)
        except CallerError:
            self._give_back(connection)  # an answer of ours, given with the transaction over
            raise
        except BaseException:
            # Cheaper than to find out what state it is in.
            connection.terminate()
            raise
        finally:
            watchdog.cancel()
        self._give_back(connection)
        return done

    async def _connect(self) -> Connection:
        connection = await connect(self._url)
        if self._begin is None:
            return connection
        try:
            async with asyncio.timeout(WORK_S):
                await self._begin(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def _take(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
            connection.terminate()
        return None

    def _give_back(self, connection: Connection) -> None:
        if not connection.is_closed():
            self._idle.append(connection)

    def _cut(self, connection: Connection) -> None:
        connection.terminate()
        while self._idle:
            self._idle.pop().terminate()
