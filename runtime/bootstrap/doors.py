"""The door of one process, and what its HTTP application must know of the composition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Final

from runtime.bootstrap.store import build_hints, build_reader
from runtime.clock import Clock
from runtime.composition import Composition, compose
from runtime.config import Settings
from runtime.executor.executor import ExecutorPort
from runtime.generator.contract import AgentEntry, AgentList, ToolEntry, ToolList
from runtime.generator.directory import Directories, Directory
from runtime.generator.tail import LogDoor
from runtime.log.log import LogReader
from runtime.log.wire import HubPort
from runtime.stream.view import Viewer
from runtime.tools.tool import Tool


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


ROLE_SETS: Final = 256
"""Sets of roles whose directory is kept."""


def directory(parts: Composition, roles: frozenset[str] = frozenset()) -> Directory:
    """What ``parts`` holds, as somebody with those roles may see it."""
    viewer = Viewer(roles=roles)
    tools = [tool for tool in parts.registry.all() if viewer.may_see(tool.visible)]
    hidden = {tool.name for tool in parts.registry.all()} - {tool.name for tool in tools}
    agents = [
        AgentEntry(
            name=spec.name,
            description=spec.description,
            role=spec.role,
            tools=[name for name in spec.tools if name not in hidden],
            models=list(parts.ladders[spec.name]),
        )
        for spec in parts.specs.values()
    ]
    return Directory(
        AgentList(agents=agents), ToolList(tools=[_entry(tool, agents) for tool in tools]), parts.view(viewer)
    )


def _entry(tool: Tool, agents: Sequence[AgentEntry]) -> ToolEntry:
    return ToolEntry(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        icon=tool.icon,
        kind=tool.kind,
        input_schema=tool.input_schema,
        agents=[agent.name for agent in agents if tool.name in agent.tools],
    )


def directories(parts: Callable[[], Composition]) -> Directories:
    """A function that gives the directory for a set of roles."""

    @lru_cache(maxsize=ROLE_SETS)
    def given(roles: frozenset[str] = frozenset()) -> Directory:
        return directory(parts(), roles)

    return given


def directory_of(settings: Settings) -> Directories:
    """The same from the settings; the first call imports users' modules."""
    return directories(cache(lambda: compose(settings)))


def team_of(settings: Settings) -> Callable[[], frozenset[str]]:
    """A function that gives the names of the agents a plan may name; the first call imports users' modules."""
    return cache(lambda: frozenset(spec.name for spec in compose(settings).team))
