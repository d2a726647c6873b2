"""The log that the settings name, the hub over it, and publishers to a hub."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

from runtime.clock import Clock
from runtime.config import Settings
from runtime.errors import ConfigurationError
from runtime.log.credentials import KeyReader
from runtime.log.hub import Hub, Store
from runtime.log.log import LogReader
from runtime.log.memory import MemoryLog
from runtime.log.publisher import AppendPort, Publisher
from runtime.log.sqlite import SqliteLog, SqliteReader
from runtime.log.wire import HubPort

if TYPE_CHECKING:
    from runtime.log.postgres import PostgresReader


class Reader(LogReader, KeyReader, Protocol):
    """The reading half of a store, beside its hub."""


POSTGRES = ("postgresql", "postgres")


def build_log(settings: Settings, clock: Clock) -> Store:
    """The store that ``settings.log`` names; PostgreSQL's times are its own. Raises :class:`ConfigurationError`."""
    kind, _, rest = settings.log_url().partition(":")
    if kind == "memory":
        return MemoryLog(clock)
    if kind == "sqlite" and rest:
        return SqliteLog(Path(rest), clock)
    if kind in POSTGRES:
        postgres = _postgres()
        url = settings.log_url()
        log: Store = postgres.PostgresLog(url, notifier=postgres.PostgresNotifier(url))
        return log
    raise ConfigurationError(
        f"HEADRACE_LOG begins with {kind!r}: write sqlite:PATH, postgresql://HOST/DATABASE or memory:"
    )


def build_reader(settings: Settings, hub: HubPort) -> Reader:
    """The reading half beside the hub: the store itself where others can read it, else the hub."""
    kind, _, rest = settings.log_url().partition(":")
    if kind in POSTGRES:
        reader: Reader = _postgres().PostgresReader(settings.log_url())
        return reader
    return SqliteReader(Path(rest)) if kind == "sqlite" else hub


def build_key_reader(settings: Settings) -> SqliteReader | PostgresReader | None:
    """A reader of keys without a hub; ``close`` it. None for a store that only its own process can read."""
    kind, _, rest = settings.log_url().partition(":")
    if kind in POSTGRES:
        reader: PostgresReader = _postgres().PostgresReader(settings.log_url())
        return reader
    return SqliteReader(Path(rest)) if kind == "sqlite" else None


@asynccontextmanager
async def open_reader(settings: Settings, hub: HubPort) -> AsyncIterator[Reader]:
    """The same for the length of the context."""
    reader = build_reader(settings, hub)
    try:
        yield reader
    finally:
        if reader is not hub:
            await reader.close()  # type: ignore[attr-defined]  # both stores' readers have it, the port need not


def build_hints(settings: Settings) -> Callable[[], AsyncIterator[set[str]]] | None:
    """Where a door hears of runs that other hubs write; None for a store that has one hub only."""
    if settings.log_url().partition(":")[0] not in POSTGRES:
        return None
    hints: Callable[[], AsyncIterator[set[str]]] = _postgres().PostgresHints(settings.log_url()).hints
    return hints


def build_hub(settings: Settings, clock: Clock, log: Store | None = None) -> Hub:
    """A stream hub over the log that the settings name, or over ``log``; ``start`` it."""
    return Hub(log or build_log(settings, clock), clock)


def build_publisher(settings: Settings, name: str, hub: AppendPort, clock: Clock) -> Publisher:
    """A publisher; ``start`` it. ``name`` must be new for every process."""
    return Publisher(name, hub, clock, interval_s=settings.flush_interval_s)


def _postgres() -> ModuleType:
    """The adapter, whose libraries are an extra. Raises :class:`ConfigurationError`."""
    try:
        from runtime.log import postgres
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f'a log in PostgreSQL needs {error.name}, which is not installed: pip install "headrace[postgres]"'
        ) from error
    return postgres
