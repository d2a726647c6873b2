"""The door of one process."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.bootstrap.store import build_reader
from runtime.clock import Clock
from runtime.config import Settings
from runtime.executor.executor import ExecutorPort
from runtime.generator.tail import LogDoor
from runtime.log.wire import HubPort


def build_door(settings: Settings, name: str, hub: HubPort, executors: Sequence[ExecutorPort], clock: Clock) -> LogDoor:
    """A door; ``start`` it."""
    return LogDoor(
        name,
        hub,
        build_reader(settings, hub),
        executors,
        clock,
        max_readers_per_run=settings.max_readers_per_run,
    )
