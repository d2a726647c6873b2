"""The state of a run as a fold of its log. Executors decide by it, doors show it as the snapshot, clients draw it.

Token events do not change it (``texts`` folds those), so it can be fed a log read without deltas.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, assert_never

from runtime.events import catalog as ev
from runtime.events.base import TERMINAL as TERMINAL
from runtime.events.base import Status
from runtime.events.envelope import Envelope
from runtime.events.messages import Usage
from runtime.events.plan import Plan, Todo
from runtime.events.transcript import Transcript, advance

StageStatus = Literal["pending", "dispatched", "running", "completed", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class StageState:
    """One todo and what became of it."""

    todo: Todo
    status: StageStatus = "pending"
    dispatch: int = 0
    """How often it was handed to an agent; the number of the latest."""
    failures: int = 0
    transcript: Transcript = field(default_factory=Transcript)
    completed: ev.StageCompleted | None = None
    failed: ev.StageFailed | None = None
    citations: tuple[ev.CitationAdded, ...] = ()


@dataclass(frozen=True, slots=True)
class AgentState:
    """A planning agent."""

    status: Literal["running", "completed", "failed"] = "running"
    model: str = ""
    ms: int = 0
    message: str = ""
    transcript: Transcript = field(default_factory=Transcript)


@dataclass(frozen=True, slots=True)
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
    end: ev.RunCompleted | ev.RunFailed | ev.RunCancelled | ev.RunExpired | None = None

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

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
    state = replace(
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
            return replace(state, accepted=event, accepted_at=envelope.at)
        case ev.RunStarted():
            return replace(state, status="running", models=event.models, waiting_for=None, started_epoch=event.epoch)
        case ev.RunWaiting():
            return replace(state, status="waiting", waiting_for=event.reason)
        case ev.RunCompleted():
            return replace(state, status="completed", end=event)
        case ev.RunFailed():
            return replace(state, status="failed", end=event)
        case ev.RunCancelled():
            return replace(state, status="cancelled", end=event)
        case ev.RunExpired():
            return replace(state, status="expired", end=event)
        case ev.RunCancelRequested():
            return replace(state, cancel_requested=event.by)
        case ev.AgentStarted():
            known = state.agents.get(envelope.agent or "", AgentState())
            return _agent(state, envelope, replace(known, status="running", model=event.model))
        case ev.AgentCompleted():
            known = state.agents.get(envelope.agent or "", AgentState())
            return _agent(state, envelope, replace(known, status="completed", ms=event.ms))
        case ev.AgentFailed():
            known = state.agents.get(envelope.agent or "", AgentState())
            return _agent(state, envelope, replace(known, status="failed", ms=event.ms, message=event.message))
        case ev.TitleSet():
            return replace(state, title=event.title)
        case ev.GuardrailVerdict():
            return replace(state, verdict=event)
        case ev.PlanCommitted() | ev.PlanRevised():
            stages = {todo.id: replace(_stage(state, todo.id, todo), todo=todo) for todo in event.plan.todos}
            return replace(state, plan=event.plan, stages=stages)
        case ev.StageDispatched() if envelope.stage is None:
            return replace(state, planning_dispatch=event.dispatch)
        case ev.StageDispatched():
            return _with_stage(state, envelope, status="dispatched", dispatch=event.dispatch)
        case ev.StageStarted():
            return _with_stage(state, envelope, status="running")
        case ev.StageCompleted():
            return _with_stage(state, envelope, status="completed", completed=event)
        case ev.StageSkipped():
            return _with_stage(state, envelope, status="skipped")
        case ev.StageFailed():
            failures = state.stages[envelope.stage].failures + 1 if envelope.stage in state.stages else 1
            status: StageStatus = "pending" if event.decision == "retry" else "failed"
            return _with_stage(state, envelope, status=status, failed=event, failures=failures)
        case ev.CitationAdded():
            citations = state.stages[envelope.stage].citations if envelope.stage in state.stages else ()
            return _with_stage(state, envelope, citations=(*citations, event))
        case ev.TurnCompleted():
            return replace(state, usage=state.usage.plus(event.usage))
        case ev.ToolCalled():
            return replace(state, tool_calls=state.tool_calls + 1)
        case ev.RecoveryRetrying():
            return _recovered(state, f"retrying:{event.failure}")
        case ev.RecoveryCompacted():
            return _recovered(state, "compacted")
        case ev.RecoveryFellBack():
            return _recovered(state, "fell_back")
        case ev.RecoveryResumed():
            return _recovered(state, f"resumed:{event.reason}")
        case ev.RecoveryToolSwitchedOff():
            return _recovered(state, "tool_switched_off")
        case (
            ev.InputReceived()
            | ev.TurnStarted()
            | ev.TurnDelta()
            | ev.TurnSnapshot()
            | ev.TurnFailed()
            | ev.TurnSuperseded()
            | ev.ToolCompleted()
            | ev.ToolOutcomeUnknown()
            | ev.ToolArgumentsInvalid()
            | ev.ApprovalRequested()
            | ev.ApprovalGiven()
            | ev.UsageUpdated()
            | ev.Custom()
        ):
            return state
        case _:
            assert_never(event)


def _conversation(state: RunState, envelope: Envelope) -> RunState:
    if envelope.stage is not None and envelope.stage in state.stages:
        stage = state.stages[envelope.stage]
        after = advance(stage.transcript, envelope.event, envelope.turn, envelope.attempt)
        return state if after is stage.transcript else _with_stage(state, envelope, transcript=after)
    if envelope.stage is None and envelope.agent in state.agents:
        agent = state.agents[envelope.agent]
        after = advance(agent.transcript, envelope.event, envelope.turn, envelope.attempt)
        return state if after is agent.transcript else _agent(state, envelope, replace(agent, transcript=after))
    return state


def _stage(state: RunState, stage: str, todo: Todo) -> StageState:
    return state.stages.get(stage) or StageState(todo)


def _with_stage(state: RunState, envelope: Envelope, **changes: object) -> RunState:
    if envelope.stage is None or envelope.stage not in state.stages:
        return state
    stage = replace(state.stages[envelope.stage], **changes)  # type: ignore[arg-type]  # the fields are named above
    return replace(state, stages={**state.stages, envelope.stage: stage})


def _agent(state: RunState, envelope: Envelope, agent: AgentState) -> RunState:
    return replace(state, agents={**state.agents, envelope.agent or "": agent})


def _recovered(state: RunState, kind: str) -> RunState:
    return replace(state, recoveries={**state.recoveries, kind: state.recoveries.get(kind, 0) + 1})
