"""A head: what the hub's memory knows of a run, and what it can refuse by that alone.

A head is a cache of the log's own row and fences, and may be stale. So it refuses only for reasons that are never taken
back (stale epoch, superseded dispatch, cancelled, ended) but by a log that lost its end, and whoever claims a run of such a
log makes it ``stale``; whatever passes here is decided by the log.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from runtime.events.envelope import Stored
from runtime.log.log import TERMINAL, TERMINAL_TYPES, Log, Run, Status
from runtime.log.wire import Append, AppendOutcome

SAID = frozenset({"input.received", "approval.given"})
"""What people say to a run."""

REFUSED_WHEN_CANCELLED = frozenset({"turn.started", "tool.called"})
"""Intents nobody may write once a cancel request stands (JOURNAL.md 1.11, 7)."""

MAX_EVENTS = 100_000
"""Events after which agents may add nothing to a run (JOURNAL.md 1.10); its owner may still end it."""

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of events after which the same holds (JOURNAL.md 1.10)."""


@dataclass(slots=True)
class Head:
    """What memory knows of a run: a cache of the log's own row and fences."""

    last_seq: int
    epoch: int
    status: Status
    cancel_requested: bool
    on_disconnect: str
    grace_s: float
    dispatches: dict[str | None, int] = field(default_factory=dict)
    """The highest dispatch of each stage; of planning under None."""
    said: int = 0
    """Sequence number of the last that a person said."""
    size: int = 0
    """Bytes of its events."""
    stale: bool = False
    """The log has shown that it is not as memory has it: loaded anew before the next use."""

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL


def head_of(run: Run) -> Head:
    """The head as the run's row has it; the dispatches are still to be read."""
    return Head(run.last_seq, run.epoch, run.status, run.cancel_requested, run.on_disconnect, run.grace_s)


def refusal(head: Head | None, item: Append, *, cancel: bool, door: bool = False) -> AppendOutcome | None:
    """What memory alone refuses an append for; None when the log has to be asked. ``door``: it is no owner's."""
    if head is None:
        return "unknown_run"
    if head.ended:
        # A repeat of what ended the run must still be answered as committed: the store knows. And a cancel request comes
        # from who has just seen the run go on, so its end may be what the store has lost.
        return None if cancel or item.records[-1].type in TERMINAL_TYPES else "ended"
    if cancel or door:
        return None
    if item.epoch < head.epoch:
        return "fenced"
    if item.dispatch is not None and item.dispatch < head.dispatches.get(item.stage, 0):
        return "superseded"
    if head.cancel_requested and (item.worker or any(r.type in REFUSED_WHEN_CANCELLED for r in item.records)):
        return "cancelled"
    if item.worker and (head.last_seq >= MAX_EVENTS or head.size >= MAX_BYTES):
        return "log_limit"
    if item.unless_said_after is not None and head.said > item.unless_said_after:
        return "input_pending"
    return None


async def fences(log: Log, run_id: str) -> tuple[dict[str | None, int], int]:
    """The highest dispatch of each stage and the last that was said, from the log: what a new hub refuses by."""
    found: dict[str | None, int] = {}
    said = 0
    after = 0
    while page := await log.read(run_id, after=after, deltas=False):
        for stored in page:
            if stored.type == "stage.dispatched":
                found[stored.stage] = max(found.get(stored.stage, 0), _dispatch_in(stored))
            elif stored.type in SAID:
                said = stored.seq
        after = page[-1].seq
    return found, said


def _dispatch_in(stored: Stored) -> int:
    """Its number; 0 for a body that has none, which no version of ours wrote and only the run's owner need judge."""
    try:
        return int(orjson.loads(stored.body)["data"]["dispatch"])
    except (ValueError, LookupError, TypeError, OverflowError):
        return 0
