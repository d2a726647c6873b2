"""All logs do the same, whatever is asked of them and in whatever order; and what they keep is always sound."""

from __future__ import annotations

import asyncio
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from runtime.clock import ManualClock
from runtime.errors import CallerError
from runtime.events.envelope import Money, Record
from runtime.log.log import TERMINAL_TYPES, Log, NewRun, Write
from runtime.log.memory import MemoryLog
from runtime.log.postgres import PostgresLog
from runtime.log.sqlite import SqliteLog
from tests.fakes.postgres import emptied_database

T = TypeVar("T")

RUNS = ("a", "b", "c")
EXECUTORS = ("e", "f")
DELTA = Record("turn.delta", "token", "s", b"x")
OTHER = Record("stage.completed", "status", "s", b"{}")
WAITING = Record("run.waiting", "status", None, b"{}")
ENDS = (Record("run.completed", "status", None, b"{}"), Record("run.failed", "error", None, b"{}"))


def some_records(chance: random.Random) -> tuple[Record, ...]:
    """Up to three, seldom with an end among them, sometimes with one at their end."""
    inner = chance.choices((DELTA, OTHER, ENDS[0]), (30, 30, 1), k=chance.randrange(4))
    return (*inner, *chance.sample(ENDS, k=chance.random() < 0.1))


def off_by(chance: random.Random) -> int:
    """How far a number is from the right one; mostly not at all, or nothing would ever be written."""
    return chance.choices((0, 1, -1), (10, 1, 1))[0]


class Alike(RuleBasedStateMachine):
    """All logs side by side."""

    seen: ClassVar[Counter[str]]
    """What happened in all examples together: a machine that only ever meets refusals compares nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.clock = ManualClock()
        self.folder = Path(tempfile.mkdtemp())
        self.memory: Log = MemoryLog(self.clock)
        self.sqlite: Log = SqliteLog(self.folder / "log.db", self.clock)
        self.postgres: Log = PostgresLog(self.run_(emptied_database()), self.clock)
        self.run_(self.sqlite.open())
        self.run_(self.postgres.open())

    def teardown(self) -> None:
        self.run_(self.sqlite.close())
        self.run_(self.postgres.close())
        self.loop.close()
        shutil.rmtree(self.folder)

    def run_(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(work)

    def both(self, method: str, *args: Any, **options: Any) -> Any:
        """Ask all the same; their answers, or what they raise, must be the same too."""
        answers = []
        for log in (self.memory, self.sqlite, self.postgres):
            try:
                answers.append(self.run_(getattr(log, method)(*args, **options)))
            except CallerError as error:
                answers.append((type(error), error.args))
        assert answers[0] == answers[1] == answers[2]
        return answers[0]


class Twins(Alike):
    seen: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.incarnations = Counter[str]()
        for run_id, executor in zip(RUNS[:2], EXECUTORS, strict=True):
            self.create(run_id, "t1", None, None, "h1")
            self.renew(executor)
            self.claim(run_id, executor, 1)

    def name(self, executor: str) -> str:
        return f"{executor}{self.incarnations[executor]}"

    @rule(
        run_id=st.sampled_from(RUNS), tenant=st.sampled_from(("t1", "t2")), conversation=st.sampled_from((None, "c")),
        key=st.sampled_from((None, "k")), body=st.sampled_from(("h1", "h1", "h2")),
    )  # fmt: skip
    def create(self, run_id: str, tenant: str, conversation: str | None, key: str | None, body: str) -> None:
        accepted = (Record("run.accepted", "status", None, b"{}"),)
        limits = (1000, 1500) if run_id == "b" else (None, None)
        new = NewRun(run_id, tenant, conversation, "?", 60.0, "continue", 30.0, accepted, key, body, *limits)
        self.both("create", new)

    @rule(seed=st.integers(0, 2**32), count=st.integers(1, 4))
    def append(self, seed: int, count: int) -> None:
        # Hypothesis prefers extremes; writes need numbers that are mostly right: chance is ours, its seed Hypothesis's.
        chance = random.Random(seed)
        ahead = Counter[Any]()
        writes = []
        for _ in range(count):
            run_id, publisher = chance.choices(RUNS, (4, 3, 1))[0], chance.choice("pq")
            run = self.both("get", run_id)
            epoch, last_seq = (run.epoch, run.last_seq) if run else (0, 0)
            number = self.both("publisher_seq", run_id, publisher) + 1 + ahead[run_id, publisher] + off_by(chance)
            at = None if epoch == 0 or chance.random() < 0.3 else epoch + off_by(chance)
            seq = last_seq + ahead[run_id] + off_by(chance)
            records = some_records(chance)
            writes.append(Write(run_id, at, seq, publisher, number, records, cancel=chance.random() < 0.3))
            ahead.update({(run_id, publisher): 1, run_id: len(records)})
        self.seen.update(answer.outcome for answer in self.both("append", writes))

    @rule(
        run_id=st.sampled_from(RUNS[:2]),
        reserve=st.sampled_from((1200, 700, 400, -700)),
        spend=st.sampled_from((0, 300)),
    )
    def pay(self, run_id: str, reserve: int, spend: int) -> None:
        run = self.both("get", run_id)
        paid = OTHER._replace(money=Money(reserve, spend))
        number = self.both("publisher_seq", run_id, "p") + 1
        one = Write(run_id, run.epoch or None, run.last_seq, "p", number, (paid,))
        self.seen.update(answer.outcome for answer in self.both("append", [one]))

    @rule(run_id=st.sampled_from(RUNS[:2]), wake_in=st.sampled_from((None, 1.0, 8.0)))
    def park(self, run_id: str, wake_in: float | None) -> None:
        run = self.both("get", run_id)
        number = self.both("publisher_seq", run_id, "p") + 1
        wake_at = None if wake_in is None else self.clock.now() + wake_in
        one = Write(run_id, run.epoch or None, run.last_seq, "p", number, (WAITING,), wake_at=wake_at)
        self.seen.update("parked" for answer in self.both("append", [one]) if answer.outcome == "committed")

    @rule(run_id=st.sampled_from(RUNS[:2]), what=st.sampled_from(("go on", "cancel", "complete")))
    def write_rightly(self, run_id: str, what: str) -> None:
        run = self.both("get", run_id)
        epoch = None if what == "cancel" or run.epoch == 0 else run.epoch
        number = self.both("publisher_seq", run_id, "p") + 1
        records = (ENDS[0],) if what == "complete" else (DELTA, OTHER)
        one = Write(run_id, epoch, run.last_seq, "p", number, records, cancel=what == "cancel")
        self.seen.update(answer.outcome for answer in self.both("append", [one, one]))
        for executor in EXECUTORS if what == "cancel" else ():
            self.renew(executor)

    @rule(run_id=st.sampled_from(RUNS[:2]))
    def take_over(self, run_id: str) -> None:
        run = self.both("get", run_id)
        self.both("release", run.owner or self.name("e"))
        for executor in EXECUTORS:
            self.renew(executor)
            self.claim(run_id, executor, 1)
        stale = Write(run_id, run.epoch, run.last_seq, "stale", 1, (DELTA,))
        self.seen.update(answer.outcome for answer in self.both("append", [stale]))

    @rule(
        run_id=st.sampled_from((*RUNS, None, None)),
        executor=st.sampled_from(EXECUTORS),
        limit=st.sampled_from((3, 2, 1, 0)),
    )
    def claim(self, run_id: str | None, executor: str, limit: int) -> None:
        claimed = self.both("claim", run_id, executor=self.name(executor), limit=limit)
        self.seen.update("taken over" if run.takeovers else "claimed" for run in claimed)

    @rule(executor=st.sampled_from(EXECUTORS))
    def renew(self, executor: str) -> None:
        lease = self.both("renew", self.name(executor), ttl_s=10.0)
        self.incarnations[executor] += not lease.alive
        self.seen.update(["renewed" if lease.alive else "dead"] + ["told to cancel"] * len(lease.cancel_requested))

    @rule(executor=st.sampled_from(EXECUTORS), lost=st.booleans())
    def release(self, executor: str, lost: bool) -> None:
        handed_over = len(self.both("owned", self.name(executor)))
        self.seen.update({"lost" if lost else "handed over": handed_over})
        self.both("release", self.name(executor), lost=lost)

    @rule(executor=st.sampled_from(EXECUTORS))
    def crash(self, executor: str) -> None:
        """Said to be lost by someone else, in the middle of its runs; another takes over at once."""
        for run in self.both("owned", self.name(executor)):
            number = self.both("publisher_seq", run.run_id, "p") + 1
            self.both("append", [Write(run.run_id, run.epoch, run.last_seq, "p", number, (DELTA,))])
        self.release(executor, lost=True)
        heir = EXECUTORS[executor == EXECUTORS[0]]
        self.renew(heir)
        self.claim(None, heir, 3)

    @rule(seconds=st.sampled_from((0.5, 1.0, 1.5, 1.5, 5.0, 10.0, 24 * 3600.0)))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def reopen(self) -> None:
        self.both("close")
        self.both("open")

    @rule(run_id=st.sampled_from(RUNS), after=st.integers(-1, 6), limit=st.integers(-1, 4), deltas=st.booleans())
    def read(self, run_id: str, after: int, limit: int, deltas: bool) -> None:
        self.both("read", run_id, after=after, limit=limit, deltas=deltas)

    @invariant()
    def runs_are_the_same(self) -> None:
        for tenant in ("t1", "t2"):
            self.both("recent", tenant_id=tenant)
            self.both("spent", tenant, int(self.clock.now() // 86400))
            self.both("census", tenant_id=tenant, since=self.clock.now() - 60.0, limit=2)
        self.both("census", tenant_id=None, since=0.0, limit=9)

    @invariant()
    def every_run_is_sound(self) -> None:
        for run_id in RUNS:
            run, events = self.both("get", run_id), self.both("read", run_id, after=0)
            if run is None:
                continue
            assert [event.seq for event in events] == list(range(1, run.last_seq + 1))
            assert all(earlier.epoch <= later.epoch for earlier, later in pairwise(events))
            ends = [event for event in events if event.type in TERMINAL_TYPES]
            assert ends == (events[-1:] if run.terminal else [])
            assert not ends or TERMINAL_TYPES[ends[0].type] == run.status


EVERYTHING = {"committed", "repeated", "fenced", "ended", "conflict", "cancel_requested"} | {
    "claimed", "taken over", "renewed", "dead", "told to cancel", "lost", "handed over", "over_budget", "parked",
}  # fmt: skip


def test_all_logs_do_the_same_whatever_is_asked_of_them() -> None:
    Twins.seen.clear()
    few = settings(max_examples=20, stateful_step_count=40, deadline=None, derandomize=True, database=None)
    run_state_machine_as_test(Twins, settings=few)
    assert EVERYTHING - Twins.seen.keys() == set(), Twins.seen


TALK_RUNS, TALKS = ("r1", "r2", "r3", "r4", "r5", "r6"), ("c", "d")
TITLED = Record("title.set", "object", None, b'{"data":{"title":"A title"}}')


class Talks(Alike):
    """Runs of two conversations, which come, end and are deleted."""

    seen: ClassVar[Counter[str]] = Counter()

    @rule(
        run_id=st.sampled_from(TALK_RUNS), talk=st.sampled_from(TALKS), title=st.booleans(),
        key=st.sampled_from((None, None, "k")), follows=st.sampled_from((None, None, "", "r1", "r2")),
    )  # fmt: skip
    def create(self, run_id: str, talk: str, title: bool, key: str | None, follows: str | None) -> None:
        records = (Record("run.accepted", "status", None, b"{}"), *([TITLED] if title else []))
        hashed = "h" if key else None
        new = NewRun(run_id, "t1", talk, f"{run_id}?", 60.0, "continue", 30.0, records, key, hashed, follows=follows)
        self.saw(self.both("create", new))
        self.clock.advance(1.0)

    @rule(talk=st.sampled_from(TALKS), title=st.booleans(), ends=st.booleans())
    def write(self, talk: str, title: bool, ends: bool) -> None:
        for run in self.both("runs_of", "t1", talk, limit=1):
            number = self.both("publisher_seq", run.run_id, "p") + 1
            paid = OTHER._replace(money=Money(0, 7))
            records = (paid, *([TITLED] if title else []), *([ENDS[1]] if ends else []))
            (answer,) = self.both("append", [Write(run.run_id, None, run.last_seq, "p", number, records)])
            self.seen[answer.outcome] += 1

    @rule(talk=st.sampled_from(TALKS))
    def delete(self, talk: str) -> None:
        self.saw(self.both("delete_conversation", "t1", talk))

    @rule()
    def reopen(self) -> None:
        self.both("close")
        self.both("open")

    def saw(self, answer: Any) -> None:
        refused = isinstance(answer, tuple) and answer and isinstance(answer[0], type)
        self.seen[answer[1][-1] if refused else type(answer).__name__] += 1

    @invariant()
    def all_is_the_same(self) -> None:
        kept = [
            [replace(one, place=0) for one in self.run_(log.conversations(tenant_id="t1"))]  # a place is each log's own
            for log in (self.memory, self.sqlite, self.postgres)
        ]
        assert kept[0] == kept[1] == kept[2]
        self.seen.update("titled" for one in kept[0] if one.title)
        for talk in TALKS:
            runs = self.both("runs_of", "t1", talk)
            older = self.both("runs_of", "t1", talk, before=runs[0].run_id) if runs else []
            assert older == runs[1:]
        self.both("recent", tenant_id="t1")
        self.both("heads", TALK_RUNS)
        self.both("spent", "t1", 0)
        self.both("census", tenant_id="t1", since=0.0, limit=9)


TALKED = {
    "Created",
    "tuple",
    "committed",
    "titled",
    "conversation_busy",
    "conversation_deleted",
    "conversation_moved",
}


def test_all_logs_keep_the_same_conversations() -> None:
    Talks.seen.clear()
    few = settings(max_examples=15, stateful_step_count=30, deadline=None, derandomize=True, database=None)
    run_state_machine_as_test(Talks, settings=few)
    assert TALKED - Talks.seen.keys() == set(), Talks.seen
