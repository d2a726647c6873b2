"""The sending end: one append in flight, what gathers is the next, the same batch again after an outage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from runtime.errors import Fenced, InternalError, NotFound, RunCancelled, RunEnded, StoreUnavailable, Superseded
from runtime.events.envelope import Record
from runtime.log.publisher import GIVE_UP_S, HIGH_WATER_BYTES, Publisher
from runtime.log.wire import Append, Appended, AppendOutcome
from tests.virtual_time import LoopClock, virtual_time

WINDOW_S = 0.02


def record(text: str = "a") -> Record:
    return Record("turn.delta", "token", "s1", text.encode())


class FakeHub:
    """Answers appends; remembers repeats by (run, publisher, number) as the log does."""

    def __init__(self) -> None:
        self.batches: list[tuple[float, list[Append]]] = []
        self.taken: dict[tuple[str, str], int] = {}
        self.kept: list[bytes] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.fail: list[Exception] = []
        self.lose: list[Exception] = []
        self.refuse: dict[str, AppendOutcome] = {}
        self.at_once = self.most_at_once = 0

    async def append(self, batch: Sequence[Append]) -> list[Appended]:
        self.batches.append((asyncio.get_running_loop().time(), list(batch)))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
            if self.fail:
                raise self.fail.pop(0)
            answers = [self._one(append) for append in batch]
            if self.lose:
                raise self.lose.pop(0)
            return answers
        finally:
            self.at_once -= 1

    def _one(self, append: Append) -> Appended:
        if append.run_id in self.refuse:
            return Appended(self.refuse[append.run_id])
        key = append.run_id, append.publisher
        if append.publisher_seq == self.taken.get(key, 0) + 1:
            self.taken[key] = append.publisher_seq
            self.kept += [r.body for r in append.records]
        return Appended("committed", len(self.kept))

    def sent(self) -> list[list[bytes]]:
        return [[r.body for append in batch for r in append.records] for _, batch in self.batches]


@asynccontextmanager
async def a_publisher() -> AsyncIterator[tuple[Publisher, FakeHub]]:
    hub = FakeHub()
    publisher = Publisher("p", hub, LoopClock(), interval_s=WINDOW_S)
    await publisher.start()
    try:
        yield publisher, hub
    finally:
        await publisher.stop()


@virtual_time
async def test_one_append_is_in_flight_and_all_that_gathers_meanwhile_is_the_next() -> None:
    async with a_publisher() as (publisher, hub):
        lanes = [publisher.lane(f"r{i}", 1) for i in range(10)]
        hub.gate.clear()
        first = asyncio.create_task(lanes[0].commit(record("first")))
        await asyncio.sleep(0.1)
        rest = [asyncio.create_task(lane.commit(record(f"{i}a"), record(f"{i}b"))) for i, lane in enumerate(lanes)]
        await asyncio.sleep(0.1)
        assert len(hub.batches) == 1
        hub.gate.set()
        await asyncio.gather(first, *rest)
        assert [len(batch) for _, batch in hub.batches] == [1, 10]
        assert hub.most_at_once == 1


@virtual_time
async def test_records_keep_their_order_and_are_numbered_per_lane_without_gaps() -> None:
    async with a_publisher() as (publisher, hub):
        lane, other = publisher.lane("r1", 1), publisher.lane("r1", 1)
        for i in range(50):
            await lane.offer(record(f"{i:02}"))
            await other.offer(record("x"))
            await asyncio.sleep(0.007)
        await lane.drain()
        await other.drain()
        assert [body for body in hub.kept if body != b"x"] == [b"%02d" % i for i in range(50)]
        assert lane.name != other.name
        numbers = [a.publisher_seq for _, batch in hub.batches for a in batch if a.publisher == lane.name]
        assert numbers == list(range(1, len(numbers) + 1))


@virtual_time
async def test_what_nobody_waits_for_leaves_after_the_window_and_what_somebody_waits_for_at_once() -> None:
    async with a_publisher() as (publisher, hub):
        lane = publisher.lane("r1", 1)
        await lane.offer(record("first"))
        await asyncio.sleep(0.001)
        for _ in range(4):
            await lane.offer(record("delta"))
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.1)
        (t0, _), (t1, batch) = hub.batches
        assert t1 - t0 == pytest.approx(WINDOW_S)
        assert len(batch[0].records) == 4
        await lane.offer(record("delta"))
        await asyncio.sleep(0.001)
        await lane.offer(record("delta"))
        before = asyncio.get_running_loop().time()
        await lane.commit(record("turn"))
        assert asyncio.get_running_loop().time() == before, "a commit does not wait for the window"
        assert hub.sent()[-1] == [b"delta", b"turn"]


@virtual_time
async def test_several_records_of_a_commit_are_one_append() -> None:
    async with a_publisher() as (publisher, hub):
        await publisher.lane("r1", 1).commit(record("a"), record("b"), record("c"))
        ((_, (append,)),) = hub.batches
        assert [r.body for r in append.records] == [b"a", b"b", b"c"]


@virtual_time
async def test_after_an_outage_the_same_batch_goes_out_with_the_same_numbers() -> None:
    async with a_publisher() as (publisher, hub):
        lane = publisher.lane("r1", 1)
        hub.fail = [StoreUnavailable("gone") for _ in range(5)]
        committing = asyncio.create_task(lane.commit(record("a")))
        await asyncio.sleep(0.01)
        await lane.offer(record("b"))
        await committing
        batches = [batch for _, batch in hub.batches]
        assert all(batch == batches[0] for batch in batches[:6]), "what gathers meanwhile waits its turn"
        await lane.drain()
        assert hub.kept == [b"a", b"b"]


@virtual_time
async def test_a_lost_reply_doubles_nothing() -> None:
    async with a_publisher() as (publisher, hub):
        lane = publisher.lane("r1", 1)
        hub.lose = [StoreUnavailable("cut")]
        await lane.commit(record("a"))
        await lane.commit(record("b"))
        assert hub.kept == [b"a", b"b"]
        assert len(hub.batches) == 3


@virtual_time
@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        ("fenced", Fenced),
        ("superseded", Superseded),
        ("ended", RunEnded),
        ("cancelled", RunCancelled),
        ("unknown_run", NotFound),
        ("rejected", InternalError),
    ],
)
async def test_a_refusal_shuts_its_lane_for_good_and_no_other(outcome: AppendOutcome, error: type[Exception]) -> None:
    async with a_publisher() as (publisher, hub):
        hub.refuse["bad"] = outcome
        bad, good = publisher.lane("bad", 1), publisher.lane("good", 1)
        answers = await asyncio.gather(bad.commit(record()), good.commit(record("kept")), return_exceptions=True)
        assert [type(answers[0]), answers[1]] == [error, 1]
        hub.refuse.clear()
        sent = len(hub.batches)
        for again in (bad.commit(record()), bad.offer(record()), bad.drain()):
            with pytest.raises(error):
                await again
        assert len(hub.batches) == sent
        await good.commit(record("too"))
        assert hub.kept == [b"kept", b"too"]


@virtual_time
async def test_a_writer_waits_above_the_high_water_mark_until_its_records_are_durable() -> None:
    async with a_publisher() as (publisher, hub):
        lane, other = publisher.lane("r1", 1), publisher.lane("r2", 1)
        hub.gate.clear()
        half = "x" * (HIGH_WATER_BYTES // 2)
        await lane.offer(record(half))
        await asyncio.sleep(0.1)
        await lane.offer(record(half))
        blocked = asyncio.create_task(lane.offer(record("y")))
        await asyncio.sleep(1.0)
        assert not blocked.done()
        async with asyncio.timeout(0.1):
            await other.offer(record("free"))
        hub.gate.set()
        await blocked
        assert sum(map(len, hub.kept)) == 2 * len(half) + 1 + 4


@virtual_time
async def test_drain_waits_for_what_gathered_and_for_what_is_in_flight() -> None:
    async with a_publisher() as (publisher, hub):
        lane = publisher.lane("r1", 1)
        await lane.drain()
        hub.gate.clear()
        await lane.offer(record("a"))
        await asyncio.sleep(0.1)
        draining = asyncio.create_task(lane.drain())
        await asyncio.sleep(1.0)
        assert not draining.done(), "in flight"
        await lane.offer(record("b"))
        both = asyncio.create_task(lane.drain())
        await asyncio.sleep(1.0)
        hub.gate.set()
        await asyncio.gather(draining, both)
        assert hub.kept == [b"a", b"b"]


@virtual_time
async def test_a_hub_that_stays_away_is_given_up_and_the_publisher_lives_on() -> None:
    async with a_publisher() as (publisher, hub):
        hub.fail = [StoreUnavailable("gone") for _ in range(1000)]
        begun = asyncio.get_running_loop().time()
        with pytest.raises(StoreUnavailable):
            await publisher.lane("r1", 1).commit(record())
        assert GIVE_UP_S <= asyncio.get_running_loop().time() - begun <= GIVE_UP_S + 5.0
        assert len(hub.batches) < 100, "it backs off"
        hub.fail.clear()
        await publisher.lane("r1", 1).commit(record("later"))
        assert hub.kept == [b"later"]


@virtual_time
@pytest.mark.parametrize("defect", [ValueError("a bug"), InternalError("of the hub")])
async def test_a_defect_of_the_hub_fails_who_waits_and_the_publisher_lives_on(defect: Exception) -> None:
    async with a_publisher() as (publisher, hub):
        hub.fail = [defect]
        async with asyncio.timeout(1.0):
            with pytest.raises(InternalError):
                await publisher.lane("r1", 1).commit(record())
            await publisher.lane("r1", 1).commit(record("later"))
        assert hub.kept == [b"later"]


@virtual_time
async def test_a_writer_that_was_cancelled_does_not_hold_up_its_lane() -> None:
    async with a_publisher() as (publisher, hub):
        lane = publisher.lane("r1", 1)
        hub.gate.clear()
        gone = asyncio.create_task(lane.commit(record("a")))
        await asyncio.sleep(0.1)
        gone.cancel()
        await asyncio.gather(gone, return_exceptions=True)
        hub.gate.set()
        await lane.commit(record("b"))
        assert hub.kept == [b"a", b"b"]


@virtual_time
async def test_stopping_tells_whoever_still_waits() -> None:
    hub = FakeHub()
    publisher = Publisher("p", hub, LoopClock(), interval_s=WINDOW_S)
    await publisher.start()
    hub.gate.clear()
    waiting = asyncio.create_task(publisher.lane("r1", 1).commit(record()))
    await asyncio.sleep(0.1)
    await publisher.stop()
    with pytest.raises(StoreUnavailable):
        await waiting


@virtual_time
async def test_settled_waits_for_what_a_closed_lane_has_sent_and_for_nothing_else() -> None:
    async with a_publisher() as (publisher, hub):
        lane = publisher.lane("r1", 1)
        hub.fail = [StoreUnavailable("away")] * 3
        hub.gate.clear()
        asking = asyncio.create_task(lane.commit(record()))
        await asyncio.sleep(1.0)
        asking.cancel()
        publisher.close(lane)
        waiting = asyncio.create_task(publisher.settled("r1"))
        await publisher.settled("r2")
        await asyncio.sleep(5.0)
        assert not waiting.done()
        hub.gate.set()
        await waiting
        assert hub.kept == [b"a"], "the log has it before anyone goes on from the log"
        await publisher.settled("r1")
