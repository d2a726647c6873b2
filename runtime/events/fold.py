"""The state of a run as a fold of its log. Executors decide by it, doors show it as the snapshot, clients draw it.

Token events do not change it (``texts`` folds those), so it can be fed a log read without deltas.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, assert_never

from runtime.events import catalog as ev
from runtime.events.base import TERMINAL as TERMINAL
from runtime.events.base import Status
from runtime.events.envelope import Envelope
from runtime.events.evolve import evolve
from runtime.events.messages import Usage
from runtime.events.plan import Plan, Todo
from runtime.events.recovery_events import recovery_kind
from runtime.events.transcript import Transcript, advance

StageStatus = Literal["pending", "dispatched", "running", "completed", "failed", "skipped"]


@dataclass(frozen=True)
class StageState:
    """One todo and what became of it."""

    todo: Todo
    status: StageStatus = "pending"
    dispatch: int = 0
    """How often it was handed to an agent; the number of the latest."""
    failures: int = 0
    transcript: Transcript = field(default_factory=Transcript)
    context: str | None = None
    """What a join hook made of the results it builds on."""
    recoveries: dict[str, int] = field(default_factory=dict)
    """How often each kind of recovery happened in it."""
    completed: ev.StageCompleted | None = None
    failed: ev.StageFailed | None = None
    skipped: ev.StageSkipped | None = None
    citations: tuple[ev.CitationAdded, ...] = ()

    @property
    def ended(self) -> bool:
        return self.status in ("completed", "failed", "skipped")


@dataclass(frozen=True)
class Approval:
    """What a person was asked, and the answer."""

    requested: ev.ApprovalRequested
    stage: str | None = None
    """None: it is about the run's plan."""
    call: str | None = None
    """Of a delegate: the path of its call."""
    given: ev.ApprovalGiven | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What a person said to the run unasked."""

    received: ev.InputReceived
    stage: str | None = None
    """None: it is for every stage from then on."""


@dataclass(frozen=True)
class AgentState:
    """A planning agent."""

    status: Literal["running", "completed", "failed"] = "running"
    model: str = ""
    ms: int = 0
    message: str = ""
    transcript: Transcript = field(default_factory=Transcript)


@dataclass(frozen=True)
class RunState:
    """Everything a run's log says, tokens left out."""

    run_id: str = ""
    status: Status = "accepted"
    accepted: ev.RunAccepted | None = None
    accepted_at: float = 0.0
    epoch: int = 0
    last_seq: int = 0
    last_at: float = 0.0
    title: str | None = None
    verdict: ev.GuardrailVerdict | None = None
    plan: Plan | None = None
    stages: dict[str, StageState] = field(default_factory=dict)
    agents: dict[str, AgentState] = field(default_factory=dict)
    started_epoch: int = 0
    """The last epoch whose owner has said that it began."""
    planning_dispatch: int = 1
    """How often it was given to be planned; the number of the latest."""
    models: dict[str, str] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    tool_calls: int = 0
    recoveries: dict[str, int] = field(default_factory=dict)
    """How often each kind of recovery happened."""
    cancel_requested: str | None = None
    """By whom: ``user``, ``disconnect`` or ``shutdown``."""
    waiting_for: str | None = None
    approvals: dict[str, Approval] = field(default_factory=dict)
    """What people were asked, by its name."""
    said: tuple[Said, ...] = ()
    """What people said unasked, in order."""
    revisions: int = 0
    """How often the plan was revised."""
    paused_s: float = 0.0
    """How long the run has waited for people so far; its deadline stood still meanwhile."""
    paused_at: float | None = None
    """Since when it waits for people."""
    end: ev.RunCompleted | ev.RunFailed | ev.RunCancelled | ev.RunExpired | None = None

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def deadline_at(self) -> float:
        """When the run expires, in seconds since the epoch; while it waits for people this does not come nearer."""
        limit = self.accepted.limits.deadline_s if self.accepted else 0.0
        return self.accepted_at + limit + self.paused_s

    def open_approvals(self) -> dict[str, Approval]:
        """What people have still to answer."""
        return {name: a for name, a in self.approvals.items() if a.given is None and self._matters(a)}

    @property
    def suspended(self) -> frozenset[str]:
        """The stages that cannot go on before a person has answered."""
        return frozenset(a.stage for a in self.open_approvals().values() if a.stage is not None)

    def _matters(self, approval: Approval) -> bool:
        stage = self.stages.get(approval.stage) if approval.stage is not None else None
        return approval.stage is None or (stage is not None and stage.status in ("dispatched", "running"))

    def messages_for(self, stage: str) -> tuple[ev.InputReceived, ...]:
        """What people said to that stage that its conversation does not have yet."""
        delivered = self.stages[stage].transcript.delivered
        return tuple(
            said.received
            for said in self.said
            if said.received.kind == "message" and said.stage in (None, stage) and said.received.input not in delivered
        )

    def outputs(self) -> tuple[ev.StageOutput, ...]:
        """The answers of completed stages, in the plan's order."""
        done = ((s.todo, s.completed) for s in self.stages.values())
        return tuple(
            ev.StageOutput(stage=todo.id, title=todo.title, agent=todo.agent, text=completed.output)
            for todo, completed in done
            if completed is not None
        )


def fold(state: RunState, envelope: Envelope) -> RunState:
    """The state after one more event."""
    state = evolve(
        state,
        run_id=envelope.run_id,
        last_seq=envelope.seq,
        epoch=max(state.epoch, envelope.epoch),
        last_at=envelope.at,
    )
    return _conversation(_apply(state, envelope), envelope)


def fold_all(envelopes: list[Envelope], state: RunState | None = None) -> RunState:
    """The state after all of them."""
    state = state or RunState()
    for envelope in envelopes:
        state = fold(state, envelope)
    return state


def _apply(state: RunState, envelope: Envelope) -> RunState:  # one thought: a table, closed by assert_never
    event = envelope.event
    match event:
        case ev.RunAccepted():
            return evolve(state, accepted=event, accepted_at=envelope.at, title=event.title)
        case ev.RunStarted():
            paused = state.paused_s + (max(0.0, envelope.at - state.paused_at) if state.paused_at is not None else 0.0)
            state = evolve(state, paused_s=paused, paused_at=None)
            return evolve(state, status="running", models=event.models, waiting_for=None, started_epoch=event.epoch)
        case ev.RunWaiting():
            paused_at = envelope.at if event.approvals else None
            return evolve(state, status="waiting", waiting_for=event.reason, paused_at=paused_at)
        case ev.RunCompleted():
            return evolve(state, status="completed", end=event)
        case ev.RunFailed():
            return evolve(state, status="failed", end=event)
        case ev.RunCancelled():
            return evolve(state, status="cancelled", end=event)
        case ev.RunExpired():
            return evolve(state, status="expired", end=event)
        case ev.RunCancelRequested():
            return evolve(state, cancel_requested=event.by)
        case ev.AgentStarted():
            known = state.agents.get(envelope.agent or "", AgentState())
            return _agent(state, envelope, evolve(known, status="running", model=event.model))
        case ev.AgentCompleted():
            known = state.agents.get(envelope.agent or "", AgentState())
            return _agent(state, envelope, evolve(known, status="completed", ms=event.ms))
        case ev.AgentFailed():
            known = state.agents.get(envelope.agent or "", AgentState())
            return _agent(state, envelope, evolve(known, status="failed", ms=event.ms, message=event.message))
        case ev.TitleSet():
            return evolve(state, title=event.title)
        case ev.GuardrailVerdict():
            return evolve(state, verdict=event)
        case ev.PlanCommitted():
            return _planned(state, event.plan)
        case ev.PlanRevised():
            return evolve(_planned(state, event.plan), revisions=state.revisions + 1)
        case ev.StageDispatched() if envelope.stage is None:
            return evolve(state, planning_dispatch=event.dispatch)
        case ev.StageDispatched():
            return _with_stage(state, envelope, status="dispatched", dispatch=event.dispatch)
        case ev.StageStarted():
            return _with_stage(state, envelope, status="running", context=event.context)
        case ev.StageCompleted():
            return _with_stage(state, envelope, status="completed", completed=event)
        case ev.StageSkipped():
            return _with_stage(state, envelope, status="skipped", skipped=event)
        case ev.StageFailed():
            failures = state.stages[envelope.stage].failures + 1 if envelope.stage in state.stages else 1
            status: StageStatus = "pending" if event.decision == "retry" else "failed"
            return _with_stage(state, envelope, status=status, failed=event, failures=failures)
        case ev.CitationAdded():
            citations = state.stages[envelope.stage].citations if envelope.stage in state.stages else ()
            return _with_stage(state, envelope, citations=(*citations, event))
        case ev.TurnCompleted():
            return evolve(state, usage=state.usage.plus(event.usage))
        case ev.ToolCalled():
            return evolve(state, tool_calls=state.tool_calls + 1)
        case (
            ev.RecoveryRetrying()
            | ev.RecoveryFellBack()
            | ev.RecoveryCompacted()
            | ev.RecoveryResumed()
            | ev.RecoveryToolSwitchedOff()
        ):
            return _recovered(state, envelope, recovery_kind(event))
        case ev.ApprovalRequested():
            asked = Approval(event, envelope.stage, envelope.call)
            return evolve(state, approvals={**state.approvals, event.approval: asked})
        case ev.ApprovalGiven():
            return _answered(state, event)
        case ev.InputReceived():
            return evolve(state, said=(*state.said, Said(event, envelope.stage)))
        case (
            ev.InputDelivered()
            | ev.TurnStarted()
            | ev.TurnDelta()
            | ev.TurnSnapshot()
            | ev.TurnFailed()
            | ev.TurnSuperseded()
            | ev.ToolCompleted()
            | ev.ToolOutcomeUnknown()
            | ev.ToolArgumentsInvalid()
            | ev.UsageUpdated()
            | ev.Custom()
            | ev.Hidden()
        ):
            return state
        case _:
            assert_never(event)


def _planned(state: RunState, plan: Plan) -> RunState:
    """The state with that plan; stages that it keeps stand where they stood."""
    stages = {todo.id: evolve(_stage(state, todo.id, todo), todo=todo) for todo in plan.todos}
    return evolve(state, plan=plan, stages=stages)


def _answered(state: RunState, given: ev.ApprovalGiven) -> RunState:
    """The state after a person's answer. The first one counts, and only to exactly what was asked."""
    asked = state.approvals.get(given.approval)
    if asked is None or asked.given is not None or asked.requested.arguments_hash != given.arguments_hash:
        return state
    return evolve(state, approvals={**state.approvals, given.approval: evolve(asked, given=given)})


def _conversation(state: RunState, envelope: Envelope) -> RunState:
    if envelope.stage is not None and envelope.stage in state.stages:
        stage = state.stages[envelope.stage]
        after = advance(stage.transcript, envelope.event, envelope.turn, envelope.attempt, envelope.call)
        return state if after is stage.transcript else _with_stage(state, envelope, transcript=after)
    if envelope.stage is None and envelope.agent in state.agents:
        agent = state.agents[envelope.agent]
        after = advance(agent.transcript, envelope.event, envelope.turn, envelope.attempt)
        return state if after is agent.transcript else _agent(state, envelope, evolve(agent, transcript=after))
    return state


def _stage(state: RunState, stage: str, todo: Todo) -> StageState:
    return state.stages.get(stage) or StageState(todo)


def _with_stage(state: RunState, envelope: Envelope, **changes: object) -> RunState:
    if envelope.stage is None or envelope.stage not in state.stages:
        return state
    stage = evolve(state.stages[envelope.stage], **changes)
    return evolve(state, stages={**state.stages, envelope.stage: stage})


def _agent(state: RunState, envelope: Envelope, agent: AgentState) -> RunState:
    return evolve(state, agents={**state.agents, envelope.agent or "": agent})


def _recovered(state: RunState, envelope: Envelope, kind: str) -> RunState:
    if envelope.stage in state.stages:
        known = state.stages[envelope.stage].recoveries
        state = _with_stage(state, envelope, recoveries={**known, kind: known.get(kind, 0) + 1})
    return evolve(state, recoveries={**state.recoveries, kind: state.recoveries.get(kind, 0) + 1})
