"""What control sends to an agent and gets back. Small, frozen and picklable: these cross processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

from runtime.events.brief import Brief
from runtime.events.messages import Usage
from runtime.events.transcript import Transcript


@dataclass(frozen=True, slots=True)
class Source:
    """A known place in a document, with words that stand there."""

    location: str
    title: str
    quote: str


@dataclass(frozen=True, slots=True)
class StageRequest:
    """One dispatch of one stage."""

    run_id: str
    epoch: int
    stage: str
    dispatch: int
    brief: Brief
    transcript: Transcript = field(default_factory=Transcript)
    """What the stage's log says so far: empty at first, the whole conversation after a limit or a takeover."""
    sources: tuple[Source, ...] = ()
    """What earlier stages cited, so that their quotes survive."""
    documents: str | None = None
    tool_calls_left: int = 200
    """What is left of the run's total."""
    tools_off: bool = False
    """The last answer after the last resume: no tools."""


@dataclass(frozen=True, slots=True)
class StageResult:
    """A stage's answer, every event of it already durable."""

    text: str
    tool_calls: int
    usage: Usage
    partial: bool = False


@dataclass(frozen=True, slots=True)
class PlanningRequest:
    """One question to a planning agent."""

    run_id: str
    epoch: int
    brief: Brief
    schema: dict[str, Any]
    """JSON Schema its answer must fit."""
    transcript: Transcript = field(default_factory=Transcript)
    """Carries the earlier answer and what was wrong with it when this is a repair."""


@dataclass(frozen=True, slots=True)
class PlanningResult:
    """The conversation with the answer, which is not yet validated."""

    transcript: Transcript

    @property
    def text(self) -> str:
        """The answer: JSON, if the agent kept to its schema."""
        return self.transcript.text()


class AgentPort(Protocol):
    """An agent as control sees it: a process of its own in production, a plain object in tests.

    A call returns or raises only after every event of it is durable. Raises StageFailed, ToolCallLimitReached, Fenced,
    Superseded, RunEnded, RunCancelled, StoreUnavailable, and AgentLost when its process is gone.
    """

    async def run_stage(self, request: StageRequest) -> StageResult: ...

    async def run_planning(self, request: PlanningRequest) -> PlanningResult: ...

    async def cancel(self, run_id: str) -> None:
        """Stop everything this agent does for that run: sockets closed, tools told."""
        ...
