"""People in the loop: what they are asked, what they answer, and what they say unasked."""

from __future__ import annotations

from typing import Any, Final, Literal

from runtime.events.base import EventData
from runtime.events.plan import Plan

ANSWER_WITHIN_S: Final = 7 * 24 * 3600.0
"""How long a run waits for a person (JOURNAL.md 1.11, 6)."""


class ApprovalRequested(EventData):
    """A person must agree to exactly this, or answer it; what it belongs to waits meanwhile, the rest goes on."""

    type: Literal["approval.requested"] = "approval.requested"
    family = "object"
    approval: str
    """Its name in this run; the answer carries it."""
    kind: Literal["plan", "tool", "question"]
    what: str
    """What is asked, in words for a person."""
    arguments_hash: str
    """Of exactly what is agreed to (the plan, the call's arguments, the question); the answer must repeat it."""
    expires_at: float
    """When nobody need answer any more and the run expires, in seconds since the epoch."""
    call_id: str | None = None
    """Of ``tool``, and of a question that an agent asks: the call that waits."""
    name: str | None = None
    """Of ``tool``: its name."""
    arguments: dict[str, Any] | None = None
    """Of ``tool``: what it would be called with. Any JSON: tools choose their arguments."""
    reason: str = ""
    """Why a person is asked."""
    options: tuple[str, ...] = ()
    """Of a question: answers to choose from; another one is possible."""


class ApprovalGiven(EventData):
    """A person's answer; the first one counts."""

    type: Literal["approval.given"] = "approval.given"
    family = "system"
    approval: str
    approved: bool
    arguments_hash: str
    by: str
    text: str = ""
    """The answer to a question, or why it was refused."""
    plan: Plan | None = None
    """Of ``plan``: what is to be done instead."""


class InputReceived(EventData):
    """A person said something to an unfinished run, unasked."""

    type: Literal["input.received"] = "input.received"
    family = "system"
    input: str = ""
    """Its name in this run."""
    kind: Literal["message", "cancel_stage"] = "message"
    """``message``: for the next turn of the stage it names, or of every stage from now on; ``cancel_stage``: end that stage."""
    text: str
    by: str = "user"


class InputDelivered(EventData):
    """A message has become part of this stage's conversation: its next turn is asked with it."""

    type: Literal["input.delivered"] = "input.delivered"
    family = "system"
    input: str
    text: str
