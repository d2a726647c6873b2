"""Going on from an interrupt: the answers in ``resume``, held against the run that asks, and where its next AG-UI run begins."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from ag_ui.core import types as agt

from runtime.errors import Conflict
from runtime.events import catalog as ev
from runtime.events.codec import UnknownEvent, decode
from runtime.events.fold import RunState, fold
from runtime.generator.door import Door
from runtime.generator.protocols.ag_ui.interrupts import Asked, answer_of
from runtime.generator.requests import AnswerQuestion, Approve, PersonInput
from runtime.generator.say import saying

PAGE = 512
"""Events read at a time."""


@dataclass(slots=True)
class Waits:
    """A run, and when it waited for people."""

    state: RunState = field(default_factory=RunState)
    waits: list[tuple[int, frozenset[str]]] = field(default_factory=list)
    """``run.waiting``: its number, and what it waited for."""


async def read_waits(door: Door, run_id: str) -> Waits:
    """The run as it stands."""
    found, after = Waits(), 0
    while True:
        page = await door.page(run_id, after=after, limit=PAGE, deltas=False)
        for stored in page:
            after = stored.seq
            try:
                envelope = decode(stored)
            except UnknownEvent:  # of a newer version; the projection passes it over too
                continue
            found.state = fold(found.state, envelope)
            if isinstance(envelope.event, ev.RunWaiting) and envelope.event.approvals:
                found.waits.append((stored.seq, frozenset(envelope.event.approvals)))
        if len(page) < PAGE:
            return found


def answers(
    found: Waits, resume: Sequence[agt.ResumeEntry], asked: Sequence[Asked], agents: Collection[str], *, by: str
) -> tuple[int, list[PersonInput]]:
    """The number of the interrupt that ``resume`` answers, and those answers that are not recorded yet.

    Raises ``Conflict`` (``not_asked``, ``arguments_changed``, ``interrupts_open``, ``already_answered``, ``run_finished``)
    and ``Refusal`` 422.
    """
    named = {one.approval for one in asked}
    seq, waited = next((wait for wait in reversed(found.waits) if named <= wait[1]), (0, frozenset()))
    if not seq:
        raise Conflict("The run does not ask that.", "not_asked")
    left = sorted((waited & found.state.open_approvals().keys()) - named)
    if left:
        raise Conflict(f"Every open interrupt is answered at once; left out: {', '.join(left)}.", "interrupts_open")
    new: list[PersonInput] = []
    for place, (entry, one) in enumerate(zip(resume, asked, strict=True)):
        approval = found.state.approvals[one.approval]
        if approval.requested.arguments_hash != one.arguments_hash:
            raise Conflict("What you answer is not what is asked now.", "arguments_changed")
        body = answer_of(entry, one, approval.requested.kind, place)
        if approval.given is None:
            saying(found.state, body, agents=agents, name="", by=by)
            new.append(body)
        elif not _same(approval.given, body):
            raise Conflict("That is answered already.", "already_answered")
    return seq, new


def _same(given: ev.ApprovalGiven, body: PersonInput) -> bool:
    """Whether an answer is the one that is recorded."""
    match body.root:
        case Approve() as approve:
            return (given.approved, given.text, given.plan) == (approve.approved, approve.text, approve.plan)
        case AnswerQuestion() as answer:
            return given.approved and given.text == answer.text
        case _:
            return False
