"""Agent: a process per specialized agent because its tools and model traffic are isolated and placed apart."""

from __future__ import annotations

from collections.abc import Sequence

import ray

from actors.handles import HubHandle, local_address
from actors.placement import hub_name
from actors.shell import Pulse, Shell, as_actor
from actors.tool_tasks import ray_tool_runner
from runtime.agents.agent import Agent as HostedAgent
from runtime.agents.request import (
    OfferedTool,
    PersonSaid,
    PlanningRequest,
    PlanningResult,
    StageLease,
    StageRequest,
    StageResult,
)
from runtime.bootstrap.control import build_agent
from runtime.bootstrap.mcp import build_servers
from runtime.bootstrap.store import build_publisher
from runtime.clock import SystemClock
from runtime.composition import Composition, compose
from runtime.ids import new_id


class AgentHost(Shell):
    """Hosts :class:`runtime.agents.agent.Agent`."""

    def __init__(self, settings: str, subject: str) -> None:
        super().__init__(settings)
        self._subject = subject
        self._hosted: HostedAgent | None = None

    async def begin(self) -> None:
        clock, parts = SystemClock(), compose(self.settings)
        name = f"{self._subject}-{new_id()[:8]}"
        publisher = build_publisher(self.settings, name, HubHandle(hub_name(self.settings)), clock)
        local = await local_address(self.settings) if parts.uses_local(self._subject) else None
        servers, plain = build_servers(parts, [self._subject], clock), parts
        if servers is not None:
            parts = plain.with_tools(await servers.start(lambda tools: self._equip(plain.with_tools(tools))))
        spec, runner = parts.specs[self._subject], ray_tool_runner(clock)
        self._hosted = build_agent(parts, spec, publisher, clock, local, runner=runner)
        await publisher.start()

    def _equip(self, parts: Composition) -> None:
        """An MCP server that was away at the start has come."""
        if self._hosted is not None:
            self._hosted.equip(parts.specs[self._subject], parts.registry, parts.chain)

    async def run_stage(self, request: StageRequest) -> StageResult:
        return await (await self._agent()).run_stage(request)

    async def run_planning(self, request: PlanningRequest) -> PlanningResult:
        return await (await self._agent()).run_planning(request)

    async def renew(self, leases: Sequence[StageLease]) -> frozenset[StageLease]:
        return await (await self._agent()).renew(leases)

    async def say(self, run_id: str, stage: str, said: Sequence[PersonSaid]) -> None:
        await (await self._agent()).say(run_id, stage, said)

    async def cancel(self, run_id: str, stage: str | None = None) -> None:
        await (await self._agent()).cancel(run_id, stage)

    async def offered(self) -> tuple[OfferedTool, ...]:
        return await (await self._agent()).offered()

    async def statistics(self) -> dict[str, int]:
        return (await self._agent()).statistics()

    @ray.method(concurrency_group="control")
    async def ping(self) -> Pulse:
        return self.pulse(ray.get_runtime_context().get_node_id())

    async def _agent(self) -> HostedAgent:
        await self.started()
        assert self._hosted is not None  # begin() made it
        return self._hosted


Agent = as_actor(AgentHost)
