"""Executor: a process because it owns runs, outlives the door, and takes over a dead owner's runs."""

from __future__ import annotations

import ray

from actors.handles import HubHandle, OrchestratorHandle, agent_handles
from actors.placement import hub_name, orchestrator_name
from actors.shell import Pulse, Shell, as_actor
from runtime.bootstrap.control import build_executor
from runtime.bootstrap.store import build_publisher
from runtime.clock import SystemClock
from runtime.composition import compose
from runtime.executor.executor import Executor as HostedExecutor
from runtime.ids import new_id


class ExecutorHost(Shell):
    """Hosts :class:`runtime.executor.executor.Executor`."""

    def __init__(self, settings: str) -> None:
        super().__init__(settings)
        self._hosted: HostedExecutor | None = None

    async def begin(self) -> None:
        clock, parts = SystemClock(), compose(self.settings)
        hub = HubHandle(hub_name(self.settings))
        publisher = build_publisher(self.settings, f"executor-{new_id()[:8]}", hub, clock)
        agents = agent_handles(self.settings, tuple(spec.name for spec in parts.team))
        orchestrator = OrchestratorHandle(orchestrator_name(self.settings))
        await publisher.start()
        self._hosted = build_executor(parts, "executor", hub, orchestrator, agents, publisher, clock)
        await self._hosted.start()

    async def begin_run(self, run_id: str) -> bool:
        return await (await self._executor()).begin(run_id)

    async def scan(self) -> int:
        return await (await self._executor()).scan()

    async def cancel(self, run_id: str) -> None:
        await (await self._executor()).cancel(run_id)

    async def nudge(self, run_id: str) -> bool:
        return await (await self._executor()).nudge(run_id)

    async def statistics(self) -> dict[str, int]:
        return (await self._executor()).statistics()

    async def stop(self) -> None:
        """Let runs end for as long as the settings say, then hand over the others where they stand."""
        await (await self._executor()).stop(drain_s=self.settings.drain_s)

    @ray.method(concurrency_group="control")
    async def ping(self) -> Pulse:
        owner = self._hosted.name if self._hosted is not None else ""
        return self.pulse(ray.get_runtime_context().get_node_id(), owner)

    async def _executor(self) -> HostedExecutor:
        await self.started()
        assert self._hosted is not None  # begin() made it
        return self._hosted


Executor = as_actor(ExecutorHost)
