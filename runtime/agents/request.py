"""What control sends to an agent and gets back. Small, frozen and picklable: these cross processes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from runtime.events.attachments import Attachment
from runtime.events.brief import Brief
from runtime.events.messages import Usage
from runtime.events.tool_events import Taint
from runtime.events.transcript import Transcript
from runtime.tools.tool import ToolKind


@dataclass(frozen=True, slots=True)
class Source:
    """A known place in a document, with words that stand there."""

    location: str
    title: str
    quote: str


STAGE_LEASE_S = 10.0
"""How long an agent works on a stage that nobody renews: as long as an executor's own lease (JOURNAL.md 1.4)."""


class PersonSaid(NamedTuple):
    """What a person says to a stage while it is worked on."""

    input: str
    """Its name in the run."""
    text: str


class StageLease(NamedTuple):
    """The right to work on one dispatch of one stage."""

    run_id: str
    epoch: int
    stage: str
    dispatch: int


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
    attachments: tuple[Attachment, ...] = ()
    """What came with the question; a delegate is shown it as well."""
    said: tuple[PersonSaid, ...] = ()
    """What people have said that the conversation does not have yet."""
    tool_calls_left: int = 200
    """What is left of the run's total."""
    tools_off: bool = False
    """The last answer after the last resume: no tools."""
    lease_s: float | None = None
    """How long the agent goes on without a renewal; None: to its end."""
    taint: Taint = frozenset()
    """What the conversations behind its brief have met: it begins with that."""

    @property
    def lease(self) -> StageLease:
        """What a renewal names it by."""
        return StageLease(self.run_id, self.epoch, self.stage, self.dispatch)


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
    dispatch: int = 1
    """A higher one shuts out whoever still works on a lower one."""
    transcript: Transcript = field(default_factory=Transcript)
    """Carries the earlier answer and what was wrong with it when this is a repair."""
    attachments: tuple[Attachment, ...] = ()
    shows_attachments: bool = False
    """False: only their names are told."""


@dataclass(frozen=True, slots=True)
class PlanningResult:
    """The conversation with the answer, which is not yet validated."""

    transcript: Transcript

    @property
    def text(self) -> str:
        """The answer: JSON, if the agent kept to its schema."""
        return self.transcript.text()


@dataclass(frozen=True, slots=True)
class OfferedTool:
    """What is known of a tool that an agent may call."""

    name: str
    title: str
    description: str
    icon: str
    kind: ToolKind
    input_schema: dict[str, Any]


class ToolOwner(Protocol):
    """An agent as doors see it."""

    async def offered(self) -> tuple[OfferedTool, ...]:
        """The tools it may call just now, those of MCP servers among them. Raises StoreUnavailable when its process is away."""
        ...


class AgentPort(Protocol):
    """An agent as control sees it: a process of its own in production, a plain object in tests.

    A call returns or raises only after every event of it is durable. Raises StageFailed, ToolCallLimitReached, Fenced,
    Superseded, RunEnded, RunCancelled, StoreUnavailable, Suspended when people must answer first, and AgentLost when its
    process is gone.
    """

    async def run_stage(self, request: StageRequest) -> StageResult: ...

    async def run_planning(self, request: PlanningRequest) -> PlanningResult: ...

    async def renew(self, leases: Sequence[StageLease]) -> frozenset[StageLease]:
        """Go on with those stages; answers the ones it is working on."""
        ...

    async def say(self, run_id: str, stage: str, said: Sequence[PersonSaid]) -> None:
        """Make that part of the stage's conversation before its next turn; nothing if it is not worked on here."""
        ...

    async def cancel(self, run_id: str, stage: str | None = None) -> None:
        """Stop everything this agent does for that run, or that stage of it: sockets closed, tools told."""
        ...
