"""The door of one process, and what its HTTP application must know of the composition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from runtime.bootstrap.store import build_hints, build_reader
from runtime.clock import Clock
from runtime.composition import compose
from runtime.config import Settings
from runtime.executor.executor import ExecutorPort
from runtime.generator.tail import LogDoor
from runtime.log.log import LogReader
from runtime.log.wire import HubPort


def build_door(
    settings: Settings,
    name: str,
    hub: HubPort,
    executors: Sequence[ExecutorPort],
    clock: Clock,
    reader: LogReader | None = None,
) -> LogDoor:
    """A door; ``start`` it. ``reader`` is left out where nothing shares it."""
    return LogDoor(
        name,
        hub,
        reader or build_reader(settings, hub),
        executors,
        clock,
        max_readers_per_run=settings.max_readers_per_run,
        hints=build_hints(settings),
    )


def team_of(settings: Settings) -> Callable[[], frozenset[str]]:
    """A function that gives the names of the agents a plan may name; the first call imports users' modules."""
    return cache(lambda: frozenset(spec.name for spec in compose(settings).team))
