"""What becomes of a write: the fence as a pure function, which every store asks inside its own transaction.

The order of the questions is part of the promise. A stale owner is told ``fenced`` even when it repeats what it once
wrote, so that it starts nothing more; a repeat comes before ``ended``, so that whoever lost the reply to a run's last
write learns that it was taken; a cancel request is asked about last, because only a write that would otherwise be
committed can lose against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from runtime.events.envelope import Record, Stored
from runtime.log.log import TERMINAL, TERMINAL_TYPES, NewRun, Outcome, Run, Status, Write

PAGE: Final = 512
"""No read gives more events than this, whatever its ``limit``: a long read would hold up the store's housekeeping."""

IDEMPOTENCY_KEPT_S: Final = 24 * 3600.0
"""How long a key names its run; afterwards it may be used anew."""

HANDOUT_S: Final = 1.0
"""For so long an accepted run belongs to whoever accepted it; only then may anyone take it unasked."""


class Head(NamedTuple):
    """The part of a run that writes depend on and change."""

    status: Status
    epoch: int
    last_seq: int
    cancel_requested: bool


def decide(run: Head | None, last_publisher_seq: int, write: Write) -> Outcome:
    """Answer what becomes of ``write``, given the run and its publisher's last number inside the transaction."""
    if run is None:
        return "unknown_run"
    if _is_fenced(run, write):
        return "fenced"
    if 1 <= write.publisher_seq <= last_publisher_seq:
        return "repeated"
    if run.status in TERMINAL or _goes_on_after_the_end(write.records):
        return "ended"
    if write.publisher_seq != last_publisher_seq + 1 or write.expected_seq != run.last_seq:
        return "conflict"
    if (run.cancel_requested or write.cancel) and any(record.type == "run.completed" for record in write.records):
        return "cancel_requested"
    return "committed"


def advance(run: Head, write: Write) -> Head:
    """Give the head as it is once ``write`` is committed."""
    return Head(
        status_after(run.status, write.records),
        run.epoch,
        run.last_seq + len(write.records),
        run.cancel_requested or write.cancel,
    )


def created(new: NewRun, *, now: float) -> Run:
    """Give the run that ``new`` describes, as it is right after its creation."""
    return Run(
        run_id=new.run_id,
        tenant_id=new.tenant_id,
        conversation_id=new.conversation_id,
        question=new.question,
        status=status_after("accepted", new.records),
        epoch=0,
        last_seq=len(new.records),
        owner=None,
        created_at=now,
        deadline_at=now + new.deadline_s,
        cancel_requested=False,
        on_disconnect=new.on_disconnect,
        grace_s=new.grace_s,
        takeovers=0,
    )


def number(records: Sequence[Record], *, first_seq: int, epoch: int) -> list[Stored]:
    """Give the records their places, from ``first_seq`` on."""
    return [
        Stored(seq, epoch, record.type, record.family, record.stage, record.body)
        for seq, record in enumerate(records, start=first_seq)
    ]


def status_after(status: Status, records: Sequence[Record]) -> Status:
    """The status once ``records`` are written: the last one's, if it ends the run."""
    return TERMINAL_TYPES.get(records[-1].type, status) if records else status


def _is_fenced(run: Head, write: Write) -> bool:
    """An owner writes only under the present epoch; epoch 0 is nobody's, since no claim gives it out."""
    return write.epoch is not None and (write.epoch != run.epoch or run.epoch == 0)


def _goes_on_after_the_end(records: Sequence[Record]) -> bool:
    """True when a record follows one that ends the run; refused whole, since no part of a write is ever left out."""
    return any(record.type in TERMINAL_TYPES for record in records[:-1])
