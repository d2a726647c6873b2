"""Events of ours into AG-UI's, one at a time: all but those that end a run or make it wait, which are the ``projection``'s."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from ag_ui.core import events as ag

from runtime.events import catalog as ev
from runtime.events.envelope import Envelope
from runtime.events.fold import RunState
from runtime.generator.protocols.ag_ui.custom import custom
from runtime.generator.protocols.ag_ui.opened import Opened
from runtime.generator.protocols.ag_ui.transcript import Transcript
from runtime.generator.protocols.ag_ui.turns import Turns
from runtime.generator.protocols.ag_ui.work import Work


class Translator:
    """Of one run. Where ``versioned`` is False there are no sub-agents, and what delegates do is left out."""

    def __init__(self, opened: Opened, transcript: Transcript, *, versioned: bool) -> None:
        self._versioned = versioned
        self.work = Work(opened, versioned=versioned)
        self.turns = Turns(opened, transcript, self.work)

    def of(self, envelope: Envelope, state: RunState) -> Iterator[ag.BaseEvent]:  # one thought: a table, like the fold
        """What one event is, but for those that end the run or make it wait; ``state`` is after it."""
        event = envelope.event
        if not self._shown(envelope) and not isinstance(event, ev.ApprovalRequested | ev.ApprovalGiven):
            return
        match event:
            case ev.RunStarted():
                if event.epoch > 1:  # after a takeover, or after a wait
                    yield custom(envelope)
            case ev.AgentStarted() | ev.AgentCompleted() | ev.AgentFailed():
                yield from self._planned(envelope, event)
            case ev.StageStarted() | ev.StageCompleted() | ev.StageFailed() | ev.StageSkipped():
                yield from self._staged(envelope, event, state)
            case ev.TurnDelta() | ev.TurnCompleted() | ev.TurnSnapshot() | ev.TurnFailed() | ev.TurnSuperseded():
                if envelope.stage is not None:
                    yield from self._turned(envelope, event, state)
            case ev.ToolCalled() | ev.ToolCompleted() | ev.ToolOutcomeUnknown() | ev.ToolArgumentsInvalid():
                if envelope.stage is not None:
                    yield from self._tooled(envelope, event, state)
            case ev.ApprovalRequested():
                yield from self._asked(envelope, event, state)
            case (
                ev.RunCancelRequested()
                | ev.InputReceived()
                | ev.InputDelivered()
                | ev.CitationAdded()
                | ev.ApprovalGiven()
                | ev.RecoveryRetrying()
                | ev.RecoveryFellBack()
                | ev.RecoveryCompacted()
                | ev.RecoveryResumed()
                | ev.RecoveryToolSwitchedOff()
                | ev.Custom()
            ):
                yield custom(envelope)
            case _:
                pass  # what the state says (title, verdict, plan, usage), and what is no news to a reader

    def _planned(
        self, envelope: Envelope, event: ev.AgentStarted | ev.AgentCompleted | ev.AgentFailed
    ) -> Iterator[ag.BaseEvent]:
        if not self._versioned:
            yield custom(envelope)
        elif isinstance(event, ev.AgentStarted):
            yield from self.work.begin_planning(envelope)
        else:
            yield from self.work.begin_planning(envelope)
            failed = (event.message, event.code) if isinstance(event, ev.AgentFailed) else None
            yield from self.work.end_planning(envelope, failed)

    def _staged(
        self,
        envelope: Envelope,
        event: ev.StageStarted | ev.StageCompleted | ev.StageFailed | ev.StageSkipped,
        state: RunState,
    ) -> Iterator[ag.BaseEvent]:
        stage = envelope.stage or event.todo
        if isinstance(event, ev.StageStarted):
            yield from self.work.begin_stage(envelope, state, self.turns.calls)
            return
        failed = (event.message, event.code) if isinstance(event, ev.StageFailed) else None
        yield from self.work.end_stage(stage, failed)
        if not isinstance(event, ev.StageCompleted) or event.carried_from is not None:
            yield custom(envelope)

    def _turned(
        self,
        envelope: Envelope,
        event: ev.TurnDelta | ev.TurnCompleted | ev.TurnSnapshot | ev.TurnFailed | ev.TurnSuperseded,
        state: RunState,
    ) -> Iterator[ag.BaseEvent]:
        if isinstance(event, ev.TurnCompleted) and event.purpose == "summary":
            return
        if isinstance(event, ev.TurnDelta | ev.TurnCompleted | ev.TurnSnapshot):
            yield from self.work.begin_stage(envelope, state, self.turns.calls)
        match event:
            case ev.TurnDelta():
                yield from self.turns.said(envelope, event)
            case ev.TurnCompleted() | ev.TurnSnapshot():
                yield from self.turns.completed(envelope, event)
            case ev.TurnFailed():
                yield from self.turns.failed(envelope)
                yield custom(envelope)
            case ev.TurnSuperseded():
                yield from self.turns.superseded(envelope)
                yield custom(envelope)

    def _tooled(
        self,
        envelope: Envelope,
        event: ev.ToolCalled | ev.ToolCompleted | ev.ToolOutcomeUnknown | ev.ToolArgumentsInvalid,
        state: RunState,
    ) -> Iterator[ag.BaseEvent]:
        yield from self.work.begin_stage(envelope, state, self.turns.calls)
        call_id, name = event.call_id, event.name
        match event:
            case ev.ToolCalled():
                if event.delegate is not None:
                    self.work.delegates[self.turns.key(envelope, call_id)] = event.delegate
                yield from self.turns.called(envelope, call_id, name, event.arguments)
            case ev.ToolCompleted():
                yield from self.turns.answered(envelope, call_id, name, event.result, is_error=event.is_error)
            case ev.ToolOutcomeUnknown():
                yield from self.turns.answered(envelope, call_id, name, f"Unknown: {event.known}", is_error=True)
                yield custom(envelope)
            case ev.ToolArgumentsInvalid():
                yield from self.turns.answered(envelope, call_id, name, event.message, is_error=True)
                yield custom(envelope)

    def _asked(self, envelope: Envelope, event: ev.ApprovalRequested, state: RunState) -> Iterator[ag.BaseEvent]:
        """The call that waits is shown, so that the interrupt can name it."""
        if envelope.stage is not None and event.call_id is not None and self._shown(envelope):
            yield from self.work.begin_stage(envelope, state, self.turns.calls)
            path = event.approval.removeprefix(f"{envelope.stage}:")
            if f"{envelope.stage}/{path}" not in self.turns.calls:
                turn = path.rpartition("/")[2].partition(".")[0]
                placed = replace(envelope, turn=int(turn)) if turn.isdecimal() else envelope
                yield from self.turns.called(placed, event.call_id, event.name or "ask_person", event.arguments)
        yield custom(envelope)

    def _shown(self, envelope: Envelope) -> bool:
        """Who does not know sub-agents is not shown what delegates do."""
        return self._versioned or not envelope.call
