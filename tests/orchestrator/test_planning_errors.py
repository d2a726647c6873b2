"""Planning agents whose model declines, pauses, is away for long, or may cost no more: each ends in one way, said once."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from runtime import errors
from runtime.agents.request import PlanningRequest, PlanningResult
from runtime.agents.spec import AgentSpec
from runtime.events import catalog as ev
from runtime.events.attachments import Attachment
from runtime.events.messages import Message, TextBlock
from runtime.events.transcript import Transcript
from runtime.orchestrator.orchestrator import Orchestrator, PlanRequest
from runtime.stream.chain import Chain
from tests.agents.bench import RUN
from tests.faults.stage import Stage, stage

VERDICT = json.dumps({"allowed": True, "category": "none", "reason": "fine"})
PLAN = json.dumps({"todos": [{"id": "a", "title": "A", "agent": "worker", "depends_on": []}]})
TITLE = json.dumps({"title": "Why"})
NAMES = ("planner", "titler", "guardrail")

Answer = str | tuple[str, str] | errors.HeadraceError
"""A text, a text with its stop reason, or what is raised."""


@dataclass
class Answers:
    """An agent's port that gives these answers in turn, the last one again and again."""

    answers: list[Answer]
    asked: list[PlanningRequest] = field(default_factory=list)

    async def run_planning(self, request: PlanningRequest) -> PlanningResult:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, errors.HeadraceError):
            raise answer
        text, stop = answer if isinstance(answer, tuple) else (answer, "end_turn")
        before = request.transcript
        message = Message(role="assistant", content=(TextBlock(text=text),))
        turn = before.turns_done + 1
        done = (*before.messages(), message)
        return PlanningResult(Transcript(done=done, turns_done=turn, turn=turn, stop_reason=stop))

    async def cancel(self, run_id: str) -> None:
        """Nothing is under way."""


@dataclass
class Planning:
    on: Stage
    ports: dict[str, Answers]
    orchestrator: Orchestrator

    async def plan(self) -> Any:
        return await self.orchestrator.plan(PlanRequest(RUN, 1, "Why?", False))

    async def failures(self) -> list[tuple[str | None, str]]:
        return [(e.agent, e.event.code) for e in await self.on.log() if isinstance(e.event, ev.AgentFailed)]


Make = Callable[..., Planning]


@pytest.fixture
async def make() -> AsyncIterator[Make]:
    async with stage() as on:

        def made(guardrail_failure: str = "stop", **answers: list[Answer]) -> Planning:
            given = {"planner": [PLAN], "titler": [TITLE], "guardrail": [VERDICT], **answers}
            ports = {name: Answers(list(given[name])) for name in NAMES}
            specs = {n: AgentSpec(name=n, description="d", instructions="i", role="planning") for n in NAMES}
            team = (AgentSpec(name="worker", description="d", instructions="i"),)
            orchestrator = Orchestrator(
                ports,  # type: ignore[arg-type]
                specs,
                team,
                {},
                on.publisher,
                Chain(),
                on.clock,
                timeout_s=60.0,
                guardrail_failure=guardrail_failure,
            )
            return Planning(on, ports, orchestrator)

        yield made


@pytest.mark.parametrize("agent", ["planner", "guardrail"])
@pytest.mark.parametrize(
    ("stop", "code"), [("refusal", "refused"), ("model_context_window_exceeded", "context_overflow")]
)
async def test_a_planning_agent_whose_model_declines_is_not_asked_again(
    make: Make, agent: str, stop: str, code: str
) -> None:
    planning = make(**{agent: [("I will", stop)]})
    with pytest.raises((errors.ModelRefused, errors.StageFailed)) as caught:
        await planning.plan()
    assert code in (caught.value.code, getattr(caught.value, "reason", ""))
    assert len(planning.ports[agent].asked) == 1
    assert (agent, code) in await planning.failures()


async def test_a_paused_answer_is_continued_and_only_eight_times(make: Make) -> None:
    planning = make(planner=[("", "pause_turn"), ("", "pause_turn"), PLAN])
    assert (await planning.plan()).plan is not None
    assert len(planning.ports["planner"].asked) == 3


async def test_a_pause_without_end_fails(make: Make) -> None:
    planning = make(planner=[("", "pause_turn")])
    with pytest.raises(errors.StageFailed) as caught:
        await planning.plan()
    assert (caught.value.reason, len(planning.ports["planner"].asked)) == ("too_many_pauses", 9)


@pytest.mark.parametrize("agent", ["planner", "guardrail"])
@pytest.mark.parametrize("guardrail_failure", ["stop", "continue"])
async def test_a_budget_that_is_used_up_is_said_as_itself_whatever_a_failing_guardrail_means(
    make: Make, agent: str, guardrail_failure: str
) -> None:
    planning = make(guardrail_failure, **{agent: [errors.LimitExceeded("no", "budget_exceeded")]})
    with pytest.raises(errors.LimitExceeded) as caught:
        await planning.plan()
    assert caught.value.reason == "budget_exceeded"
    assert (agent, "budget_exceeded") in await planning.failures()


async def test_a_long_pause_is_no_failure_of_the_planner(make: Make) -> None:
    planning = make(planner=[errors.Parked("later", 600.0)])
    with pytest.raises(errors.Parked) as caught:
        await planning.plan()
    assert (caught.value.wait_s, await planning.failures()) == (600.0, [])


async def test_a_run_goes_on_without_a_title_that_would_cost_too_much(make: Make) -> None:
    planning = make(titler=[errors.LimitExceeded("no", "budget_exceeded")])
    assert (await planning.plan()).plan is not None


async def test_the_guardrail_sees_what_is_attached_the_planner_learns_of_it_and_the_titler_does_not(make: Make) -> None:
    planning, attached = make(), (Attachment(type="pdf", url="https://example.org/a.pdf"),)
    await planning.orchestrator.plan(PlanRequest(RUN, 1, "Why?", False, attachments=attached))
    told = {name: [(a.attachments, a.shows_attachments) for a in port.asked] for name, port in planning.ports.items()}
    assert told == {"guardrail": [(attached, True)], "planner": [(attached, False)], "titler": [((), False)]}
