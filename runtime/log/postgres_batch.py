"""What one ``append`` changes, worked out from rows already read: no I/O here, only ``decide``, write by write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from runtime.log.decide import UNLIMITED, Account, Head, advance, decide, head_of, moved, title_in
from runtime.log.log import TERMINAL_TYPES, Run, Write, Written

Publisher: TypeAlias = tuple[str, str]
"""Run and publisher."""
Day: TypeAlias = tuple[str, int]
"""Tenant and day: where a run's spending is summed up."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What the store holds about the runs of some writes; a publisher or day that is missing has no row yet."""

    runs: dict[str, Run]
    publishers: dict[Publisher, int]
    days: dict[Day, Account] = field(default_factory=dict)


@dataclass(slots=True)
class Batch:
    """The answers to some writes, in their order, and what is to be stored for the good ones."""

    before: dict[str, Run]
    answers: list[Written] = field(default_factory=list)
    heads: dict[str, Head] = field(default_factory=dict)
    """Changed runs alone, as the other three."""
    publishers: dict[Publisher, int] = field(default_factory=dict)
    days: dict[Day, Account] = field(default_factory=dict)
    events: list[tuple[str, int, int, str, str, str | None, bytes]] = field(default_factory=list)
    """``run_id, seq, epoch, type, family, stage, body``"""
    titles: dict[str, str] = field(default_factory=dict)
    """By run: for the run's conversation, if that has none."""


def day_of(run: Run) -> Day:
    """Where the run's spending is summed up."""
    return run.tenant_id, run.day


def may_move_money(writes: Sequence[Write]) -> bool:
    """Whether judging these writes takes the rows of their tenants' days; a run's end settles what is held back."""
    return any(record.money is not None or record.type in TERMINAL_TYPES for w in writes for record in w.records)


def judge(rows: Rows, writes: Sequence[Write]) -> Batch:
    """Answer ``writes`` one after the other, each on what those before it left."""
    batch = Batch(rows.runs)
    for write in writes:
        batch.answers.append(_judge(rows, batch, write))
    return batch


_NO_RUN: Final = Written("unknown_run")


def _judge(rows: Rows, batch: Batch, write: Write) -> Written:
    run = rows.runs.get(write.run_id)
    if run is None:
        return _NO_RUN
    head = batch.heads.get(run.run_id) or head_of(run)
    publisher, place = (run.run_id, write.publisher), day_of(run)
    last = batch.publishers.get(publisher, rows.publishers.get(publisher, 0))
    day = batch.days.get(place, rows.days.get(place, UNLIMITED))
    outcome = decide(head, last, write, day._replace(limit=run.day_budget))
    if outcome != "committed":
        return Written(outcome, last_seq=head.last_seq, epoch=head.epoch)
    after = advance(head, write)
    numbered = enumerate(write.records, start=head.last_seq + 1)
    batch.events += [(run.run_id, seq, head.epoch, r.type, r.family, r.stage, r.body) for seq, r in numbered]
    if any(money := moved(head, write)):
        batch.days[place] = day.after(money)
    if run.conversation_id is not None and (title := title_in(write.records)) is not None:
        batch.titles.setdefault(run.run_id, title)
    batch.heads[run.run_id] = after
    batch.publishers[publisher] = write.publisher_seq
    return Written(outcome, head.last_seq + 1, after.last_seq, head.epoch)
