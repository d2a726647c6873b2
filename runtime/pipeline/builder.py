"""From a plan to stages: what each is told, and which may run now. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.agents.request import Source
from runtime.events.brief import Brief, Finding
from runtime.events.fold import RunState
from runtime.events.history import NOTHING_SAID
from runtime.events.plan import Plan, Todo
from runtime.events.tool_events import EXPOSED, Taint


@dataclass(frozen=True, slots=True)
class Stage:
    """One todo as a stage of the pipeline."""

    todo: Todo
    index: int
    of: int


@dataclass(frozen=True, slots=True)
class Pipeline:
    """The stages of one plan."""

    stages: tuple[Stage, ...]
    max_parallel: int | None = None
    """The plan's own limit; None: the system's alone."""

    def stage(self, todo_id: str) -> Stage:
        """The stage of that todo; raises ``KeyError``."""
        for stage in self.stages:
            if stage.todo.id == todo_id:
                return stage
        raise KeyError(todo_id)

    def ready(self, state: RunState, running: frozenset[str], *, max_parallel: int) -> tuple[Stage, ...]:
        """Stages that may start: everything they depend on has ended, nothing of theirs has, and there is room."""
        ended = {todo for todo, stage in state.stages.items() if stage.ended}
        taken = ended | running | state.suspended
        free = [
            stage for stage in self.stages if stage.todo.id not in taken and ended.issuperset(stage.todo.depends_on)
        ]
        return tuple(free[: max(0, min(max_parallel, self.max_parallel or max_parallel) - len(running))])


def build(plan: Plan) -> Pipeline:
    """The pipeline of a plan."""
    stages = tuple(Stage(todo, i, len(plan.todos)) for i, todo in enumerate(plan.todos, start=1))
    return Pipeline(stages, 1 if plan.prefer_sequential else plan.max_parallel)


def brief_of(stage: Stage, state: RunState) -> Brief:
    """What the stage's agent is told: the question, its task, its place in the plan, and what it depends on found."""
    accepted = state.accepted
    joined = state.stages[stage.todo.id].context
    findings = tuple(finding for dep in stage.todo.depends_on if (finding := _finding(state, dep)) is not None)
    if joined is not None:
        findings = (Finding("joined", "", "Results of the steps before", joined),)
    return Brief(
        question=accepted.input.question if accepted else "",
        task=stage.todo.title,
        position=f"step {stage.index} of {stage.of}",
        findings=findings,
        has_documents=bool(accepted and accepted.input.documents),
        history=accepted.history if accepted else NOTHING_SAID,
    )


def sources_of(stage: Stage, state: RunState) -> tuple[Source, ...]:
    """What the stages it depends on, directly or not, have cited."""
    seen: dict[str, Source] = {}
    for dep in _ancestors(stage.todo, state):
        for citation in state.stages[dep].citations:
            seen.setdefault(citation.location, Source(citation.location, citation.title, citation.quote))
    return tuple(seen.values())


def taint_of(stage: Stage, state: RunState) -> Taint:
    """What the conversations of the stages it depends on, directly or not, have met; of one carried over, what that says."""
    met: Taint = frozenset()
    for dep in _ancestors(stage.todo, state):
        before = state.stages[dep]
        met |= before.transcript.met()
        if before.completed is not None and before.completed.carried_from is not None:
            met |= EXPOSED if before.completed.taint is None else frozenset(before.completed.taint)
    return met


def _finding(state: RunState, todo_id: str) -> Finding | None:
    stage = state.stages[todo_id]
    if stage.completed is not None:
        return Finding(todo_id, stage.todo.agent, stage.todo.title, stage.completed.context)
    if stage.failed is not None:
        words = f"(This step gave no result: {stage.failed.message})"
        return Finding(todo_id, stage.todo.agent, stage.todo.title, words)
    if stage.skipped is not None:
        words = f"(This step was not run: {stage.skipped.reason})"
        return Finding(todo_id, stage.todo.agent, stage.todo.title, words)
    return None


def _ancestors(todo: Todo, state: RunState) -> list[str]:
    found: list[str] = []
    pending = list(todo.depends_on)
    while pending:
        dep = pending.pop(0)
        if dep not in found and dep in state.stages:
            found.append(dep)
            pending.extend(state.stages[dep].todo.depends_on)
    return found
