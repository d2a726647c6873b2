"""``/v1/tools`` and ``/v1/agents``, and what a viewer is shown of runs: all that a door knows of the composition."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from runtime.generator.accept import JSON
from runtime.generator.contract import AgentList, ToolEntry, ToolList
from runtime.generator.operations import Answer, Operation
from runtime.generator.principal import principal_of
from runtime.stream.view import View


@dataclass(frozen=True, slots=True)
class Directory:
    """What there is, as a viewer with certain roles may see it."""

    agents: AgentList = field(default_factory=lambda: AgentList(agents=[]))
    tools: ToolList = field(default_factory=lambda: ToolList(tools=[]))
    view: View = field(default_factory=View)


class Directories(Protocol):
    """Gives the directory of whoever has those roles; may import users' modules, so it is called off the event loop."""

    def __call__(self, roles: frozenset[str] = frozenset()) -> Directory: ...


def nothing_listed(roles: frozenset[str] = frozenset()) -> Directory:
    """No agents, no tools, and nothing hidden."""
    return Directory()


FoundTools = Callable[[], Awaitable[Sequence[ToolEntry]]]
"""Gives the tools that agents have found at servers, as far as they can be asked; everybody may see them."""


async def nothing_found() -> tuple[ToolEntry, ...]:
    """:data:`FoundTools` of a system without such servers."""
    return ()


async def seen_by(request: Request, directory: Directories) -> Directory:
    """The directory as whoever makes ``request`` may see it."""
    return await asyncio.to_thread(directory, principal_of(request).roles)


class DirectoryRoutes:
    """What can be asked about agents and tools."""

    def __init__(self, directory: Directories, found: FoundTools = nothing_found) -> None:
        self._directory = directory
        self._found = found

    async def agents(self, request: Request) -> ASGIApp:
        """``GET /v1/agents``."""
        return _json((await seen_by(request, self._directory)).agents)

    async def tools(self, request: Request) -> ASGIApp:
        """``GET /v1/tools``: those of this process, then those that agents have found."""
        listed = (await seen_by(request, self._directory)).tools.tools
        known = {tool.name for tool in listed}
        return _json(ToolList(tools=[*listed, *(tool for tool in await self._found() if tool.name not in known)]))

    def operations(self) -> tuple[Operation, ...]:
        agents = Answer(200, "All agents.", {JSON: AgentList})
        tools = Answer(200, "The tools agents may call.", {JSON: ToolList})
        return (
            Operation("GET", "/v1/agents", "listAgents", "The agents", "runs:read", self.agents, (agents,)),
            Operation("GET", "/v1/tools", "listTools", "The tools", "runs:read", self.tools, (tools,)),
        )


def _json(body: BaseModel) -> Response:
    return Response(body.model_dump_json(), 200, {"Cache-Control": "no-store"}, media_type=JSON)
