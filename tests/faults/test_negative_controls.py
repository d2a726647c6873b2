"""Six ways to break the promises on purpose; each must turn the checker red, or the green ones show nothing (JOURNAL.md 3, 4).

The simulation is the same as in ``tests/simulation``, with one guard taken out. The two that it cannot show, a global
cursor and a database that forgets, are scenes of their own, judged by the same checker.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import runtime.log.memory as memory_module
import runtime.log.sequencer as sequencer_module
from runtime.events.codec import encode
from runtime.events.envelope import Draft, Stored
from runtime.events.run_events import RunAccepted, RunCompleted, RunInput
from runtime.events.transcript import Transcript
from runtime.executor.run import RunDriver
from runtime.log.decide import number
from runtime.log.sequencer import Pending, Sequencer
from tests.checker import violations
from tests.faults.report import record
from tests.history import History, RunHistory, Segment, seen
from tests.simulation.storm import history_after
from tests.virtual_time import virtual_time

pytestmark = [
    pytest.mark.filterwarnings("ignore:coroutine .* was never awaited"),  # of processes lost in the middle of a step
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SEEDS = 80
"""Within so many storms a missing guard must show."""


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def red_within(seeds: int, kinds: set[str], what: str) -> None:
    """Play until a violation of one of ``kinds`` is found."""
    for seed in range(seeds):
        found = [v for v in violations(history_after(seed)) if v.kind in kinds]
        if found:
            record(promise="control", what=what, n=seed + 1, violations=1, seed=seed, floor=found[0].kind)
            return
    raise AssertionError(f"{what}: nothing red in {seeds} storms; the checker is blind to it")


def test_a_fence_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = memory_module.decide

    def unfenced(run: Any, last: int, write: Any, *day: Any) -> Any:
        free = write if run is None or write.epoch is None else replace(write, epoch=max(1, run.epoch))
        return real(run, last, free, *day)

    monkeypatch.setattr(memory_module, "decide", unfenced)
    monkeypatch.setattr(sequencer_module, "refusal", lambda head, item, **_: None if head else "unknown_run")
    red_within(SEEDS, {"grammar", "calls", "text", "effects"}, "fence removed")


def test_b_published_before_it_is_committed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Sequencer._write

    async def early(self: Sequencer, ready: list[Pending]) -> None:
        expected = {p.append.run_id: self.heads[p.append.run_id].last_seq for p in ready}
        for pending in ready:
            item, head = pending.append, self.heads[pending.append.run_id]
            events = tuple(number(item.records, first_seq=expected[item.run_id] + 1, epoch=head.epoch))
            expected[item.run_id] += len(events)
            head_then, head.last_seq = head.last_seq, expected[item.run_id]
            self._on_committed(item.run_id, head, events)
            head.last_seq = head_then
        await real(self, ready)

    monkeypatch.setattr(Sequencer, "_write", early)
    red_within(SEEDS, {"client"}, "published before it is committed")


def test_e_completed_tool_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transcript, "unanswered", Transcript.uses)
    red_within(SEEDS, {"grammar", "effects"}, "completed tool replayed")


def test_f_superseded_omitted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def omitted(self: RunDriver, *_: Any) -> None:
        """Says nothing of the turns that were left open."""

    monkeypatch.setattr(RunDriver, "_supersede", omitted)
    red_within(SEEDS, {"grammar", "text"}, "superseded omitted")


# --- (d) a cursor on a global sequence -------------------------------------------------------------------------------


async def global_scene(seed: int, *, by_global_id: bool) -> History:
    """Writers of several runs take ids of one sequence and commit when they commit; a client polls from its cursor."""
    chance, history = random.Random(seed), History(seed)
    committed: list[tuple[int, str, Stored]] = []
    ids = 0

    async def writer(run_id: str) -> None:
        nonlocal ids
        drafts = [RunAccepted(input=RunInput(question="Why?")), RunCompleted(answer="So.")]
        for seq, event in enumerate(drafts, start=1):
            ids += 1
            mine = ids  # nextval: taken inside the transaction, seen by others at its commit
            await asyncio.sleep(chance.random())
            (stored,) = number([encode(Draft(event), run_id, 0.0)], first_seq=seq, epoch=0)
            committed.append((mine, run_id, stored))

    async def client(run_id: str, writers: asyncio.Future[Any]) -> None:
        segment, cursor = Segment("poller", run_id, ""), 0
        while True:
            last = writers.done()
            for place, of, stored in sorted(committed):
                if of == run_id and (place if by_global_id else stored.seq) > cursor:
                    segment.events.append(seen(stored))
                cursor = max(cursor, place) if by_global_id else len(segment.events)
            if last:
                break
            await asyncio.sleep(0.05)
        segment.end = "whole"
        history.segments.append(segment)

    runs = [f"r{n}" for n in range(5)]
    writers = asyncio.gather(*map(writer, runs))
    await asyncio.gather(*(client(run_id, writers) for run_id in runs))
    for run_id in runs:
        events = [stored for _, of, stored in sorted(committed, key=lambda row: row[2].seq) if of == run_id]
        history.runs[run_id] = RunHistory(events, "completed")
    return history


@virtual_time
async def test_d_a_cursor_on_a_global_sequence() -> None:
    for seed in range(20):
        assert violations(await global_scene(seed, by_global_id=False)) == []
    red = 0
    for seed in range(20):
        red += bool(violations(await global_scene(seed, by_global_id=True)))
    record(promise="control", what="cursor on a global sequence", n=20, violations=red, seed=0)
    assert red > 10


# --- (c) a database that acknowledges what it has not written --------------------------------------------------------


async def acknowledged_then_crashed(**settings: str) -> History:
    """Events are written to PostgreSQL and shown to a client as soon as the commit is acknowledged; then it crashes."""
    asyncpg = pytest.importorskip("asyncpg")
    from tests.fakes.postgres import PostgresServer

    server = PostgresServer(**settings)
    await asyncio.to_thread(server.start)
    try:
        db = await asyncpg.connect(server.url)
        await db.execute("CREATE TABLE e (seq int PRIMARY KEY, body bytea)")
        await db.execute("CHECKPOINT")
        segment = Segment("client", "r1", "")
        for seq in range(1, 200):
            body = encode(Draft(RunAccepted(input=RunInput(question=f"Why {seq}?"))), "r1", 0.0)
            await db.execute("INSERT INTO e VALUES ($1, $2)", seq, body.body)
            segment.events.append(seen(number([body], first_seq=seq, epoch=0)[0]))
        await asyncio.to_thread(server.stop, "immediate")
        db.terminate()
        await asyncio.to_thread(server.start)
        db = await asyncpg.connect(server.url)
        rows = await db.fetch("SELECT seq, body FROM e ORDER BY seq")
        db.terminate()
    finally:
        await asyncio.to_thread(server.remove)
    events = [Stored(row["seq"], 0, "run.accepted", "status", None, row["body"]) for row in rows]
    return History(0, {"r1": RunHistory(events, "running")}, [segment])


async def test_c_synchronous_commit_off_and_a_crash() -> None:
    def lost(history: History) -> list[str]:
        return [v.words for v in violations(history) if v.kind == "client"]

    assert lost(await acknowledged_then_crashed(synchronous_commit="on")) == []
    red = lost(await acknowledged_then_crashed(synchronous_commit="off", wal_writer_delay="10s"))
    record(promise="control", what="synchronous_commit off and a crash", n=1, violations=len(red))
    assert red, "199 acknowledged events survived a crash that should have forgotten them"
