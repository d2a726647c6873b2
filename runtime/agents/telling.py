"""Every step of recovery is told three times: as an event in the run's log, as a line for operators, as a counter."""

from __future__ import annotations

from runtime.events.recovery_events import (
    Recovery,
    RecoveryCompacted,
    RecoveryFellBack,
    RecoveryRetrying,
    recovery_kind,
)
from runtime.stream.emitter import Emitter
from runtime.telemetry import Counts, logger

_log = logger("recovery")


def tell(counts: Counts, emitter: Emitter, event: Recovery) -> None:
    """The line and the counter of a recovery whose event has been written by ``emitter``."""
    kind = recovery_kind(event)
    counts.add(f"recovery.{kind.replace(':', '.')}")
    who = f"{emitter.agent} (delegate)" if emitter.call else emitter.agent
    _log.info("run %s stage %s agent %s: %s: %s", emitter.run_id, emitter.stage, who, kind, _words(event))


def _words(event: Recovery) -> str:
    match event:
        case RecoveryRetrying():
            return f"attempt {event.attempt} of {event.of} failed: {event.message}; again in {event.delay_s:g} s"
        case RecoveryFellBack():
            return f"{event.from_model} gave up ({event.failure}); going on with {event.to_model}"
        case RecoveryCompacted():
            length = f"{event.tokens} tokens" if event.tokens else "longer than the window"
            done = f"{event.summarised} messages summed up" if event.summarised else "old tool results left out"
            return f"the conversation was {length}: {done}"
        case _:
            return str(event)
