"""The door of one process, and what its HTTP application must know of the composition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache, lru_cache
from math import inf
from typing import Final

from runtime.agents.request import OfferedTool, ToolOwner
from runtime.bootstrap.store import build_hints, build_reader
from runtime.clock import Clock
from runtime.composition import Composition, compose, server_of
from runtime.config import Settings
from runtime.errors import HeadraceError
from runtime.executor.executor import ExecutorPort
from runtime.generator.contract import AgentEntry, AgentList, ToolEntry, ToolList
from runtime.generator.directory import Directories, Directory
from runtime.generator.tail import LogDoor
from runtime.log.log import LogReader
from runtime.log.wire import HubPort
from runtime.stream.view import Viewer
from runtime.telemetry import logger
from runtime.tools.tool import Tool

_log = logger("doors")


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


ASK_AGAIN_S = 5.0
"""How old what agents have said of their tools may be."""


class FoundByAgents:
    """The tools of MCP servers, which doors do not start: asked of the agents that do; see ``FoundTools``.

    An agent that cannot be asked just now has what it had last.
    """

    def __init__(
        self, settings: Settings, agents: Callable[[Sequence[str]], Mapping[str, ToolOwner]], clock: Clock
    ) -> None:
        """``agents`` gives the ports of those of that name."""
        self._settings = settings
        self._ports = agents
        self._clock = clock
        self._owners: Mapping[str, ToolOwner] | None = None
        self._known: dict[str, tuple[OfferedTool, ...]] = {}
        self._asked_at = -inf

    async def __call__(self) -> list[ToolEntry]:
        if not self._settings.mcp_servers:
            return []
        if self._owners is None:
            self._owners = self._ports(await asyncio.to_thread(_users_of_servers, self._settings))
        if self._clock.monotonic() - self._asked_at >= ASK_AGAIN_S:
            self._asked_at = self._clock.monotonic()
            await asyncio.gather(*(self._ask(name, owner) for name, owner in self._owners.items()))
        return _entries(self._known)

    async def _ask(self, name: str, owner: ToolOwner) -> None:
        try:
            offered = await owner.offered()
        except HeadraceError as error:
            _log.info("agent %s could not be asked about its tools: %s", name, error.message)
            return
        self._known[name] = tuple(tool for tool in offered if server_of(tool.name) in self._settings.mcp_servers)


def _users_of_servers(settings: Settings) -> tuple[str, ...]:
    """The agents that name tools of MCP servers; imports users' modules."""
    specs = compose(settings).specs.values()
    return tuple(spec.name for spec in specs if any(server_of(tool) in settings.mcp_servers for tool in spec.tools))


def _entries(known: Mapping[str, Sequence[OfferedTool]]) -> list[ToolEntry]:
    tools = {tool.name: tool for offered in known.values() for tool in offered}
    owners = {
        name: [agent for agent, offered in known.items() if any(t.name == name for t in offered)] for name in tools
    }
    return [ToolEntry(**asdict(tool), agents=sorted(owners[name])) for name, tool in sorted(tools.items())]


def directory_of(settings: Settings) -> Directories:
    """The same from the settings; the first call imports users' modules."""
    return directories(cache(lambda: compose(settings)))


def team_of(settings: Settings) -> Callable[[], frozenset[str]]:
    """A function that gives the names of the agents a plan may name; the first call imports users' modules."""
    return cache(lambda: frozenset(spec.name for spec in compose(settings).team))
