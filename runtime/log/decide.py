"""What becomes of a write: the fence as a pure function, which every store asks inside its own transaction.

The order of the questions is part of the promise. A stale owner is told ``fenced`` even when it repeats what it once
wrote, so that it starts nothing more; a repeat comes before ``ended``, so that whoever lost the reply to a run's last
write learns that it was taken; a cancel request is asked about last, because only a write that would otherwise be
committed can lose against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from runtime.errors import Conflict, OverQuota
from runtime.events.envelope import Money, Record, Stored
from runtime.log.log import PROGRESS, TERMINAL, TERMINAL_TYPES, NewRun, Outcome, Run, Status, Write

PAGE: Final = 512
"""No read gives more events than this, whatever its ``limit``: a long read would hold up the store's housekeeping."""

IDEMPOTENCY_KEPT_S: Final = 24 * 3600.0
"""How long a key names its run; afterwards it may be used anew."""

HANDOUT_S: Final = 1.0
"""For so long an accepted run belongs to whoever accepted it; only then may anyone take it unasked."""


NOTHING: Final = Money()


class Account(NamedTuple):
    """What has been held back and spent of a budget, in millionths of a US dollar."""

    limit: int | None = None
    reserved: int = 0
    spent: int = 0

    def covers(self, more: int) -> bool:
        """Whether ``more`` can be held back beside what is already."""
        return self.limit is None or self.reserved + self.spent + more <= self.limit

    def after(self, money: Money) -> Account:
        """The account once ``money`` has moved; a reservation given back twice does not go below nothing."""
        return Account(self.limit, max(0, self.reserved + money.reserve), self.spent + money.spend)


UNLIMITED: Final = Account()


class Head(NamedTuple):
    """The part of a run that writes depend on and change."""

    status: Status
    epoch: int
    last_seq: int
    cancel_requested: bool
    account: Account = UNLIMITED
    wake_at: float | None = None
    takeovers: int = 0


def head_of(run: Run) -> Head:
    """The head of a run as the store has it."""
    account = Account(run.budget, run.reserved, run.spent)
    return Head(run.status, run.epoch, run.last_seq, run.cancel_requested, account, run.wake_at, run.takeovers)


def decide(run: Head | None, last_publisher_seq: int, write: Write, day: Account = UNLIMITED) -> Outcome:
    """Answer what becomes of ``write``, given the run, its publisher's last number and its tenant's day.

    Asked inside the transaction; ``day.limit`` is what the run itself was told of it.
    """
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
    more = sum(record.money.reserve for record in write.records if record.money is not None)
    if more > 0 and not (run.account.covers(more) and day.covers(more)):
        return "over_budget"
    return "committed"


def moved(run: Head, write: Write) -> Money:
    """What ``write`` moves, on the run's account and its tenant's day alike, once it is committed.

    With a run's end what is still held back counts as spent: nobody is left who could say that it was not.
    """
    reserve = sum(record.money.reserve for record in write.records if record.money is not None)
    spend = sum(record.money.spend for record in write.records if record.money is not None)
    left = max(0, run.account.reserved + reserve)
    if status_after(run.status, write.records) in TERMINAL:
        return Money(-run.account.reserved, spend + left)
    return Money(left - run.account.reserved, spend)


def advance(run: Head, write: Write) -> Head:
    """Give the head as it is once ``write`` is committed."""
    status = status_after(run.status, write.records)
    return Head(
        status,
        run.epoch,
        run.last_seq + len(write.records),
        run.cancel_requested or write.cancel,
        run.account.after(moved(run, write)),
        _wake_at(run, status, write),
        0 if run.takeovers and any(record.type in PROGRESS for record in write.records) else run.takeovers,
    )


AT_ONCE: Final = 0.0
"""A time that is always over."""


def _wake_at(run: Head, status: Status, write: Write) -> float | None:
    """When the run may be claimed once ``write`` is committed; the write that makes it wait says it, another may hurry it."""
    if status == "waiting" and run.status != "waiting":
        return write.wake_at
    return AT_ONCE if write.wake and status == "waiting" else run.wake_at


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
        budget=new.budget,
        day_budget=new.day_budget,
    )


def title_in(records: Sequence[Record]) -> str | None:
    """The first title among ``records``."""
    bodies = (orjson.loads(record.body) for record in records if record.type == "title.set")
    return next((title for body in bodies if (title := body.get("data", {}).get("title"))), None)


def require_followed(new: NewRun, newest: str | None) -> None:
    """Raise ``Conflict`` unless ``newest``, the conversation's newest run or None, is the one that ``new`` follows."""
    if new.follows is not None and new.follows != (newest or ""):
        raise Conflict("another run has come first in this conversation", "conversation_moved")


DAY_S: Final = 86400

TOO_SMALL: Final = 10_000
"""Millionths of a US dollar, a cent: a day with less left, or with less than a tenth of its budget if that is smaller,
counts as spent, since hardly a call of a model that costs anything could be held back from it any more."""

RUNS_RETRY_S: Final = 5.0
"""When a tenant with too many runs may ask again."""


def require_share(new: NewRun, *, in_flight: int, spent: int, now: float) -> None:
    """Raise ``OverQuota`` when the tenant has ``in_flight`` runs already, or has ``spent`` its budget of the day of ``now``."""
    if new.most_runs is not None and in_flight >= new.most_runs:
        words = f"{in_flight} runs are in flight, which is all you may have at a time"
        raise OverQuota(words, "too_many_runs", RUNS_RETRY_S)
    if new.day_budget is not None and new.day_budget - spent < min(TOO_SMALL, max(1, new.day_budget // 10)):
        raise OverQuota("the budget of this day (UTC) is spent", "budget_exhausted", DAY_S - now % DAY_S)


def busy() -> Conflict:
    """What a conversation answers while one of its runs is unfinished."""
    return Conflict("the conversation has an unfinished run", "conversation_busy")


def deleted() -> Conflict:
    """What a conversation answers that was deleted."""
    return Conflict("the conversation was deleted; begin another", "conversation_deleted")


def run_exists(run_id: str) -> Conflict:
    """What is answered for an id that a run has, or had."""
    return Conflict(f"there is a run {run_id} already", "run_exists")


def key_exists(key_id: str) -> Conflict:
    """What is answered for a new key whose id another has."""
    return Conflict(f"there is a key {key_id} already", "key_exists")


def number(records: Sequence[Record], *, first_seq: int, epoch: int) -> list[Stored]:
    """Give the records their places, from ``first_seq`` on."""
    return [
        Stored(seq, epoch, record.type, record.family, record.stage, record.body)
        for seq, record in enumerate(records, start=first_seq)
    ]


def status_after(status: Status, records: Sequence[Record]) -> Status:
    """The status once ``records`` are written: the last one's, if it ends the run or makes it wait."""
    if not records:
        return status
    return "waiting" if records[-1].type == "run.waiting" else TERMINAL_TYPES.get(records[-1].type, status)


def _is_fenced(run: Head, write: Write) -> bool:
    """An owner writes only under the present epoch; epoch 0 is nobody's, since no claim gives it out, nor is a waiting run."""
    return write.epoch is not None and (write.epoch != run.epoch or run.epoch == 0 or run.status == "waiting")


def _goes_on_after_the_end(records: Sequence[Record]) -> bool:
    """True when a record follows one that ends the run; refused whole, since no part of a write is ever left out."""
    return any(record.type in TERMINAL_TYPES for record in records[:-1])
