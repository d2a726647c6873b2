"""Turns of a model."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from runtime.events.base import EventData
from runtime.events.messages import ContentBlock, Usage

Purpose = Literal["answer", "summary"]
"""What a turn is for."""


class TurnStarted(EventData):
    """A request to a model is about to be made."""

    type: Literal["turn.started"] = "turn.started"
    family = "system"
    model: str
    request_hash: str
    reserved_cost_usd: float = 0.0
    """The most this call can cost, held back from the budgets before it is made; 0 where the price is not known."""
    purpose: Purpose = Field(default="answer", exclude_if=lambda purpose: purpose == "answer")


class TurnDelta(EventData):
    """A piece of what the model is saying, keyed by (stage, agent, turn, attempt, call)."""

    type: Literal["turn.delta"] = "turn.delta"
    family = "token"
    kind: Literal["text", "thinking", "tool_input"] = "text"
    text: str
    call_id: str | None = None
    """For ``tool_input``: the tool call being written."""
    name: str | None = None
    """For ``tool_input``: the tool's name."""


class TurnCompleted(EventData):
    """The canonical content of a turn; replaces what its deltas said."""

    type: Literal["turn.completed"] = "turn.completed"
    family = "object"
    content: tuple[ContentBlock, ...]
    stop_reason: str
    usage: Usage
    model: str
    truncated: bool = False
    released_cost_usd: float = 0.0
    """What ``turn.started`` held back, given back now; ``usage.cost_usd`` is what counts as spent instead."""
    purpose: Purpose = Field(default="answer", exclude_if=lambda purpose: purpose == "answer")
    """``summary``: of the conversation so far, for the model itself; no part of what is said to people."""


class TurnSnapshot(EventData):
    """The same after compaction."""

    type: Literal["turn.snapshot"] = "turn.snapshot"
    family = "object"
    content: tuple[ContentBlock, ...]
    replace: Literal[True] = True


class TurnFailed(EventData):
    """All attempts at this turn failed."""

    type: Literal["turn.failed"] = "turn.failed"
    family = "error"
    code: str
    message: str
    attempts: int
    released_cost_usd: float = 0.0
    spent_cost_usd: float = 0.0
    """See ``turn.superseded``."""


class TurnSuperseded(EventData):
    """An attempt is withdrawn: clients drop its text."""

    type: Literal["turn.superseded"] = "turn.superseded"
    family = "system"
    reason: str
    released_cost_usd: float = 0.0
    """What ``turn.started`` held back, given back now."""
    spent_cost_usd: float = 0.0
    """What counts as spent instead: all of it when the provider may have worked, since nobody can say for how much."""
