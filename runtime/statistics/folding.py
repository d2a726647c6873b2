"""From one run's events to its facts. Goes on where it stopped, so that a run under way is not read anew each time.

Fed with a log that is read without deltas, but for the first one, which tells when the first token came.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from runtime.events import catalog as ev
from runtime.events.base import Status
from runtime.events.envelope import Envelope
from runtime.events.recovery_events import Recovery, recovery_kind
from runtime.statistics.facts import CallEnd, CallFacts, PlanningFacts, RunFacts, StageFacts, ToolEnd, ToolFacts, Where

COUNTED: Final = frozenset(
    {
        *("run.accepted", "run.started", "run.waiting", "run.completed", "run.cancelled", "run.failed", "run.expired"),
        *("agent.completed", "agent.failed"),
        *("stage.started", "stage.completed", "stage.skipped", "stage.failed"),
        *("turn.started", "turn.delta", "turn.completed", "turn.failed", "turn.superseded"),
        *("tool.called", "tool.completed", "tool.outcome_unknown", "tool.arguments_invalid"),
        *("recovery.retrying", "recovery.fell_back", "recovery.compacted", "recovery.resumed"),
        "recovery.tool_switched_off",
    }
)
"""The types that change the facts; others need not be decoded."""

Place = tuple[str | None, str | None, int | None, int | None, str | None]
"""Stage, agent, turn, attempt, and the path of a delegate's call."""

NOBODY: Final = "?"
"""An agent that an event does not name."""


@dataclass(slots=True)
class _Stage:
    facts: StageFacts
    started_at: float
    waited_s: float
    """What the run had waited for people when the stage began."""
    recoveries: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Call:
    facts: CallFacts
    started_at: float
    reserved_usd: float


class Folding:
    """The fold of one run. ``add`` its events in order; ``facts`` at any time."""

    def __init__(self) -> None:
        self._run = RunFacts("", None, None, "accepted", 0.0)
        self._waiting_since: float | None = None
        self._recoveries = Counter[str]()
        self._errors: list[tuple[Where, str]] = []
        self._planning: list[PlanningFacts] = []
        self._stages: dict[str, _Stage] = {}
        self._calls: dict[Place, _Call] = {}
        self._tools: dict[tuple[str | None, str | None, str], ToolFacts] = {}

    @property
    def first_token_seen(self) -> bool:
        """Whether deltas need not be read any more."""
        return self._run.first_token_s is not None

    def facts(self) -> RunFacts:
        """What is known so far."""
        return replace(
            self._run,
            recoveries=tuple(sorted(self._recoveries.items())),
            errors=tuple(self._errors),
            planning=tuple(self._planning),
            stages=tuple(replace(s.facts, recoveries=tuple(sorted(s.recoveries))) for s in self._stages.values()),
            calls=tuple(call.facts for call in self._calls.values()),
            tools=tuple(self._tools.values()),
        )

    def add(self, envelope: Envelope) -> None:  # one thought: a table, closed by assert_never
        """One more event."""
        event, at = envelope.event, envelope.at
        match event:
            case ev.RunAccepted():
                self._run = replace(
                    self._run,
                    run_id=envelope.run_id,
                    conversation_id=event.conversation_id,
                    resumed_from=event.resumed_from,
                    accepted_at=at,
                )
            case ev.RunStarted():
                self._run = replace(self._run, state="running", owners=self._run.owners + 1)
                self._awake(at)
            case ev.RunWaiting():
                self._run = replace(self._run, state="waiting")
                self._waiting_since = at if event.approvals else None
            case ev.RunCompleted():
                self._run = replace(self._run, stopped=event.stopped is not None)
                self._end("completed", at)
            case ev.RunCancelled():
                self._end("cancelled", at)
            case ev.RunFailed():
                self._errors.append(("run", event.code))
                self._end("failed", at)
            case ev.RunExpired():
                self._errors.append(("run", "run_expired"))
                self._end("expired", at)
            case ev.AgentCompleted():
                self._planning.append(PlanningFacts(envelope.agent or NOBODY, event.ms / 1000))
            case ev.AgentFailed():
                self._planning.append(PlanningFacts(envelope.agent or NOBODY, event.ms / 1000, event.code))
                self._errors.append(("planning", event.code))
            case ev.StageStarted() | ev.StageCompleted() | ev.StageSkipped() | ev.StageFailed():
                self._stage(envelope, event)
            case ev.TurnStarted() | ev.TurnCompleted() | ev.TurnFailed() | ev.TurnSuperseded():
                self._call(envelope, event)
            case ev.TurnDelta():
                if self._run.first_token_s is None:
                    self._run = replace(self._run, first_token_s=max(0.0, at - self._run.accepted_at))
            case ev.ToolCalled() | ev.ToolCompleted() | ev.ToolOutcomeUnknown() | ev.ToolArgumentsInvalid():
                self._tool(envelope, event)
            case (
                ev.RecoveryRetrying()
                | ev.RecoveryFellBack()
                | ev.RecoveryCompacted()
                | ev.RecoveryResumed()
                | ev.RecoveryToolSwitchedOff()
            ):
                self._recovered(envelope, event)
            case (
                ev.RunCancelRequested()
                | ev.InputReceived()
                | ev.InputDelivered()
                | ev.AgentStarted()
                | ev.TitleSet()
                | ev.GuardrailVerdict()
                | ev.PlanCommitted()
                | ev.PlanRevised()
                | ev.StageDispatched()
                | ev.TurnSnapshot()
                | ev.CitationAdded()
                | ev.ApprovalRequested()
                | ev.ApprovalGiven()
                | ev.UsageUpdated()
                | ev.Custom()
                | ev.Hidden()
            ):
                return
            case _:
                assert_never(event)

    def _end(self, state: Status, at: float) -> None:
        """The run is over. What is still held back for a call counts as spent, as in the store's books."""
        self._awake(at)
        for call in self._calls.values():
            if call.facts.end == "open":
                self._withdraw(call, "withdrawn", f"run_{state}", call.reserved_usd)
        self._run = replace(self._run, state=state, ended_at=at)

    def _awake(self, at: float) -> None:
        """Whatever it waited for people is over."""
        if self._waiting_since is not None:
            waited_s = self._run.waited_s + max(0.0, at - self._waiting_since)
            self._run, self._waiting_since = replace(self._run, waited_s=waited_s), None

    def _stage(
        self, envelope: Envelope, event: ev.StageStarted | ev.StageCompleted | ev.StageSkipped | ev.StageFailed
    ) -> None:
        name, agent = envelope.stage or event.todo, envelope.agent or NOBODY
        if name not in self._stages:
            self._stages[name] = _Stage(StageFacts(name, agent, "running"), envelope.at, self._run.waited_s)
        stage = self._stages[name]
        seconds = max(0.0, envelope.at - stage.started_at - (self._run.waited_s - stage.waited_s))
        match event:
            case ev.StageStarted():
                return
            case ev.StageCompleted(carried_from=None):
                stage.facts = replace(stage.facts, end="completed", seconds=seconds, partial=event.partial)
            case ev.StageCompleted():
                stage.facts = replace(stage.facts, end="carried")
            case ev.StageSkipped():
                stage.facts = replace(stage.facts, end="skipped")
            case ev.StageFailed():
                self._errors.append(("stage", event.code))
                if event.decision != "retry":
                    stage.facts = replace(stage.facts, end="failed", seconds=seconds)

    def _call(
        self, envelope: Envelope, event: ev.TurnStarted | ev.TurnCompleted | ev.TurnFailed | ev.TurnSuperseded
    ) -> None:
        place = (envelope.stage, envelope.agent, envelope.turn, envelope.attempt, envelope.call)
        if isinstance(event, ev.TurnStarted):
            self._calls[place] = _Call(
                CallFacts(event.model, envelope.agent or NOBODY, "open"), envelope.at, event.reserved_cost_usd
            )
            return
        if place not in self._calls:  # its beginning is not in this log: an older one may lack it
            return
        call = self._calls[place]
        match event:
            case ev.TurnCompleted(usage=usage):
                call.facts = replace(
                    call.facts,
                    end="completed",
                    seconds=max(0.0, envelope.at - call.started_at),
                    input_tokens=usage.input_tokens,
                    output_tokens=usage.output_tokens,
                    cache_read_tokens=usage.cache_read_tokens,
                    cache_write_tokens=usage.cache_write_tokens,
                    cost_usd=usage.cost_usd,
                )
            case ev.TurnFailed():
                self._errors.append(("model", event.code))
                self._withdraw(call, "failed", event.code, event.spent_cost_usd)
            case ev.TurnSuperseded():
                self._withdraw(call, "withdrawn", event.reason, event.spent_cost_usd)

    def _withdraw(self, call: _Call, end: CallEnd, reason: str, spent: float) -> None:
        """The call has no answer that stands; one that was whole has been paid for already."""
        call.facts = replace(call.facts, end=end, reason=reason, cost_usd=call.facts.cost_usd + spent)

    def _tool(
        self,
        envelope: Envelope,
        event: ev.ToolCalled | ev.ToolCompleted | ev.ToolOutcomeUnknown | ev.ToolArgumentsInvalid,
    ) -> None:
        place = (envelope.stage, envelope.call, f"{envelope.turn}.{event.call_id}")
        match event:
            case ev.ToolCalled():
                self._tools[place] = ToolFacts(event.name, envelope.agent or NOBODY, "open")
                return
            case ev.ToolCompleted():
                end: ToolEnd = "failed" if event.is_error else "completed"
                seconds: float | None = event.ms / 1000
            case ev.ToolOutcomeUnknown():
                end, seconds = "unknown", None
            case ev.ToolArgumentsInvalid():
                end, seconds = "invalid", None
        if place not in self._tools and isinstance(event, ev.ToolCompleted):  # it was not let run
            end, seconds = "refused", None
        known = self._tools.get(place, ToolFacts(event.name, envelope.agent or NOBODY, "open"))
        self._tools[place] = replace(known, end=end, seconds=seconds)

    def _recovered(self, envelope: Envelope, event: Recovery) -> None:
        kind = recovery_kind(event)
        self._recoveries[kind] += 1
        if envelope.stage in self._stages:
            self._stages[envelope.stage].recoveries.add(kind)


def facts_of(envelopes: Iterable[Envelope]) -> RunFacts:
    """The facts of one run, from its events in order."""
    folding = Folding()
    for envelope in envelopes:
        folding.add(envelope)
    return folding.facts()
