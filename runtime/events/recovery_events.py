"""Recovery and accounting."""

from __future__ import annotations

from typing import Any, Literal

from runtime.events.base import EventData
from runtime.events.messages import Usage


class RecoveryRetrying(EventData):
    """A failure is being answered by trying again."""

    type: Literal["recovery.retrying"] = "recovery.retrying"
    family = "system"
    failure: str
    message: str
    attempt: int
    of: int
    delay_s: float


class RecoveryFellBack(EventData):
    """Another model takes over."""

    type: Literal["recovery.fell_back"] = "recovery.fell_back"
    family = "system"
    from_model: str
    to_model: str
    failure: str


class RecoveryCompacted(EventData):
    """A stage's conversation was too long for its model and goes on shorter; the log keeps all of it."""

    type: Literal["recovery.compacted"] = "recovery.compacted"
    family = "system"
    shortened: int = 0
    """Tool results in the first so many messages are now only told of."""
    summarised: int = 0
    """The first so many messages are now the summary that the last turn made."""
    tokens: int = 0
    """How long the prompt had become; 0: too long for its model, by the model's own word."""


class RecoveryResumed(EventData):
    """Work goes on from the tool-call limit with the whole conversation."""

    type: Literal["recovery.resumed"] = "recovery.resumed"
    family = "system"
    reason: Literal["tool_call_limit", "takeover"]
    attempt: int
    of: int
    tool_calls: int = 0


class RecoveryToolSwitchedOff(EventData):
    """A tool that keeps failing is no longer offered in this stage; the stage goes on without it."""

    type: Literal["recovery.tool_switched_off"] = "recovery.tool_switched_off"
    family = "system"
    name: str
    failures: int
    """How often it failed in a row."""
    message: str
    """The same in words for people."""


Recovery = RecoveryRetrying | RecoveryFellBack | RecoveryCompacted | RecoveryResumed | RecoveryToolSwitchedOff


def recovery_kind(event: Recovery) -> str:
    """What a recovery is counted as: ``retrying:overloaded``, ``fell_back``, ``compacted``, ``resumed:takeover`` ..."""
    match event:
        case RecoveryRetrying(failure=failure):
            return f"retrying:{failure}"
        case RecoveryFellBack():
            return "fell_back"
        case RecoveryCompacted():
            return "compacted"
        case RecoveryResumed(reason=reason):
            return f"resumed:{reason}"
        case RecoveryToolSwitchedOff():
            return "tool_switched_off"


class UsageUpdated(EventData):
    """What the run has used so far."""

    type: Literal["usage.updated"] = "usage.updated"
    family = "object"
    usage: Usage


class Hidden(EventData):
    """Something this viewer may not see. It stands in no log: the door puts it in the event's place, under its number."""

    type: Literal["hidden"] = "hidden"
    family = "system"


class Custom(EventData):
    """What a user's tool or hook says in its own words."""

    type: Literal["custom"] = "custom"
    family = "object"
    name: str
    value: Any
    """Any JSON value: it is the user's, so its type is not ours to name."""
