"""The executor's part in talking to people: asking for the plan, waiting for answers, passing on what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping

import runtime.errors as errors
from runtime.agents.request import AgentPort, PersonSaid
from runtime.events import catalog as ev
from runtime.events.fingerprint import fingerprint
from runtime.events.fold import RunState
from runtime.events.people_events import ANSWER_WITHIN_S
from runtime.telemetry import logger

_log = logger("executor")

TELL_WITHIN_S = 1.0
"""How long an agent may take to hear what was said; who does not hears it with its next dispatch."""


def plan_question(state: RunState, *, now: float) -> ev.ApprovalRequested:
    """Ask a person to approve exactly the run's plan."""
    assert state.plan is not None  # decide() has planned before
    titles = ", ".join(todo.title for todo in state.plan.todos)
    return ev.ApprovalRequested(
        approval="plan",
        kind="plan",
        what=f"Approve the plan: {titles}",
        arguments_hash=fingerprint(state.plan.model_dump(mode="json")),
        expires_at=now + ANSWER_WITHIN_S,
    )


def gives_up_at(state: RunState) -> float:
    """When a run that can do nothing is woken at the latest: when a question expires, else at its deadline."""
    expiries = (approval.requested.expires_at for approval in state.open_approvals().values())
    return min(expiries, default=state.deadline_at)


def waiting(state: RunState, until: float, reason: str) -> ev.RunWaiting:
    """What a run says that can do nothing; ``reason`` empty: it waits for people alone."""
    asked = state.open_approvals()
    words = reason or "; ".join(approval.requested.what for approval in asked.values())
    return ev.RunWaiting(reason=words, until=until, approvals=tuple(asked))


class Messenger:
    """Tells the agents at work on a run what people say to their stages, each once."""

    def __init__(self, agents: Mapping[str, AgentPort]) -> None:
        self._agents = agents
        self._told: set[tuple[str, str]] = set()

    async def pass_on(self, state: RunState, stages: Collection[str]) -> None:
        """Tell the agents of ``stages`` what is new."""
        for stage in stages:
            said = [one for one in state.messages_for(stage) if (stage, one.input) not in self._told]
            if not said:
                continue
            agent = self._agents[state.stages[stage].todo.agent]
            try:
                async with asyncio.timeout(TELL_WITHIN_S):
                    await agent.say(state.run_id, stage, [PersonSaid(one.input, one.text) for one in said])
            except (errors.HeadraceError, TimeoutError) as error:
                _log.warning("run %s stage %s was not told what a person said: %r", state.run_id, stage, error)
            else:
                self._told |= {(stage, one.input) for one in said}
