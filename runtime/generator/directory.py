"""``/v1/tools`` and ``/v1/agents``, and what the viewer is shown of runs: all that a door knows of the composition."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from runtime.generator.accept import JSON
from runtime.generator.contract import AgentList, ToolList
from runtime.generator.operations import Answer, Operation
from runtime.stream.view import View


@dataclass(frozen=True, slots=True)
class Directory:
    """What there is, as this process's viewer may see it."""

    agents: AgentList = field(default_factory=lambda: AgentList(agents=[]))
    tools: ToolList = field(default_factory=lambda: ToolList(tools=[]))
    view: View = field(default_factory=View)


Directories = Callable[[], Directory]
"""Gives the directory; may import users' modules, so it is called off the event loop."""


class DirectoryRoutes:
    """What can be asked about agents and tools."""

    def __init__(self, directory: Directories) -> None:
        self._directory = directory

    async def agents(self, request: Request) -> ASGIApp:
        """``GET /v1/agents``."""
        return _json((await asyncio.to_thread(self._directory)).agents)

    async def tools(self, request: Request) -> ASGIApp:
        """``GET /v1/tools``."""
        return _json((await asyncio.to_thread(self._directory)).tools)

    def operations(self) -> tuple[Operation, ...]:
        agents = Answer(200, "All agents.", {JSON: AgentList})
        tools = Answer(200, "The tools agents may call.", {JSON: ToolList})
        return (
            Operation("GET", "/v1/agents", "listAgents", "The agents", "runs:read", self.agents, (agents,)),
            Operation("GET", "/v1/tools", "listTools", "The tools", "runs:read", self.tools, (tools,)),
        )


def _json(body: BaseModel) -> Response:
    return Response(body.model_dump_json(), 200, {"Cache-Control": "no-store"}, media_type=JSON)
