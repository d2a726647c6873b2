"""The log that the settings name, the hub over it, and publishers to a hub."""

from __future__ import annotations

from pathlib import Path

from runtime.clock import Clock
from runtime.config import Settings
from runtime.errors import ConfigurationError
from runtime.log.hub import Hub
from runtime.log.log import Log, LogReader
from runtime.log.memory import MemoryLog
from runtime.log.publisher import AppendPort, Publisher
from runtime.log.sqlite import SqliteLog, SqliteReader
from runtime.log.wire import HubPort


def build_log(settings: Settings, clock: Clock) -> Log:
    """The store that ``settings.log`` names. Raises :class:`ConfigurationError`."""
    kind, _, rest = settings.log_url().partition(":")
    if kind == "memory":
        return MemoryLog(clock)
    if kind == "sqlite" and rest:
        return SqliteLog(Path(rest), clock)
    raise ConfigurationError(f"log {settings.log_url()!r}: write sqlite:PATH or memory:")


def build_reader(settings: Settings, hub: HubPort) -> LogReader:
    """The reading half beside the hub: the SQLite file itself, or the hub where there is no file."""
    kind, _, rest = settings.log_url().partition(":")
    return SqliteReader(Path(rest)) if kind == "sqlite" else hub


def build_hub(settings: Settings, clock: Clock) -> Hub:
    """A stream hub; ``start`` it."""
    return Hub(build_log(settings, clock), clock)


def build_publisher(settings: Settings, name: str, hub: AppendPort, clock: Clock) -> Publisher:
    """A publisher; ``start`` it. ``name`` must be new for every process."""
    return Publisher(name, hub, clock, interval_s=settings.flush_interval_s)
