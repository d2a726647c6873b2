"""What a resumed run carries over from its parent, and how a person is told that it can. Pure: no clock, no I/O.

A todo is carried over when it is completed in the parent, stands unchanged in the new run's plan, is not the stage to
start from, and everything it depends on is carried over too. Outputs and citations are copied, so that the new run
stands alone when its parent is deleted (JOURNAL.md 1.11, 11).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from runtime.events import catalog as ev
from runtime.events.envelope import Draft
from runtime.events.fold import RunState, StageState
from runtime.events.plan import Plan, Todo


@dataclass(frozen=True, slots=True)
class Carried:
    """What a resumed run begins with."""

    plan: Plan | None
    """None: the parent never had one, and the new run plans anew."""
    stages: tuple[str, ...]
    """Ids of the todos carried over, in the plan's order."""
    drafts: tuple[Draft, ...]
    """The events that say so, to be written right after ``run.accepted``."""


@dataclass(frozen=True, slots=True)
class Unresumable:
    """Nothing can be carried over, whatever is asked for."""

    words: str


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with one field of the request."""

    where: tuple[str | int, ...]
    words: str


@dataclass(frozen=True, slots=True)
class Mistakes:
    """The request does not fit the parent; never empty."""

    found: tuple[Mistake, ...]


def carry_over(
    parent: RunState, *, plan: Plan | None, from_stage: str | None, agents: Collection[str]
) -> Carried | Unresumable | Mistakes:
    """What a run resumed from ``parent``, which has ended, begins with.

    ``plan`` takes the place of the parent's; ``from_stage`` and what depends on it are run again. ``agents`` are those a
    todo may name.
    """
    verdict = parent.verdict
    if verdict is not None and not verdict.allowed:
        return Unresumable(f"The guardrail stopped this request ({verdict.category}: {verdict.reason}).")
    chosen = plan or parent.plan
    if found := _mistakes(parent, plan, from_stage, agents):
        return Mistakes(found)
    if chosen is None:
        return Carried(None, (), ())
    stages = kept(parent, chosen, from_stage)
    left = [todo for todo in chosen.todos if todo.id not in stages]
    if not left and parent.status == "completed":
        words = "every step of this run is completed; name the step to start from, or send an edited plan"
        return Mistakes((Mistake(("from_stage",), words),))
    if gone := sorted({todo.agent for todo in left} - set(agents)):
        return Unresumable(f"Its plan needs agents that are not here: {', '.join(gone)}; send an edited plan.")
    return Carried(chosen, stages, tuple(_drafts(parent, chosen, stages)))


def kept(parent: RunState, plan: Plan, from_stage: str | None = None) -> tuple[str, ...]:
    """Ids of the todos of ``plan`` that are carried over, in its order."""
    carried: set[str] = set()
    while more := {
        todo.id
        for todo in plan.todos
        if todo.id not in carried | {from_stage} and carried.issuperset(todo.depends_on) and _done(parent, todo)
    }:
        carried |= more
    return tuple(todo.id for todo in plan.todos if todo.id in carried)


def next_stage(parent: RunState) -> str | None:
    """The first todo that a run resumed without further wishes would run; None without a plan, or with nothing left."""
    if parent.plan is None:
        return None
    stages = kept(parent, parent.plan)
    return next((todo.id for todo in parent.plan.todos if todo.id not in stages), None)


def hint_of(state: RunState, *, retryable: bool = True) -> ev.ResumeHint:
    """How to go on after this run's end, in words. ``retryable`` False: something must be changed before it helps."""
    verdict = state.verdict
    if verdict is not None and not verdict.allowed:
        return ev.ResumeHint(possible=False, how="The guardrail stopped this request: ask differently.")
    begin = "" if retryable else "First change what the message names; then "
    call = f"POST /v1/runs/{state.run_id}/resume"
    how = f"{begin}{call} {_goes_on(state)}; `headrace resume {state.run_id}` does the same."
    return ev.ResumeHint(possible=True, how=how)


def _goes_on(state: RunState) -> str:
    if state.plan is None:
        return "asks the same again from the start"
    match len(kept(state, state.plan)):
        case 0:
            return "runs the same plan from its first step"
        case 1:
            return "goes on from the completed step"
        case count:
            return f"goes on from the {count} completed steps"


def _mistakes(
    parent: RunState, plan: Plan | None, from_stage: str | None, agents: Collection[str]
) -> tuple[Mistake, ...]:
    found: list[Mistake] = []
    chosen = plan or parent.plan
    if plan is not None:
        there = f"the agents are {', '.join(sorted(agents))}"
        found += [
            Mistake(("plan", "todos", place, "agent"), f"there is no agent {todo.agent!r}; {there}")
            for place, todo in enumerate(plan.todos)
            if todo.agent not in agents
        ]
        if parent.plan is None and parent.verdict is None:
            words = "the guardrail has not judged this request yet: resume it without a plan"
            found.append(Mistake(("plan",), words))
    if from_stage is not None and chosen is None:
        found.append(Mistake(("from_stage",), "this run ended before it had a plan: leave from_stage out"))
    elif from_stage is not None and chosen is not None and from_stage not in {todo.id for todo in chosen.todos}:
        steps = ", ".join(todo.id for todo in chosen.todos)
        found.append(Mistake(("from_stage",), f"the plan has no step {from_stage!r}; its steps are {steps}"))
    return tuple(found)


def _done(parent: RunState, todo: Todo) -> bool:
    stage = parent.stages.get(todo.id)
    return stage is not None and stage.completed is not None and stage.todo == todo


def _drafts(parent: RunState, plan: Plan, stages: Collection[str]) -> list[Draft]:
    drafts: list[Draft] = []
    if parent.title is not None:
        drafts.append(Draft(ev.TitleSet(title=parent.title), agent="titler"))
    if parent.verdict is not None:
        drafts.append(Draft(parent.verdict, agent="guardrail"))
    drafts.append(Draft(ev.PlanCommitted(plan=plan)))
    for index, todo in enumerate(plan.todos, start=1):
        if todo.id in stages:
            drafts += _stage(parent.run_id, parent.stages[todo.id], index, len(plan.todos))
    return drafts


def _stage(parent_id: str, stage: StageState, index: int, of: int) -> list[Draft]:
    """A completed stage with its sources. A hook's wish to stop there is left out: whoever resumes wants to go on."""
    assert stage.completed is not None  # kept() takes no other
    changes = {"index": index, "of": of, "carried_from": parent_id, "stop": None}
    events: list[ev.Event] = [*stage.citations, stage.completed.model_copy(update=changes)]
    return [Draft(event, stage=stage.todo.id, agent=stage.todo.agent) for event in events]
