"""What runs where: names, counts and resources of every actor. Data only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from runtime.agents.spec import AgentSpec
from runtime.config import Settings, to_json

NAMESPACE = "headrace"
Kind = Literal["hub", "executor", "orchestrator", "agent", "local_model"]

AGENT_CPUS = 0.01
"""Agents wait for models: a sliver of a CPU each, so that a laptop holds them all."""

AGENT_CONCURRENCY = 2000
"""Calls an actor takes at once; each run under way in it holds one."""


@dataclass(frozen=True, slots=True)
class Placement:
    """One actor: what it hosts, its name, and what it asks of Ray."""

    kind: Kind
    name: str
    subject: str = ""
    """For agents: the agent's name."""
    options: tuple[tuple[str, Any], ...] = ()
    first: bool = True
    """Whether runs can begin only when it is there. Stage agents and standby executors follow while the first are planned."""


def fingerprint(settings: Settings) -> str:
    """A short hash of the settings: Ray's ``get_if_exists`` ignores changed options, so they are part of the name."""
    return hashlib.sha256(to_json(settings).encode()).hexdigest()[:8]


def supervisor_name(settings: Settings) -> str:
    return f"headrace:supervisor:{fingerprint(settings)}"


def hub_name(settings: Settings) -> str:
    return f"headrace:hub:0:{fingerprint(settings)}"


def executor_names(settings: Settings) -> tuple[str, ...]:
    return tuple(f"headrace:executor:{i}:{fingerprint(settings)}" for i in range(settings.executors))


def orchestrator_name(settings: Settings) -> str:
    return f"headrace:orchestrator:0:{fingerprint(settings)}"


def agent_names(settings: Settings, agent: str) -> tuple[str, ...]:
    return tuple(f"headrace:agent:{agent}:{i}:{fingerprint(settings)}" for i in range(settings.agents_per_kind))


def local_model_name(settings: Settings) -> str:
    return f"headrace:local_model:0:{fingerprint(settings)}"


def placements(settings: Settings, specs: Sequence[AgentSpec], *, local_model: bool) -> tuple[Placement, ...]:
    """Every actor of a system, in the order in which they are started: the hub first, its users after it."""
    control = (("num_cpus", 0), ("max_concurrency", AGENT_CONCURRENCY))
    work = (("num_cpus", AGENT_CPUS), ("max_concurrency", AGENT_CONCURRENCY))
    local = (Placement("local_model", local_model_name(settings), options=(("num_cpus", 1),)),) if local_model else ()
    executors = [Placement("executor", name, options=control) for name in executor_names(settings)]
    agents = {
        role: [
            Placement("agent", name, spec.name, work)
            for spec in specs
            if spec.role == role
            for name in agent_names(settings, spec.name)
        ]
        for role in ("planning", "stage")
    }
    return (
        Placement("hub", hub_name(settings), options=control),
        *local,
        Placement("orchestrator", orchestrator_name(settings), options=control),
        executors[0],
        *agents["planning"],
        *(replace(agent, first=False) for agent in agents["stage"]),
        *(replace(executor, first=False) for executor in executors[1:]),
    )
