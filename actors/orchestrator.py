"""Orchestrator: a process because it holds plan state and fans out to the planning agents."""

from __future__ import annotations

import ray

from actors.handles import HubHandle, agent_handles
from actors.placement import hub_name
from actors.shell import Pulse, Shell, as_actor
from runtime.bootstrap.control import build_orchestrator
from runtime.bootstrap.store import build_publisher
from runtime.clock import SystemClock
from runtime.composition import compose
from runtime.ids import new_id
from runtime.orchestrator.orchestrator import Orchestrator as HostedOrchestrator
from runtime.orchestrator.orchestrator import PlanOutcome, PlanRequest


class OrchestratorHost(Shell):
    """Hosts :class:`runtime.orchestrator.orchestrator.Orchestrator`."""

    def __init__(self, settings: str) -> None:
        super().__init__(settings)
        self._hosted: HostedOrchestrator | None = None

    async def begin(self) -> None:
        clock, parts = SystemClock(), compose(self.settings)
        hub = HubHandle(hub_name(self.settings))
        publisher = build_publisher(self.settings, f"orchestrator-{new_id()[:8]}", hub, clock)
        agents = agent_handles(self.settings, tuple(parts.planners))
        self._hosted = build_orchestrator(parts, agents, publisher, clock)
        await publisher.start()

    async def plan(self, request: PlanRequest) -> PlanOutcome:
        return await (await self._orchestrator()).plan(request)

    async def current_plan(self, run_id: str) -> PlanOutcome | None:
        return await (await self._orchestrator()).current_plan(run_id)

    async def cancel(self, run_id: str) -> None:
        await (await self._orchestrator()).cancel(run_id)

    @ray.method(concurrency_group="control")
    async def ping(self) -> Pulse:
        return self.pulse(ray.get_runtime_context().get_node_id())

    async def _orchestrator(self) -> HostedOrchestrator:
        await self.started()
        assert self._hosted is not None  # begin() made it
        return self._hosted


Orchestrator = as_actor(OrchestratorHost)
