"""What is kept of one run for statistics: flat rows of plain values, a few hundred bytes each.

They do not change once the run has ended. Seconds are by the publishers' clocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from runtime.events.base import TERMINAL, Status

StageEnd = Literal["running", "completed", "failed", "skipped", "carried"]
CallEnd = Literal["open", "completed", "failed", "withdrawn"]
ToolEnd = Literal["open", "completed", "failed", "unknown", "invalid", "refused"]
Where = Literal["run", "planning", "stage", "model"]


@dataclass(frozen=True, slots=True)
class PlanningFacts:
    """One planning agent."""

    agent: str
    seconds: float
    code: str | None = None
    """Why it gave no valid result."""


@dataclass(frozen=True, slots=True)
class StageFacts:
    """One stage that was begun, carried over or left out."""

    stage: str
    agent: str
    end: StageEnd
    """``carried``: done by the run that this one resumes."""
    seconds: float | None = None
    """From its first beginning to its end, all attempts, without the time it waited for people; None before its end."""
    partial: bool = False
    """It ended at a limit, with what it had."""
    recoveries: tuple[str, ...] = ()
    """The kinds of recovery it met, each once."""


@dataclass(frozen=True, slots=True)
class CallFacts:
    """One call of a model."""

    model: str
    agent: str
    end: CallEnd
    seconds: float | None = None
    """Until its answer was whole; None when it had none."""
    reason: str | None = None
    """Why it failed or was withdrawn."""
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cost_usd: float = 0.0
    """Of a withdrawn one: what counts as spent all the same."""


@dataclass(frozen=True, slots=True)
class ToolFacts:
    """One call of a tool."""

    name: str
    agent: str
    end: ToolEnd
    """``unknown``: nobody can say whether it had its effect; ``invalid``: its arguments did not fit, it was not run;
    ``refused``: a person, a limit or a rule kept it from being run."""
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class RunFacts:
    """One run."""

    run_id: str
    conversation_id: str | None
    resumed_from: str | None
    state: Status
    accepted_at: float
    ended_at: float | None = None
    waited_s: float = 0.0
    """How long it waited for people."""
    first_token_s: float | None = None
    """From acceptance to the first token that was shown; None before that."""
    owners: int = 0
    """How many executors have worked on it, one after the other."""
    stopped: bool = False
    """It completed early: a guardrail or a hook ended it."""
    recoveries: tuple[tuple[str, int], ...] = ()
    """How often each kind of recovery happened."""
    errors: tuple[tuple[Where, str], ...] = ()
    """Where something failed, and its code."""
    planning: tuple[PlanningFacts, ...] = ()
    stages: tuple[StageFacts, ...] = ()
    calls: tuple[CallFacts, ...] = ()
    tools: tuple[ToolFacts, ...] = ()

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    @property
    def seconds(self) -> float | None:
        """From acceptance to the end, without the time it waited for people; None before its end."""
        return None if self.ended_at is None else max(0.0, self.ended_at - self.accepted_at - self.waited_s)

    @property
    def cost_usd(self) -> float:
        return sum(call.cost_usd for call in self.calls)

    @property
    def tokens(self) -> int:
        """In and out, of all its calls."""
        return sum(
            call.input_tokens + call.output_tokens + call.cache_read_tokens + call.cache_write_tokens
            for call in self.calls
        )
