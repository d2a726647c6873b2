"""What is to be done next in a run, from what its log says. Pure: no clock, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.errors import ModelError, by_code
from runtime.events import catalog as ev
from runtime.events.attachments import called, takes_attachments
from runtime.events.fold import RunState
from runtime.events.plan import Plan
from runtime.executor.resume import hint_of
from runtime.log.log import Run
from runtime.pipeline.builder import Stage, build


@dataclass(frozen=True, slots=True)
class MakePlan:
    """Ask the orchestrator."""


@dataclass(frozen=True, slots=True)
class RunStages:
    """Dispatch these stages, beside the ones that run."""

    stages: tuple[Stage, ...]


@dataclass(frozen=True, slots=True)
class Await:
    """Nothing to start; stages are under way."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Write this last event."""

    event: ev.RunCompleted | ev.RunFailed | ev.RunCancelled | ev.RunExpired


@dataclass(frozen=True, slots=True)
class Done:
    """The run has ended already."""


@dataclass(frozen=True, slots=True)
class AskForPlan:
    """Ask a person to approve the plan."""


@dataclass(frozen=True, slots=True)
class Revise:
    """Put this plan in the old one's place."""

    plan: Plan
    reason: str


@dataclass(frozen=True, slots=True)
class Skip:
    """Do not run these stages, or no longer."""

    stages: tuple[Stage, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class AwaitPeople:
    """Nothing can go on before somebody has answered."""


Command = MakePlan | AskForPlan | Revise | RunStages | Skip | Await | AwaitPeople | Finish | Done


def decide(
    state: RunState, running: frozenset[str], *, now: float, max_parallel: int, note: str | None = None
) -> Command:
    """The next command for a run in ``state`` with the stages ``running`` under way; ``now`` in seconds since the epoch."""
    if state.terminal:
        return Done()
    if state.cancel_requested is not None:
        return Finish(ev.RunCancelled(reason=state.cancel_requested, outputs=state.outputs(), usage=state.usage))
    if _expired(state, now):
        return Finish(_expiry(state, now))
    if state.verdict is not None and not state.verdict.allowed:
        return Finish(_completed(state, now, "", f"{state.verdict.category}: {state.verdict.reason}", note))
    if state.plan is None:
        return MakePlan()
    return _of_the_plan(state, now, note) or _next_stages(state, running, now, max_parallel, note)


def _of_the_plan(state: RunState, now: float, note: str | None) -> Command | None:
    """What is to be done before any stage of a plan that a person must approve; None when it may be carried out."""
    if state.accepted is None or not state.accepted.approve_plan:
        return None
    asked = next((a for a in state.approvals.values() if a.requested.kind == "plan"), None)
    if asked is None:
        return AskForPlan()
    if asked.given is None:
        return AwaitPeople()
    if not asked.given.approved:
        words = f"the plan was not approved: {asked.given.text}" if asked.given.text else "the plan was not approved"
        return Finish(_completed(state, now, "", words, note))
    if asked.given.plan is not None and state.revisions == 0 and asked.given.plan != state.plan:
        return Revise(asked.given.plan, "changed by the person who approved it")
    return None


def _next_stages(state: RunState, running: frozenset[str], now: float, max_parallel: int, note: str | None) -> Command:
    assert state.plan is not None  # decide() has planned before
    stopped = _stopped(state)
    if stopped is not None and not running:
        return Finish(
            stopped if isinstance(stopped, ev.RunFailed) else _completed(state, now, answer_of(state), stopped, note)
        )
    if dropped := _cancelled_stages(state):
        return Skip(dropped, "cancelled by a person")
    ready = () if stopped is not None else build(state.plan).ready(state, running, max_parallel=max_parallel)
    if ready:
        return RunStages(ready)
    if running:
        return Await()
    if state.suspended:
        return AwaitPeople()
    return Finish(_completed(state, now, answer_of(state), None, note))


def _cancelled_stages(state: RunState) -> tuple[Stage, ...]:
    """The stages that a person wants to end and that have not ended."""
    assert state.plan is not None  # decide() has planned before
    named = {said.stage for said in state.said if said.received.kind == "cancel_stage"}
    pipeline = build(state.plan)
    return tuple(pipeline.stage(name) for name, stage in state.stages.items() if name in named and not stage.ended)


def answer_of(state: RunState) -> str:
    """The run's answer: what the plan's last stages said, or the last completed when those never ran."""
    if state.plan is None:
        return ""
    needed = {dep for todo in state.plan.todos for dep in todo.depends_on}
    finals = [state.stages[todo.id] for todo in state.plan.todos if todo.id not in needed]
    texts = [stage.completed.output for stage in finals if stage.completed is not None]
    if not texts:
        texts = [output.text for output in state.outputs()[-1:]]
    return "\n\n".join(texts)


def failure(state: RunState, code: str, message: str, layer: str, *, retryable: bool) -> ev.RunFailed:
    """The error event of a run: where, why, what was completed, and whether another try helps."""
    return ev.RunFailed(
        code=code,
        message=message,
        layer=layer,
        retryable=retryable,
        completed=state.outputs(),
        resume=hint_of(state, retryable=retryable),
        usage=state.usage,
    )


NEWER_AGAIN_S = 60.0
"""After so long a run that a newer version wrote is offered again: one may have come, or the upgrade is over."""


def unreadable(
    state: RunState, run: Run, *, newer: bool, now: float
) -> tuple[ev.RunWaiting | ev.RunFailed | ev.RunCancelled, float | None]:
    """What is said in a run whose log cannot be read on past ``state``, and when it is offered again.

    ``newer``: a newer version may be able to. Otherwise, and at the run's deadline, the run ends.
    """
    if run.cancel_requested:
        return ev.RunCancelled(
            reason=state.cancel_requested or "user", outputs=state.outputs(), usage=state.usage
        ), None
    if not newer:
        words = "The run's log was written to by something else than Headrace and cannot be read on."
        ended = failure(state, "log_unreadable", words, "executor", retryable=False)
        return ended.model_copy(update={"resume": ev.ResumeHint(possible=False, how="Ask the same again.")}), None
    if now >= run.deadline_at:
        words = "The run's deadline came while it waited for the newer version of Headrace that wrote its log."
        return failure(state, "newer_version", words, "executor", retryable=True), None
    until = min(now + NEWER_AGAIN_S, run.deadline_at)
    words = "A newer version of Headrace wrote this run's log; it goes on when an executor of that version is there."
    return ev.RunWaiting(reason=words, until=until), until


def _stopped(state: RunState) -> ev.RunFailed | str | None:
    """Whether a hook ended the pipeline: the failure it made of it, or its reason after a success."""
    for stage in state.stages.values():
        if stage.failed is not None and stage.status == "failed" and stage.failed.decision == "stop":
            failed = stage.failed
            kind = by_code(failed.code)
            of_model = kind is not None and issubclass(kind, ModelError)
            retryable = kind is None or kind.retryable or not of_model
            layer = "model" if of_model else "agent"
            message = f"Step “{failed.title}” failed: {failed.message}"
            return failure(state, failed.code, message, layer, retryable=retryable)
        if stage.completed is not None and stage.completed.stop is not None:
            return stage.completed.stop
        if stage.skipped is not None and stage.skipped.stop is not None:
            return stage.skipped.stop
    return None


def _completed(state: RunState, now: float, answer: str, stopped: str | None, note: str | None) -> ev.RunCompleted:
    return ev.RunCompleted(
        answer=answer,
        usage=state.usage,
        elapsed_s=round(max(0.0, now - state.accepted_at), 3),
        stopped=stopped,
        outputs=state.outputs(),
        note=" ".join(words for words in (note, _left_out(state)) if words) or None,
    )


def _left_out(state: RunState) -> str | None:
    """What a reader must know of attachments that an agent who worked on the answer could not see."""
    attached = state.accepted.input.attachments if state.accepted else ()
    worked = [todo.agent for todo in state.plan.todos] if state.plan else []
    blind = [name for name in dict.fromkeys(worked) if not takes_attachments(state.models.get(name, ""))]
    if not attached or not blind:
        return None
    what = "The attachments were" if len(attached) > 1 else "The attachment was"
    return f"{what} left out ({', '.join(called(attached))}): the models of {', '.join(blind)} read words only."


def _expired(state: RunState, now: float) -> bool:
    return state.accepted is not None and (now >= state.deadline_at or _unanswered(state, now))


def _unanswered(state: RunState, now: float) -> bool:
    """Whether the run has waited for a person as long as it does."""
    return any(asked.requested.expires_at <= now for asked in state.open_approvals().values())


def _expiry(state: RunState, now: float) -> ev.RunExpired:
    seconds = state.accepted.limits.deadline_s if state.accepted else 0
    message = f"The run took longer than its deadline of {seconds:g} s."
    if _unanswered(state, now):
        message = "Nobody answered what the run had asked in the time there was for it."
    return ev.RunExpired(message=message, completed=state.outputs(), resume=hint_of(state), usage=state.usage)
