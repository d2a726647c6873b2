"""What a client shows of a run: the state that its log says (``runtime.events.fold``), and beside it what people want to
watch: live text, tool calls, when everything began and ended.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from runtime.client.lanes import Lane
from runtime.events import catalog as ev
from runtime.events.base import Status
from runtime.events.fold import AgentState, RunState, StageState

Over = Literal["completed", "failed", "skipped", "stopped"]


@dataclass(frozen=True, slots=True)
class AttemptView:
    """One hand-over of a stage to an agent's process."""

    dispatch: int
    dispatched_at: float
    ended_at: float | None = None
    end: Literal[Over, "replaced"] | None = None
    """``replaced``: by a later dispatch; ``stopped``: the run ended meanwhile."""


@dataclass(frozen=True, slots=True)
class StageLane(Lane):
    """A stage's turns and calls, and its hand-overs."""

    attempts: tuple[AttemptView, ...] = ()
    index: int | None = None
    of: int | None = None


@dataclass(frozen=True, slots=True)
class AgentLane(Lane):
    """A planning agent's turns, and how it failed."""

    code: str = ""
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class StageView:
    """One todo: what became of it (``state``), and what its agent did."""

    state: StageState
    lane: StageLane

    @property
    def text(self) -> str:
        """What its agent says so far, live."""
        return self.lane.text

    @property
    def output(self) -> str | None:
        """Its result, once it is completed."""
        return self.state.completed.output if self.state.completed else None


@dataclass(frozen=True, slots=True)
class OwnerView:
    """A process that owned the run."""

    epoch: int
    owner: str
    code_version: str
    at: float


@dataclass(frozen=True, slots=True)
class Asked:
    """When a person was asked, and answered."""

    requested_at: float
    agent: str | None = None
    answered_at: float | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A stage's agent has been told what a person said."""

    input: str
    stage: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Placed:
    """An event that is kept as it is, with its place."""

    seq: int
    at: float
    data: ev.Event
    stage: str | None = None
    agent: str | None = None
    turn: int | None = None
    call: str | None = None


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as a client shows it. Begin with ``RunView()`` and :func:`runtime.client.fold.reduce` every event into it."""

    run: RunState = field(default_factory=RunState)
    """The state: plan, stages, approvals, usage, the end. Tokens are not in it."""
    stage_lanes: dict[str, StageLane] = field(default_factory=dict)
    agent_lanes: dict[str, AgentLane] = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)
    said_at: tuple[float, ...] = ()
    delivered: tuple[Delivery, ...] = ()
    customs: tuple[Placed, ...] = ()
    """What users' tools and hooks said in their own words."""
    recoveries: tuple[Placed, ...] = ()
    """Every recovery, in order."""
    owners: tuple[OwnerView, ...] = ()
    """The processes that owned the run; more than one after a takeover."""
    planned_at: float | None = None
    revisions: tuple[tuple[float, str], ...] = ()
    """When the plan was revised, and why."""
    waiting_until: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    reserved_micro_usd: int = 0
    spent_micro_usd: int = 0
    last_seq: int = 0
    last_event_id: str = "0"
    """The cursor to go on from."""
    last_at: float = 0.0
    epoch: int = 0
    run_id: str = ""
    hidden: int = 0
    """Events that this viewer may not see."""
    unknown: int = 0
    """Events of types that this version does not know."""

    @property
    def state(self) -> Status:
        """Where the run stands."""
        return self.run.status

    @property
    def over(self) -> bool:
        """Whether nothing more will come."""
        return self.run.terminal

    @property
    def title(self) -> str | None:
        """What it is about."""
        return self.run.title

    @property
    def answer(self) -> str | None:
        """The answer, once there is one."""
        return self.run.end.answer if isinstance(self.run.end, ev.RunCompleted) else None

    @property
    def error(self) -> ev.RunFailed | ev.RunExpired | None:
        """Why it ended without an answer."""
        return self.run.end if isinstance(self.run.end, ev.RunFailed | ev.RunExpired) else None

    @property
    def stages(self) -> dict[str, StageView]:
        """The steps of the plan, in its order."""
        return {i: StageView(s, self.stage_lanes.get(i) or StageLane()) for i, s in self.run.stages.items()}

    @property
    def planning(self) -> dict[str, tuple[AgentState, AgentLane]]:
        """The planning agents."""
        return {n: (a, self.agent_lanes.get(n) or AgentLane()) for n, a in self.run.agents.items()}

    @property
    def reserved_usd(self) -> float:
        """Held back for model calls under way."""
        return self.reserved_micro_usd / 1_000_000

    @property
    def spent_usd(self) -> float:
        """Spent on models for good."""
        return self.spent_micro_usd / 1_000_000

    def as_json(self) -> dict[str, Any]:
        """The whole view as plain JSON, the same that the page's fold gives: see web/src/headrace/state.ts."""
        from runtime.client.picture import picture  # it needs this module's classes

        return picture(self)
