"""NOTIFY as a hint: which runs have new events, told after the commit, many at once, and by nobody's transaction.

A commit that notifies takes a lock on the whole database cluster to keep the queue in order, so an append never does
(JOURNAL.md 1.8). The notifier has a connection of its own and sends at most every 20 ms. A hint may be lost: nothing is
delivered to a listener that was away. Readers ask the log by themselves twice a second, and sooner with a hint.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from typing import Final

import asyncpg

from runtime.errors import ConfigurationError
from runtime.log.postgres_connections import WORK_S, Connection, connect, server_of
from runtime.log.postgres_errors import MISCONFIGURED, UNAVAILABLE
from runtime.log.postgres_settings import SESSION
from runtime.telemetry import logger

_log = logger("postgres")

CHANNEL: Final = "headrace_runs"

INTERVAL_S: Final = 0.02
PAYLOAD_BYTES: Final = 7_900
"""PostgreSQL refuses 8,000."""

MAX_WAITING: Final = 10_000
"""Runs a hint is due for; beyond that the oldest hints are forgotten, which costs their readers half a second."""

AGAIN_S: Final = 1.0
"""Between two tries to connect."""

PING_S: Final = 5.0
"""How often a silent listener finds out whether its connection still lives."""

_LOST: Final = (*UNAVAILABLE, *MISCONFIGURED, ConfigurationError)

_HINTING: Final = {**SESSION, "synchronous_commit": "local", "application_name": "headrace-hints"}


async def _connect(url: str) -> Connection:
    """Try until it succeeds; says once that it does not."""
    told = False
    while True:
        try:
            return await connect(url, _HINTING)
        except _LOST as error:
            if not told:
                _log.warning("no hints by way of %s for now: %s", server_of(url), error)
            told = True
            await asyncio.sleep(AGAIN_S)


class PostgresNotifier:
    """Tells all listeners which runs changed. ``start`` and ``stop`` it; ``changed`` never waits and never fails."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._runs: dict[str, None] = {}
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send."""
        if self._task is None:
            self._task = asyncio.create_task(self._send_forever(), name="postgres-notifier")

    async def stop(self) -> None:
        """Stop; what has not been sent is forgotten."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def changed(self, run_ids: Iterable[str]) -> None:
        """Note runs with new events, to be told soon."""
        self._runs.update(dict.fromkeys(run_ids))
        while len(self._runs) > MAX_WAITING:
            del self._runs[next(iter(self._runs))]
        if self._runs:
            self._arrived.set()

    async def _send_forever(self) -> None:
        while True:
            try:
                await self._send(await _connect(self._url))
            except _LOST as error:
                _log.warning("the hints to %s broke off: %s", server_of(self._url), error)

    async def _send(self, db: Connection) -> None:
        try:
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                due, self._runs = self._runs, {}
                query = "SELECT pg_notify($1, payload) FROM unnest($2::text[]) AS payload"
                await db.execute(query, CHANNEL, payloads(due), timeout=WORK_S)
                await asyncio.sleep(INTERVAL_S)
        finally:
            db.terminate()


class PostgresHints:
    """Listens, on one connection that it makes anew when it is lost."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def hints(self) -> AsyncIterator[set[str]]:
        """Give the runs that changed, again and again; an empty set after each connecting: anything may have changed.

        Ends only when it is closed. While the store is away it gives nothing, and tries every second.
        """
        while True:
            db = await _connect(self._url)
            heard = _Heard()
            try:
                db.add_termination_listener(heard.lost)
                await db.add_listener(CHANNEL, heard.hear)
                yield set()
                while True:
                    yield await heard.runs(db)
            except _LOST as error:
                _log.warning("the hints from %s broke off: %s", server_of(self._url), error)
            finally:
                db.terminate()


class _Heard:
    """What one connection has heard and nobody has fetched yet."""

    def __init__(self) -> None:
        self._runs: set[str] = set()
        self._arrived = asyncio.Event()

    def hear(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        self._runs.update(str(payload).split())
        if len(self._runs) > MAX_WAITING:
            self._runs.clear()  # to be fetched as the empty set: anything may have changed
        self._arrived.set()

    def lost(self, _connection: object) -> None:
        self._arrived.set()

    async def runs(self, db: Connection) -> set[str]:
        """Wait for some; raises the driver's errors when the connection is gone."""
        while not self._arrived.is_set():
            try:
                async with asyncio.timeout(PING_S):
                    await self._arrived.wait()
            except TimeoutError:
                await db.execute("SELECT 1", timeout=WORK_S)
        if db.is_closed():
            raise asyncpg.ConnectionDoesNotExistError("the connection was closed")
        self._arrived.clear()
        heard, self._runs = self._runs, set()
        return heard


def payloads(run_ids: Iterable[str]) -> list[str]:
    """The ids, separated by spaces, in as few texts below ``PAYLOAD_BYTES`` as it takes."""
    texts: list[str] = []
    for run_id in run_ids:
        if texts and len(texts[-1].encode()) + 1 + len(run_id.encode()) <= PAYLOAD_BYTES:
            texts[-1] += f" {run_id}"
        else:
            texts.append(run_id)
    return texts
