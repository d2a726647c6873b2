"""What a person watching wants to see and a run's state leaves out: calls as they happen, durations, recoveries.

A fold like ``Texts``, mutable for the same reason; the state itself is ``runtime.events.fold``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from runtime.cli.terminal import seconds
from runtime.events import catalog as ev
from runtime.events.envelope import Envelope

NOTES_KEPT = 50


@dataclass(slots=True)
class Call:
    """One tool call."""

    name: str
    arguments: dict[str, object]
    result: str | None = None
    """None while it runs."""
    is_error: bool = False
    ms: int = 0


@dataclass(slots=True)
class Doing:
    """What happened around one stage (or, under the key ``""``, around the run and its planning)."""

    calls: dict[str, Call] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """Recoveries and failures, in words."""
    began: float | None = None
    ended: float | None = None


class Activity:
    """Everything beside state and texts. Feed it every event."""

    def __init__(self) -> None:
        self.stages: dict[str, Doing] = {}
        self.indexing: tuple[int, int] | None = None
        """Documents done and to do, while an index is being built."""

    def of(self, stage: str | None) -> Doing:
        """What is known of that stage."""
        return self.stages.setdefault(stage or "", Doing())

    def apply(self, envelope: Envelope) -> None:
        """Take in one event."""
        event, doing = envelope.event, self.of(envelope.stage)
        match event:
            case ev.StageStarted():
                doing.began, doing.ended = doing.began or envelope.at, None
            case ev.StageCompleted() | ev.StageFailed() | ev.StageSkipped():
                doing.ended = envelope.at
            case ev.ToolCalled():
                doing.calls[_key(envelope, event.call_id)] = Call(event.title or event.name, event.arguments)
            case ev.ToolCompleted():
                self._answered(doing, _key(envelope, event.call_id), event.name, event.result, event.is_error, event.ms)
            case ev.ToolOutcomeUnknown():
                self._answered(
                    doing, _key(envelope, event.call_id), event.name, f"outcome unknown: {event.known}", True, 0
                )
            case ev.ToolArgumentsInvalid():
                self._answered(
                    doing,
                    _key(envelope, event.call_id),
                    event.name,
                    f"arguments cannot be used: {event.message}",
                    True,
                    0,
                )
            case ev.Custom(name="indexing"):
                self._indexing(event.value)
            case _:
                pass  # an event with nothing to add here; ``note`` below has its own list
        words = note(envelope)
        if words:
            doing.notes = [*doing.notes, words][-NOTES_KEPT:]

    def _answered(self, doing: Doing, key: str, name: str, result: str, is_error: bool, ms: int) -> None:
        call = doing.calls.setdefault(key, Call(name, {}))
        call.result, call.is_error, call.ms = result, is_error, ms

    def _indexing(self, value: object) -> None:
        if isinstance(value, dict) and isinstance(value.get("done"), int) and isinstance(value.get("total"), int):
            self.indexing = (value["done"], value["total"])


def _key(envelope: Envelope, call_id: str) -> str:
    """A call of a stage; a delegate's calls may have the ids of its stage's own."""
    return f"{envelope.call}/{call_id}" if envelope.call else call_id


def note(envelope: Envelope) -> str | None:
    """What to tell about a recovery or a failure along the way; None for every other event."""
    event = envelope.event
    match event:
        case ev.RecoveryRetrying(failure="output_invalid"):
            return f"answer does not fit, asking again ({event.attempt} of {event.of}): {event.message}"
        case ev.RecoveryRetrying():
            wait = f" in {event.delay_s:.1f} s" if event.delay_s else ""
            return f"{event.failure}: {event.message}; trying again{wait} ({event.attempt} of {event.of})"
        case ev.RecoveryFellBack():
            return f"{event.failure}: going on with {event.to_model} instead of {event.from_model}"
        case ev.RecoveryCompacted(summarised=0):
            return "the conversation grew too long for its model: old tool results were left out"
        case ev.RecoveryCompacted():
            return "the conversation grew too long for its model: its oldest turns were summed up"
        case ev.RecoveryResumed(reason="tool_call_limit"):
            return f"tool-call limit reached after {event.tool_calls} calls; resumed ({event.attempt} of {event.of})"
        case ev.RecoveryResumed():
            return "another process took over and goes on from the log"
        case ev.TurnSuperseded():
            return f"an attempt was withdrawn, its text dropped: {event.reason}"
        case ev.TurnFailed():
            return f"model gave no answer after {event.attempts} attempts: {event.message} ({event.code})"
        case ev.AgentFailed(fatal=False):
            return f"{envelope.agent} failed, the run goes on without it: {event.message}"
        case ev.AgentFailed():
            return f"{envelope.agent} failed: {event.message}"
        case ev.RecoveryToolSwitchedOff():
            return f"{event.message}; the step goes on without it"
        case ev.ToolOutcomeUnknown():
            return f"{event.name} may or may not have had its effect, check by hand: {event.known}"
        case ev.ApprovalRequested(kind="question"):
            choice = f" ({' / '.join(event.options)})" if event.options else ""
            return f"asks you: {event.what}{choice} -> headrace answer {envelope.run_id} TEXT"
        case ev.ApprovalRequested():
            return f"asks you: {event.what} -> headrace approve {envelope.run_id} [--refuse WHY]"
        case ev.ApprovalGiven():
            return f"{event.by} {'agreed' if event.approved else 'refused'}" + (f": {event.text}" if event.text else "")
        case ev.InputDelivered():
            return f"heard: {event.text}"
        case ev.RunWaiting(until=None):
            return f"waiting: {event.reason}"
        case ev.RunWaiting(until=float() as until):
            when = time.strftime("%H:%M:%S", time.localtime(until))
            return f"waiting for {seconds(until - envelope.at)}, until {when}: {event.reason}"
        case ev.RunCancelRequested():
            return f"cancel requested by {event.by}"
        case ev.InputReceived():
            return f"input: {event.text}"
        case ev.StageFailed(decision="retry"):
            return f"{event.message} ({event.code}); the stage is tried again"
        case _:
            return None
