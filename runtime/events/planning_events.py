"""Planning: the three agents, and what they came to."""

from __future__ import annotations

from typing import Literal

from runtime.events.base import EventData
from runtime.events.plan import Plan


class AgentStarted(EventData):
    """A planning agent began."""

    type: Literal["agent.started"] = "agent.started"
    family = "status"
    model: str


class AgentCompleted(EventData):
    """A planning agent's result is valid."""

    type: Literal["agent.completed"] = "agent.completed"
    family = "status"
    ms: int


class AgentFailed(EventData):
    """A planning agent gave no valid result; ``fatal`` tells whether the run ends with it."""

    type: Literal["agent.failed"] = "agent.failed"
    family = "status"
    ms: int
    code: str
    message: str
    fatal: bool


class TitleSet(EventData):
    """What the conversation is about."""

    type: Literal["title.set"] = "title.set"
    family = "object"
    title: str


class GuardrailVerdict(EventData):
    """Whether the request may be worked on. ``allowed=False`` is the run's stop reason."""

    type: Literal["guardrail.verdict"] = "guardrail.verdict"
    family = "object"
    allowed: bool
    category: str
    reason: str


class PlanCommitted(EventData):
    """The validated plan; stages start only after it."""

    type: Literal["plan.committed"] = "plan.committed"
    family = "object"
    plan: Plan


class PlanRevised(EventData):
    """A new plan takes the old one's place; completed todos stay completed."""

    type: Literal["plan.revised"] = "plan.revised"
    family = "object"
    plan: Plan
    reason: str
