"""What people answer in a chat: parts of the assistant's message that they have changed, and ``answers`` beside it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from runtime.clock import Clock
from runtime.errors import Conflict
from runtime.events import catalog as ev
from runtime.events.codec import UnknownEvent, decode
from runtime.events.fold import Approval, RunState
from runtime.generator.asking import tell
from runtime.generator.body import validate
from runtime.generator.door import Door
from runtime.generator.protocols.ai_sdk.requests import ChatAnswer, ChatMessage
from runtime.generator.requests import PersonInput
from runtime.generator.say import saying
from runtime.generator.snapshot import PAGE


@dataclass(frozen=True, slots=True)
class Answered:
    """What stands in the log of answers."""

    new: tuple[str, ...]
    """Given just now."""
    known: tuple[str, ...]
    """Given before, in the same words."""


def answers_in(message: ChatMessage, state: RunState) -> list[ChatAnswer]:
    """What a message's parts answer of what the run has asked. Raises ``Conflict`` ``arguments_changed``, ``Refusal`` 422."""
    found = [answer for part in message.parts if (answer := _of_part(part, state)) is not None]
    return list({answer.approval: answer for answer in found}.values())


async def record(
    door: Door, state: RunState, answers: list[ChatAnswer], *, clock: Clock, agents: Collection[str], by: str
) -> Answered:
    """Write the answers into the run's log; those that stand there already are left. ``by``: who gives them.

    Raises ``Conflict`` (``not_asked``, ``already_answered``, ``arguments_changed``, ``run_finished``) before anything is written.
    """
    known = tuple(answer.approval for answer in answers if _stands(state, answer))
    new = [answer for answer in answers if answer.approval not in known]
    bodies = [_said(state, answer) for answer in new]
    for body in bodies:
        saying(state, body, agents=agents, name="", by=by)
    for body in bodies:
        await tell(door, state.run_id, body, clock=clock, agents=agents, name="", by=by)
    return Answered(tuple(answer.approval for answer in new), known)


async def goes_on_after(door: Door, run_id: str, approvals: Collection[str]) -> int:
    """After which event the response to those answers begins: the wait that the first of them ended.

    When the run did not wait for it, the answer itself.
    """
    after, waited = 0, 0
    while page := await door.page(run_id, after=after, limit=PAGE, deltas=False):
        for stored in page:
            after = stored.seq
            if stored.type == "run.started":
                waited = 0
            if stored.type not in ("run.waiting", "approval.given"):
                continue
            try:
                event = decode(stored).event
            except UnknownEvent:
                continue
            if isinstance(event, ev.RunWaiting):
                waited = stored.seq if event.approvals else 0
            elif isinstance(event, ev.ApprovalGiven) and event.approval in approvals:
                return waited or stored.seq
    return after


def _of_part(part: Mapping[str, Any], state: RunState) -> ChatAnswer | None:
    approval = part.get("approval")
    if part.get("state") == "approval-responded" and isinstance(approval, dict):
        name, _, agreed = str(approval.get("id")).partition("#")
        said = {"approval": name, "approved": approval.get("approved"), "text": approval.get("reason") or ""}
        return validate(ChatAnswer, {**said, "arguments_hash": agreed or None})
    asked = state.approvals.get(str(part.get("toolCallId")))
    if asked is None or asked.requested.kind != "question" or part.get("providerExecuted"):
        return None  # where the part says providerExecuted, its end was written here
    shown = part.get("input")
    if isinstance(shown, dict) and shown.get("question", asked.requested.what) != asked.requested.what:
        raise Conflict("What you answer is not what is asked.", "arguments_changed")
    if part.get("state") == "output-available":
        return validate(ChatAnswer, {"approval": asked.requested.approval, "text": _words(part.get("output"))})
    if part.get("state") == "output-error":
        refused = {"approval": asked.requested.approval, "approved": False, "text": str(part.get("errorText") or "")}
        return validate(ChatAnswer, refused)
    return None


def _words(output: object) -> str:
    return output if isinstance(output, str) else orjson.dumps(output).decode()


def _stands(state: RunState, answer: ChatAnswer) -> bool:
    """Whether exactly this is in the log already."""
    given = _asked(state, answer).given
    if given is None:
        return False
    return given.approved == answer.approved and given.text == answer.text


def _asked(state: RunState, answer: ChatAnswer) -> Approval:
    if (asked := state.approvals.get(answer.approval)) is None:
        raise Conflict("The run does not ask that.", "not_asked")
    return asked


def _said(state: RunState, answer: ChatAnswer) -> PersonInput:
    asked = _asked(state, answer).requested
    if asked.kind == "question" and answer.approved:
        said: dict[str, object] = {"type": "answer", "approval": answer.approval, "text": answer.text}
    else:
        said = {
            "type": "approve",
            "approval": answer.approval,
            "approved": answer.approved,
            "text": answer.text,
            "plan": answer.plan and answer.plan.model_dump(),
            "arguments_hash": answer.arguments_hash or asked.arguments_hash,
        }
    return validate(PersonInput, said)
