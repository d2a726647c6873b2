"""A run's events as AG-UI's: a state machine, told one event at a time, that has no clock, no ids and no randomness of its own.

One run of ours is one AG-UI run, or several: each time everything waits for people the AG-UI run finishes with what they are asked,
and what comes after their answers is the next one. What the projection gives depends on the events so far and on who reads
(``Reader``), and on nothing else; so a replay gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ag_ui.core import PROTOCOL_VERSION
from ag_ui.core import events as ag
from ag_ui.core import types as agt

from runtime.events import catalog as ev
from runtime.events.envelope import Envelope
from runtime.events.fold import Approval, RunState, fold
from runtime.events.messages import Usage
from runtime.generator.protocols.ag_ui.custom import custom
from runtime.generator.protocols.ag_ui.interrupts import interrupt_of
from runtime.generator.protocols.ag_ui.opened import Opened
from runtime.generator.protocols.ag_ui.state import Document, document_of, patch
from runtime.generator.protocols.ag_ui.transcript import Transcript
from runtime.generator.protocols.ag_ui.translate import Translator
from runtime.generator.protocols.ag_ui.usage import Tally

RUN_ID_NOTE = "ag-ui.runId"
MESSAGE_ID_NOTE = "ag-ui.messageId"
"""Under these two of the run's notes (``metadata``) stand the client's own names of the run and of the question."""

NO_RESULT = "There is no result of this call."
"""What a call is answered with that has none when its run completes; else clients take it for theirs to make."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, as far as it changes what is said."""

    thread_id: str
    versioned: bool = True
    """It speaks 1.0. Older clients break on sub-agents, and on a run that says it was cancelled."""
    before: tuple[agt.Message, ...] = ()
    """The messages it has, the question among them."""
    clear: bool = False
    """What it has is to be put aside before the first run."""
    resumed: tuple[int, str] | None = None
    """``(seq, run id)``: what it calls the AG-UI run that follows the interrupt with that number."""


class Projection:
    """One run of ours, for one reader."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._state = RunState()
        self._usage: Usage | None = None
        self._document: Document = {}
        self._transcript = Transcript()
        self._opened = Opened()
        self._translator = Translator(self._opened, self._transcript, versioned=reader.versioned)
        self._tally = Tally()
        self._runs = 0
        self._interrupted_at = 0
        self.run_id = ""
        """Of the AG-UI run, as it was begun last."""
        self.active = False
        """An AG-UI run has begun and not finished."""

    @property
    def messages(self) -> Sequence[agt.Message]:
        """The reader's messages after the events so far."""
        return self._transcript.messages()

    def of(self, envelope: Envelope) -> list[ag.BaseEvent]:
        """What the next event is to the reader, in order; may be nothing."""
        found: list[ag.BaseEvent] = []
        for event in self._events(envelope):
            event.timestamp = int(envelope.at * 1000)
            self._transcript.apply(event)
            found.append(event)
        return found

    def _events(self, envelope: Envelope) -> Iterator[ag.BaseEvent]:
        event = envelope.event
        if isinstance(event, ev.RunAccepted):
            self._accepted(envelope, event)
            return
        if not isinstance(event, ev.TurnDelta):
            self._state = fold(self._state, envelope)
        if isinstance(event, ev.Hidden):
            return
        self._count(event)
        begun = not self.active
        if begun:
            yield from self._begin(envelope.run_id)
        if begun or not isinstance(event, ev.TurnDelta):
            yield from self._changed(event, begun)
        match event:
            case ev.RunWaiting():
                yield from self._waiting(envelope, event)
            case ev.RunCompleted() | ev.RunCancelled() | ev.RunFailed() | ev.RunExpired():
                yield from self._finished(envelope, event)
            case _:
                yield from self._translator.of(envelope, self._state)

    # --- the run -----------------------------------------------------------------------------------------------------

    def _accepted(self, envelope: Envelope, event: ev.RunAccepted) -> None:
        """Nothing may be said before the run has started; what is known is kept."""
        self._state = fold(self._state, envelope)
        ours = f"{envelope.run_id}/"
        for message in self._reader.before:
            if not message.id.startswith(ours) and message.role != "activity":
                self._transcript.add(message)
        self._transcript.add(self._question(envelope.run_id, event))

    def _question(self, run_id: str, accepted: ev.RunAccepted) -> agt.Message:
        name = accepted.input.metadata.get(MESSAGE_ID_NOTE, f"{run_id}/question")
        return agt.UserMessage(id=name, content=accepted.input.question)

    def _begin(self, run_id: str) -> Iterator[ag.BaseEvent]:
        self._runs += 1
        self.active = True
        self._tally = Tally()
        self._translator.work.forget_names()
        self.run_id = self._name(run_id)
        asked = None
        if self._runs == 1 and self._state.accepted is not None:
            question = self._question(run_id, self._state.accepted)
            asked = agt.RunAgentInput(
                thread_id=self._reader.thread_id, run_id=self.run_id, messages=[question], tools=[], context=[]
            )
        yield ag.RunStartedEvent(
            thread_id=self._reader.thread_id,
            run_id=self.run_id,
            protocol_version=PROTOCOL_VERSION if self._reader.versioned else None,
            input=asked,
        )
        self._document = document_of(self._state, self._usage)
        yield ag.StateSnapshotEvent(snapshot=self._document)
        if self._runs > 1 or self._reader.clear:
            yield ag.MessagesSnapshotEvent(messages=self._transcript.messages())

    def _name(self, run_id: str) -> str:
        """The AG-UI run's: the client's own where it is known."""
        if self._reader.resumed is not None and self._reader.resumed[0] == self._interrupted_at:
            return self._reader.resumed[1]
        accepted = self._state.accepted
        first = accepted.input.metadata.get(RUN_ID_NOTE, run_id) if accepted is not None else run_id
        return first if self._runs == 1 else f"{first}.{self._runs}"

    def _changed(self, event: ev.Event, begun: bool) -> Iterator[ag.BaseEvent]:
        """What the event changes of the state and of the plan."""
        before, self._document = self._document, document_of(self._state, self._usage)
        changes = patch(before, self._document)
        if changes:
            yield ag.StateDeltaEvent(delta=changes)
        plan = {"todos": self._document["plan"]}
        told = [change for change in changes if str(change["path"]).startswith("/plan")]
        if isinstance(event, ev.PlanCommitted | ev.PlanRevised) or (begun and plan["todos"]):
            yield ag.ActivitySnapshotEvent(message_id=self._plan_id, activity_type="plan", content=plan)
        elif told:
            changes = [{**change, "path": f"/todos{str(change['path']).removeprefix('/plan')}"} for change in told]
            yield ag.ActivityDeltaEvent(message_id=self._plan_id, activity_type="plan", patch=changes)

    @property
    def _plan_id(self) -> str:
        return f"{self._state.run_id}/plan"

    def _count(self, event: ev.Event) -> None:
        match event:
            case ev.TurnCompleted():
                self._tally.add(event.model, event.usage)
            case ev.UsageUpdated() | ev.RunCompleted() | ev.RunFailed() | ev.RunCancelled() | ev.RunExpired():
                self._usage = event.usage
            case _:
                pass

    # --- its end -----------------------------------------------------------------------------------------------------

    def _waiting(self, envelope: Envelope, event: ev.RunWaiting) -> Iterator[ag.BaseEvent]:
        known = self._state.approvals
        asked = [known[name] for name in event.approvals if name in known and known[name].given is None]
        if not asked:
            yield custom(envelope)
            return
        owners = {one.key: one.id for one in self._opened.subagents.values()}
        interrupts = [self._interrupt(one, owners) for one in asked]
        raised: dict[str, list[str]] = {}
        for one, interrupt in zip(asked, interrupts, strict=True):
            raised.setdefault(_key_of(one), []).append(interrupt.id)
        yield from self._translator.work.suspend(raised)
        yield ag.StateSnapshotEvent(snapshot=self._document)
        yield ag.MessagesSnapshotEvent(messages=self._transcript.messages())
        self._interrupted_at = envelope.seq
        yield self._over(ag.RunFinishedInterruptOutcome(interrupts=interrupts))

    def _interrupt(self, asked: Approval, owners: dict[str, str]) -> agt.Interrupt:
        path = asked.requested.approval.removeprefix(f"{asked.stage}:")
        call = self._translator.turns.calls.get(f"{asked.stage}/{path}")
        return interrupt_of(self._state.run_id, asked.requested, call_id=call, subagent=owners.get(_key_of(asked)))

    def _finished(
        self, envelope: Envelope, event: ev.RunCompleted | ev.RunCancelled | ev.RunFailed | ev.RunExpired
    ) -> Iterator[ag.BaseEvent]:
        yield from self._translator.work.end_all()
        match event:
            case ev.RunCompleted():
                yield from self._answer(envelope.run_id, event)
                result = event.model_dump(mode="json", include={"answer", "stopped", "note"})
                yield self._over(ag.RunFinishedSuccessOutcome(), {"runId": envelope.run_id, **result})
            case ev.RunCancelled():
                if self._reader.versioned:
                    yield self._over(ag.RunFinishedCancelledOutcome())
                else:
                    yield self._over(None, {"runId": envelope.run_id, "cancelled": True, "reason": event.reason})
            case ev.RunFailed() | ev.RunExpired():
                code = event.code if isinstance(event, ev.RunFailed) else "run_expired"
                self.active = False
                yield ag.RunErrorEvent(message=event.message, code=code, usage=self._tally.told())

    def _answer(self, run_id: str, event: ev.RunCompleted) -> Iterator[ag.BaseEvent]:
        """The answer, or why there is none, unless a message says it already; and no call stays without a result."""
        for call, owner in list(self._transcript.unanswered.items()):
            yield ag.ToolCallResultEvent(
                message_id=f"{call}/result", tool_call_id=call, content=NO_RESULT, role="tool", subagent_run_id=owner
            )
        text = event.answer or event.stopped or ""
        if text and not self._transcript.says(text):
            message_id = f"{run_id}/answer"
            yield ag.TextMessageStartEvent(message_id=message_id, role="assistant")
            yield ag.TextMessageContentEvent(message_id=message_id, delta=text)
            yield ag.TextMessageEndEvent(message_id=message_id)

    def _over(self, outcome: ag.RunFinishedOutcome | None, result: Document | None = None) -> ag.RunFinishedEvent:
        self.active = False
        return ag.RunFinishedEvent(
            thread_id=self._reader.thread_id,
            run_id=self.run_id,
            outcome=outcome,
            result=result,
            usage=self._tally.told(),
        )


def _key_of(asked: Approval) -> str:
    """The sub-agent that asks."""
    return f"{asked.stage}/{asked.call}" if asked.call else asked.stage or ""
