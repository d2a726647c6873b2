"""What a person says to a run (``POST /v1/runs/{id}/input``), without HTTP: checked against the run's state, put into an event.

The state is read before the event is written, so two people may answer the same question at once: each question's answer has
one place in the log, the first one takes it, and the other is told (``Conflict``, ``already_answered``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from runtime.errors import Conflict
from runtime.events import catalog as ev
from runtime.events.envelope import Draft
from runtime.events.fold import Approval, RunState
from runtime.events.plan import Plan
from runtime.generator.contract import FieldError
from runtime.generator.problems import Refusal
from runtime.generator.requests import AnswerQuestion, Approve, CancelStage, PersonInput, SayMessage


@dataclass(frozen=True, slots=True)
class Saying:
    """An event, and its name in the run: under each name one thing is said."""

    name: str
    draft: Draft


def saying(state: RunState, body: PersonInput, *, agents: Collection[str], name: str, by: str) -> Saying:
    """What ``body`` says to the run in ``state``; ``name`` is for what is said unasked, ``by`` is who says it.

    Raises ``Conflict`` (``run_finished``, ``not_asked``, ``already_answered``, ``arguments_changed``, ``stage_finished``)
    and ``Refusal`` 422.
    """
    if state.terminal:
        raise Conflict(f"The run is {state.status} already.", "run_finished")
    match body.root:
        case Approve() as approve:
            return _approval(state, approve, agents, by)
        case AnswerQuestion() as answer:
            asked = _asked(state, answer.approval)
            if asked.requested.kind != "question":
                raise Conflict("That is not a question: approve or refuse it.", "not_asked")
            return _given(asked, ev.ApprovalGiven(
                approval=answer.approval, approved=True, arguments_hash=asked.requested.arguments_hash, by=by, text=answer.text
            ))  # fmt: skip
        case SayMessage() as message:
            _require_unfinished(state, message.stage)
            received = ev.InputReceived(input=name, text=message.text, by=by)
            return Saying(name, Draft(received, stage=message.stage))
        case CancelStage() as cancel:
            _require_unfinished(state, cancel.stage)
            received = ev.InputReceived(input=name, kind="cancel_stage", text=cancel.text, by=by)
            return Saying(name, Draft(received, stage=cancel.stage))


def name_of(key: str | None, new: str) -> str:
    """The name of what is said unasked: the same for the same idempotency key, else ``new``."""
    return new if key is None else f"key-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


def stands(state: RunState, saying: Saying) -> bool:
    """Whether the log has exactly this, after the store said that something has its place already."""
    event = saying.draft.event
    if isinstance(event, ev.ApprovalGiven):
        asked = state.approvals.get(event.approval)
        return asked is not None and asked.given == event
    return any(said.received == event and said.stage == saying.draft.stage for said in state.said)


def _approval(state: RunState, body: Approve, agents: Collection[str], by: str) -> Saying:
    asked = _asked(state, body.approval)
    if body.arguments_hash != asked.requested.arguments_hash:
        words = "What you agree to is not what is asked: read approval.requested again, and send its arguments_hash."
        raise Conflict(words, "arguments_changed")
    if body.plan is not None:
        _require_plan(asked, body.plan, agents)
    return _given(
        asked,
        ev.ApprovalGiven(
            approval=body.approval,
            approved=body.approved,
            arguments_hash=body.arguments_hash,
            by=by,
            text=body.text,
            plan=body.plan,
        ),
    )


def _given(asked: Approval, event: ev.ApprovalGiven) -> Saying:
    return Saying(f"answer-{event.approval}", Draft(event, stage=asked.stage, call=asked.call))


def _asked(state: RunState, approval: str) -> Approval:
    asked = state.approvals.get(approval)
    if asked is None:
        raise Conflict("The run does not ask that.", "not_asked")
    if asked.given is not None:
        raise Conflict("That is answered already.", "already_answered")
    if approval not in state.open_approvals():
        raise Conflict("Nobody needs the answer any more.", "not_asked")
    return asked


def _require_plan(asked: Approval, plan: Plan, agents: Collection[str]) -> None:
    if asked.requested.kind != "plan":
        raise _refused(("plan",), "only the plan can be answered with another plan")
    for place, todo in enumerate(plan.todos):
        if todo.agent not in agents:
            words = f"there is no agent {todo.agent!r}; the agents are {', '.join(sorted(agents))}"
            raise _refused(("plan", "todos", place, "agent"), words)


def _require_unfinished(state: RunState, stage: str | None) -> None:
    if stage is None:
        return
    if stage not in state.stages:
        steps = ", ".join(state.stages) or "none yet"
        raise _refused(("stage",), f"the plan has no step {stage!r}; its steps are {steps}")
    if state.stages[stage].ended:
        raise Conflict("That step is over.", "stage_finished")


def _refused(where: tuple[str | int, ...], words: str) -> Refusal:
    pointer = "".join(f"/{part}" for part in where)
    detail = f"The body does not fit: {pointer}: {words}."
    return Refusal(422, "validation_failed", detail, [FieldError(pointer=pointer, detail=words)])
