"""The report: what ``GET /v1/statistics`` answers, and what ``headrace stats`` prints. Rates are from 0 to 1."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from runtime.events.base import Status
from runtime.statistics.facts import Where


class Figures(BaseModel):
    """Base of all parts: closed, strict, frozen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Spread(Figures):
    """How long something took, in seconds."""

    count: int
    p50_s: float
    """Half of them took no longer; the nearest rank, so one of the values measured."""
    p95_s: float
    max_s: float


class RunUnderWay(Figures):
    """A run that has not ended."""

    run_id: str
    tenant_id: str
    state: Status
    question: str | None
    """Its first 200 characters; None: another tenant's, which is not shown."""
    conversation_id: str | None
    created_at: float
    deadline_at: float
    """Without the time it waited for people, by which it ends later."""
    last_event_at: float | None
    """When its last event was made; None when none could be read."""
    takeovers: int
    """How often its owner was lost since it last made progress."""
    cancel_requested: bool
    stages_ended: int
    stages_begun: int
    cost_usd: float
    """Spent so far."""


class UnderWay(Figures):
    """The runs that have not ended, whenever they began."""

    accepted: int
    """Nobody works on them yet."""
    running: int
    waiting: int
    """For people, or for a model that asked for a pause."""
    runs: list[RunUnderWay]
    """The oldest first; not all when there are many."""


class Outcomes(Figures):
    """What became of runs."""

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    expired: int = 0
    unfinished: int = 0
    """Not ended yet."""
    stopped: int = 0
    """Of the completed: ended early by a guardrail or a hook."""

    @property
    def ended(self) -> int:
        return self.completed + self.failed + self.cancelled + self.expired


class Rates(Figures):
    """Of the runs that have ended; 0 when none has."""

    completion: float
    error: float
    """Failed or expired."""
    cancellation: float


class Slot(Outcomes):
    """The runs accepted in one part of the window, and what became of them."""

    begins_at: float


class AgentTimes(Figures):
    """How long an agent took: a stage of it, or its planning."""

    agent: str
    times: Spread


class Durations(Figures):
    """Of what has ended; the time that runs waited for people is left out."""

    runs: Spread | None
    """Of completed runs, from acceptance to the end."""
    first_token: Spread | None
    """From acceptance to the first token shown, of all runs."""
    stages: list[AgentTimes]
    """Of completed stages, by agent."""
    planning: list[AgentTimes]


class RecoveryRate(Figures):
    """How often a kind of recovery saved the day; ``any``: at least one, of whatever kind."""

    kind: str
    ended: int
    """All runs (or stages) that have ended."""
    met: int
    """Those of them that met it."""
    completed: int
    """Those of them that completed all the same."""
    share: float
    """``completed`` of ``ended``: how many would have failed and did not."""
    success: float
    """``completed`` of ``met``."""


class KindCount(Figures):
    """How often a kind of recovery happened."""

    kind: str
    count: int


class Recoveries(Figures):
    """By kind."""

    runs: list[RecoveryRate]
    stages: list[RecoveryRate]
    happened: list[KindCount]
    """Each time, the most frequent first."""
    tool_limits: int
    """Stages resumed with their whole conversation after the tool-call limit."""
    takeovers: int
    """Runs whose owner was lost and that another executor went on with, each time."""


class Use(Figures):
    """What something has cost."""

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float = 0.0
    """By the price table, calls that were withdrawn but may have been charged included."""


class ReasonCount(Figures):
    """Why calls failed or were withdrawn."""

    reason: str
    count: int


class ModelUse(Use):
    """Calls of one model."""

    model: str
    calls: int
    completed: int
    failed: int
    """Ends of turns that no attempt could save."""
    withdrawn: int
    """Attempts given up: retried, taken over, or stopped."""
    reasons: list[ReasonCount]
    times: Spread | None
    """Of completed calls."""


class AgentUse(Use):
    """Calls made by one agent."""

    agent: str
    calls: int


class ConversationUse(Use):
    """The runs of one conversation."""

    conversation_id: str
    runs: int


class TenantUse(Outcomes, Use):
    """The runs of one tenant."""

    tenant_id: str
    under_way: int
    """All of its runs that have not ended, whenever they began."""


class DayCost(Figures):
    """What a tenant's runs created on a day (UTC) have cost, from the store's own books."""

    tenant_id: str
    day: str
    """``2026-10-05``."""
    spent_usd: float
    reserved_usd: float
    """Held back for model calls under way."""


class ErrorCount(Figures):
    """How often something failed with a code."""

    where: Where
    code: str
    count: int
    """Each time: a step that is tried again may fail twice."""
    last_run_id: str
    """The newest run it happened in."""


class ToolUse(Figures):
    """Calls of one tool."""

    name: str
    """``(other)``: all those that this viewer is not shown."""
    calls: int
    """Those that were run, or are running."""
    failed: int
    unknown: int
    """Nobody can say whether they had their effect."""
    invalid: int
    """Not run, since their arguments did not fit; not among ``calls``. So is what was refused."""
    refused: int
    times: Spread | None


class Report(Figures):
    """The runs accepted within the window, and what is under way now."""

    scope: Literal["tenant", "all"]
    at: float
    since: float
    """The window's beginning."""
    runs: int
    """Runs accepted within it that were looked at."""
    complete: bool
    """False: there were more, older ones than are looked at at once."""
    under_way: UnderWay
    outcomes: Outcomes
    rates: Rates
    over_time: list[Slot]
    """The window in parts of equal length, the oldest first."""
    durations: Durations
    recovery: Recoveries
    total: Use
    models: list[ModelUse]
    agents: list[AgentUse]
    conversations: list[ConversationUse]
    """The dearest first, ten at most."""
    tenants: list[TenantUse]
    """The dearest first; one, unless all are asked for."""
    days: list[DayCost]
    errors: list[ErrorCount]
    """The most frequent first."""
    tools: list[ToolUse]
    """Those with the most failures first."""
