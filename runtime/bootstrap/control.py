"""Agents, orchestrator and executor from a composition and their ports."""

from __future__ import annotations

import random
from collections.abc import Mapping

from runtime import __version__
from runtime.agents.agent import Agent
from runtime.agents.loop import LoopTools
from runtime.agents.request import AgentPort
from runtime.agents.spec import AgentSpec
from runtime.agents.turn import TurnTools
from runtime.bootstrap.models import StandIn, build_ladder, price_table
from runtime.bootstrap.store import build_reader
from runtime.clock import Clock
from runtime.composition import Composition
from runtime.executor.executor import Executor
from runtime.executor.leases import StageLeases
from runtime.executor.run import RunTools
from runtime.executor.stage import StageTools
from runtime.ids import new_id
from runtime.llm.local.address import LocalAddress
from runtime.log.log import LogReader
from runtime.log.publisher import Publisher
from runtime.log.wire import HubPort
from runtime.orchestrator.orchestrator import Orchestrator, OrchestratorPort
from runtime.recovery.alarm import Alarms
from runtime.recovery.breaker import Breakers
from runtime.recovery.policy import LimitPolicy, LossPolicy, RetryPolicy
from runtime.telemetry import Counts
from runtime.tools.invoke import LocalToolRunner, ToolRunner
from runtime.tools.isolated import IsolatingToolRunner
from runtime.tools.processes import ChildProcesses


def build_agent(
    parts: Composition,
    spec: AgentSpec,
    publisher: Publisher,
    clock: Clock,
    local: LocalAddress | None = None,
    breakers: Breakers | None = None,
    runner: ToolRunner | None = None,
    stand_in: StandIn | None = None,
) -> Agent:
    """One agent with its ladder of models, and the agents it may delegate to.

    ``breakers``: those of its process, when it shares it with other agents.

    ``runner``: left out, isolated tools run in child processes of this one.

    ``stand_in``: what is asked in the place of its models.
    """
    runner = runner or IsolatingToolRunner(LocalToolRunner(clock), ChildProcesses(), clock)
    shared = (
        RetryPolicy(),
        clock,
        random.random,
        Counts(),
        price_table(parts.settings),
        breakers or Breakers(),
        Alarms(),
    )
    team: dict[str, LoopTools] = {}

    def loop_tools(of: AgentSpec) -> LoopTools:
        turn = TurnTools(build_ladder(parts, of, clock, local, stand_in), *shared)
        return LoopTools(of, turn, parts.registry, runner, str(parts.settings.data_dir), team)

    team.update((helper.name, loop_tools(helper)) for helper in parts.helpers(spec.name))
    return Agent(team.get(spec.name) or loop_tools(spec), publisher, parts.chain)


def build_orchestrator(
    parts: Composition, agents: Mapping[str, AgentPort], publisher: Publisher, clock: Clock
) -> Orchestrator:
    """The orchestrator over the planning agents' ports."""
    return Orchestrator(
        agents,
        parts.planners,
        parts.team,
        parts.models,
        publisher,
        parts.chain,
        clock,
        timeout_s=parts.settings.planning_timeout_s,
        guardrail_failure=parts.settings.guardrail_failure,
    )


def build_executor(
    parts: Composition,
    name: str,
    hub: HubPort,
    orchestrator: OrchestratorPort,
    agents: Mapping[str, AgentPort],
    publisher: Publisher,
    clock: Clock,
    reader: LogReader | None = None,
) -> Executor:
    """An executor; ``start`` it. ``name`` is made unique per incarnation; ``reader`` is left out where nothing shares it."""
    stages = StageTools(
        agents,
        StageLeases(agents, clock),
        parts.specs,
        parts.hooks,
        LimitPolicy(),
        LossPolicy(),
        publisher,
        parts.chain,
        clock,
        Counts(),
    )
    tools = RunTools(
        reader or build_reader(parts.settings, hub),
        orchestrator,
        stages,
        parts.models,
        parts.note(),
        __version__,
        parts.settings.max_parallel,
    )
    return Executor(lambda: f"{name}-{new_id()[:8]}", hub, tools, clock, lease_ttl_s=parts.settings.lease_ttl_s)
