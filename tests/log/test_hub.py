"""The stream hub: nothing visible before it is durable, one writer, fences, presence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from runtime.errors import Conflict, NotFound, StoreUnavailable
from runtime.events.catalog import (
    Event,
    InputReceived,
    RunCancelled,
    RunCompleted,
    RunStarted,
    RunWaiting,
    StageDispatched,
    ToolCalled,
    TurnDelta,
    TurnStarted,
)
from runtime.events.codec import encode
from runtime.events.envelope import Draft, Record
from runtime.log.hub import Hub
from runtime.log.log import NewRun, Run, Write, Written
from runtime.log.memory import MemoryLog
from runtime.log.wire import Append, FeedItem
from tests.virtual_time import LoopClock, virtual_time

ACCEPTED = Record("run.accepted", "status", None, b'{"type":"run.accepted"}')


class Store(MemoryLog):
    """A memory log whose appends can be held back, refused, and counted."""

    def __init__(self) -> None:
        super().__init__(LoopClock())
        self.gate = asyncio.Event()
        self.gate.set()
        self.calls: list[list[Write]] = []
        self.fail: list[Exception] = []
        self.lose: list[Exception] = []

    async def append(self, writes: Sequence[Write]) -> list[Written]:
        await self.gate.wait()
        if self.fail:
            raise self.fail.pop(0)
        for write in writes:  # as a store on disk: text that is no UTF-8 cannot be bound
            (write.run_id + write.publisher).encode()
        self.calls.append(list(writes))
        written = await super().append(writes)
        if self.lose:
            raise self.lose.pop(0)
        return written

    async def get(self, run_id: str) -> Run | None:
        run_id.encode()
        return await super().get(run_id)


@asynccontextmanager
async def a_hub(store: Store | None = None) -> AsyncIterator[tuple[Hub, Store]]:
    store = store or Store()
    hub = Hub(store, LoopClock())
    await hub.start()
    try:
        yield hub, store
    finally:
        store.gate.set()
        await hub.stop()


def record(event: Event, *, stage: str | None = None) -> Record:
    return encode(Draft(event, stage=stage), "r1", 0.0)


DELTA = record(TurnDelta(text="a"), stage="s1")
STARTED = record(RunStarted(epoch=1, owner="e1", code_version="1"))
COMPLETED = record(RunCompleted(answer="a"))
CANCELLED = record(RunCancelled(reason="user"))
TURN = record(TurnStarted(model="m", request_hash="h"), stage="s1")
TOOL = record(ToolCalled(call_id="c", name="n", arguments={}), stage="s1")


def one(
    *records: Record, publisher: str = "p", seq: int = 1, run_id: str = "r1", epoch: int = 1, **more: Any
) -> Append:
    return Append(run_id, publisher, seq, epoch, records or (DELTA,), **more)


async def owned(hub: Hub, run_id: str = "r1", **changes: Any) -> Run:
    new = NewRun(run_id, "t1", None, "why?", 1e6, "continue", 30.0, (ACCEPTED,))
    await hub.create(replace(new, **changes))
    await hub.renew("e1", ttl_s=1e6)
    (run,) = await hub.claim(run_id, executor="e1")
    return run


async def outcomes(hub: Hub, *batch: Append) -> list[str]:
    return [answer.outcome for answer in await hub.append(batch)]


class Reader:
    """Takes a hub's feed in the background."""

    def __init__(self, hub: Hub, door: str = "d") -> None:
        self.items: list[FeedItem] = []
        self.batches = 0
        self.ended = False
        self.task = asyncio.create_task(self._take(hub, door))

    async def _take(self, hub: Hub, door: str) -> None:
        feed = hub.feed(door)
        try:
            async for batch in feed:
                self.items += batch
                self.batches += 1
            self.ended = True
        finally:
            await feed.aclose()

    def seqs(self, run_id: str = "r1") -> list[int]:
        return [e.seq for item in self.items if item.run_id == run_id for e in item.events]

    async def stop(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


# --- durable, together, in order -----------------------------------------------------------------------------------------


@virtual_time
async def test_nothing_reaches_a_feed_before_it_is_committed() -> None:
    async with a_hub() as (hub, store):
        await owned(hub)
        reader = Reader(hub)
        await hub.watch("d", ["r1"])
        store.gate.clear()
        writing = asyncio.create_task(outcomes(hub, one(DELTA, DELTA)))
        await asyncio.sleep(5.0)
        assert reader.items == []
        assert not writing.done()
        store.gate.set()
        assert await writing == ["committed"]
        await asyncio.sleep(0.01)
        assert reader.seqs() == [2, 3]
        assert [e.seq for e in await store.read("r1", after=1)] == [2, 3]
        await reader.stop()


@virtual_time
async def test_a_failed_commit_reaches_no_feed() -> None:
    async with a_hub() as (hub, store):
        await owned(hub)
        reader = Reader(hub)
        await hub.watch("d", ["r1"])
        store.fail.append(StoreUnavailable("gone"))
        with pytest.raises(StoreUnavailable):
            await hub.append([one()])
        await asyncio.sleep(0.01)
        assert reader.items == []
        await reader.stop()


@virtual_time
async def test_what_arrives_during_a_commit_is_the_next_one_whatever_its_runs() -> None:
    async with a_hub() as (hub, store):
        for i in range(50):
            await owned(hub, f"r{i}")
        store.gate.clear()
        first = asyncio.create_task(outcomes(hub, one(run_id="r0")))
        await asyncio.sleep(0.01)
        rest = [asyncio.create_task(outcomes(hub, one(run_id=f"r{i}"))) for i in range(1, 50)]
        await asyncio.sleep(0.01)
        store.gate.set()
        await asyncio.gather(first, *rest)
        assert [len(call) for call in store.calls] == [1, 49]


@virtual_time
async def test_two_writers_of_one_run_share_a_commit_in_the_order_they_came() -> None:
    async with a_hub() as (hub, store):
        await owned(hub)
        assert await outcomes(hub, one(publisher="a"), one(DELTA, DELTA, publisher="b")) == ["committed"] * 2
        assert len(store.calls) == 1
        assert [(w.publisher, w.expected_seq) for w in store.calls[0]] == [("a", 1), ("b", 2)]


@virtual_time
async def test_a_repeat_is_answered_as_committed_and_not_written_again() -> None:
    async with a_hub() as (hub, store):
        await owned(hub)
        assert await outcomes(hub, one(), one()) == ["committed", "committed"]
        assert await outcomes(hub, one()) == ["committed"]
        assert len(await store.read("r1", after=0)) == 2


@virtual_time
async def test_the_repeat_of_a_runs_end_is_committed_even_on_a_new_hub() -> None:
    async with a_hub() as (hub, store):
        await owned(hub)
        assert await outcomes(hub, one(COMPLETED)) == ["committed"]
        async with a_hub(store) as (second, _):
            assert await outcomes(second, one(COMPLETED)) == ["committed"]
            assert second.statistics()["runs_held"] == 0
            assert len(await store.read("r1", after=0)) == 2


@virtual_time
async def test_stopping_waits_for_the_commit_under_way_and_refuses_what_comes_after() -> None:
    store = Store()
    hub = Hub(store, LoopClock())
    await hub.start()
    await owned(hub)
    store.gate.clear()
    writing = asyncio.create_task(outcomes(hub, one()))
    await asyncio.sleep(0.01)
    stopping = asyncio.create_task(hub.stop())
    await asyncio.sleep(0.1)
    assert not stopping.done()
    store.gate.set()
    await stopping
    async with asyncio.timeout(1.0):
        assert await writing == ["committed"]
    with pytest.raises(StoreUnavailable):
        await hub.append([one(seq=2)])


# --- refusals ------------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_stale_epoch_is_fenced() -> None:
    async with a_hub() as (hub, store):
        await owned(hub)
        await hub.release("e1")
        await hub.renew("e2", ttl_s=1e6)
        assert [run.epoch for run in await hub.claim("r1", executor="e2")] == [2]
        assert await outcomes(hub, one(epoch=1), one(epoch=2, publisher="q")) == ["fenced", "committed"]
        assert [e.epoch for e in await store.read("r1", after=1)] == [2]
        assert [[w.epoch for w in call] for call in store.calls] == [[2]], "refused from memory, the store not asked"


@virtual_time
async def test_a_hub_whose_memory_is_stale_is_fenced_by_the_store() -> None:
    async with a_hub() as (frozen, store), a_hub(store) as (hub, _):
        await owned(frozen)
        assert await outcomes(frozen, one()) == ["committed"]
        await hub.release("e1")
        await hub.renew("e2", ttl_s=1e6)
        await hub.claim("r1", executor="e2")
        assert await outcomes(frozen, one(seq=2), one(publisher="other")) == ["fenced", "fenced"]
        assert await outcomes(frozen, one(epoch=2, publisher="new")) == ["committed"]


@virtual_time
async def test_a_superseded_dispatch_is_refused_and_a_new_hub_knows_it_from_the_log() -> None:
    def dispatched(n: int) -> Append:
        event = record(StageDispatched(dispatch=n, lease_s=1.0), stage="s1")
        return one(event, publisher=f"x{n}", stage="s1", dispatch=n)

    async with a_hub() as (hub, store):
        await owned(hub)
        assert await outcomes(hub, dispatched(1), dispatched(2)) == ["committed"] * 2
        old = one(publisher="agent1", stage="s1", dispatch=1, worker=True)
        new = one(publisher="agent2", stage="s1", dispatch=2, worker=True)
        assert await outcomes(hub, old, new) == ["superseded", "committed"]
        async with a_hub(store) as (second, _):
            assert await outcomes(second, old) == ["superseded"]
            other = old._replace(stage="s2", publisher="sibling")
            assert await outcomes(second, other, new._replace(publisher_seq=2)) == ["committed"] * 2


@virtual_time
async def test_after_a_cancel_request_only_the_executors_end_may_be_written() -> None:
    async with a_hub() as (hub, store):
        await owned(hub)
        await hub.cancel("r1", "user")
        await hub.cancel("r1", "user")
        refused = [one(TURN, publisher="a"), one(TOOL, publisher="b"), one(DELTA, publisher="c", worker=True)]
        assert await outcomes(hub, *refused) == ["cancelled"] * 3
        assert await outcomes(hub, one(COMPLETED, publisher="d")) == ["cancelled"]
        assert await outcomes(hub, one(CANCELLED, publisher="e")) == ["committed"]
        kinds = [e.type for e in await store.read("r1", after=0)]
        assert kinds == ["run.accepted", "run.cancel_requested", "run.cancelled"]


@virtual_time
async def test_nothing_is_written_after_the_end_and_the_hub_outlives_it() -> None:
    async with a_hub() as (hub, store):
        await owned(hub)
        await owned(hub, "r2")
        batch = [one(COMPLETED), one(DELTA, publisher="late"), one(run_id="r2"), one(DELTA, publisher="later")]
        assert await outcomes(hub, *batch) == ["committed", "ended", "committed", "ended"]
        assert await outcomes(hub, one(DELTA, publisher="last")) == ["ended"]
        with pytest.raises(Conflict):
            await hub.cancel("r1", "user")
        with pytest.raises(NotFound):
            await hub.cancel("nobody", "user")
        assert await outcomes(hub, one(run_id="nobody")) == ["unknown_run"]
        assert [e.type for e in await store.read("r1", after=1)] == ["run.completed"]


@virtual_time
async def test_two_hubs_on_one_log_both_get_their_writes_in_without_gap_or_twin() -> None:
    async with a_hub() as (left, store), a_hub(store) as (right, _):
        await owned(left)
        reader = Reader(left)
        await left.watch("d", ["r1"])
        for n in range(1, 20):
            batch = [one(publisher="l", seq=n), one(DELTA, DELTA, publisher="m", seq=n)]
            both = await asyncio.gather(outcomes(left, *batch), outcomes(right, one(publisher="r", seq=n)))
            assert both == [["committed"] * 2, ["committed"]]
        written = await store.read("r1", after=0)
        assert [e.seq for e in written] == list(range(1, 20 * 4 - 2))
        await asyncio.sleep(0.01)
        assert left.statistics()["conflicts"] > 0
        assert len(reader.seqs()) == 19 * 3, "every write through this hub was fed"
        await reader.stop()


# --- what people say -----------------------------------------------------------------------------------------------------


SAID = record(InputReceived(input="i", text="Only Europe."))


@virtual_time
async def test_under_each_name_one_thing_is_said_whoever_comes_second() -> None:
    async with a_hub() as (left, store), a_hub(store) as (right, _):
        await owned(left)
        assert sorted(await asyncio.gather(left.say("r1", "n", SAID), right.say("r1", "n", SAID))) == [False, True]
        assert [e.type for e in await store.read("r1", after=1)] == ["input.received"]
        assert await left.say("r1", "other", SAID)
        with pytest.raises(NotFound):
            await left.say("r9", "n", SAID)
        await outcomes(left, one(COMPLETED))
        with pytest.raises(Conflict):
            await left.say("r1", "late", SAID)


@virtual_time
async def test_a_run_is_not_left_waiting_over_what_was_said_meanwhile_whichever_hub_it_came_through() -> None:
    waiting = record(RunWaiting(reason="a person"))
    async with a_hub() as (left, store), a_hub(store) as (right, _), a_hub(store) as (new, _):
        await owned(left)
        assert await outcomes(left, one(STARTED)) == ["committed"]
        await right.say("r1", "n", SAID)
        unseen = one(waiting, publisher="w1", unless_said_after=2)
        assert await outcomes(left, unseen) == ["input_pending"]
        assert await outcomes(new, unseen._replace(publisher="w2")) == ["input_pending"]
        assert await outcomes(left, one(waiting, publisher="w3", unless_said_after=3)) == ["committed"]
        run = await store.get("r1")
        assert run is not None
        assert (run.status, run.wake_at) == ("waiting", None)


# --- failures ------------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_store_failure_fails_those_who_wait_and_the_committer_lives_on() -> None:
    async with a_hub() as (hub, store):
        await owned(hub)
        store.fail.append(StoreUnavailable("gone"))
        waiting = [asyncio.create_task(hub.append([one(publisher=p)])) for p in "ab"]
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(a) for a in answers] == [StoreUnavailable] * 2
        assert await outcomes(hub, one(publisher="a"), one(publisher="b")) == ["committed"] * 2


@virtual_time
async def test_a_commit_whose_answer_was_lost_is_recognised_when_it_is_sent_again() -> None:
    async with a_hub() as (hub, store):
        await owned(hub)
        store.lose.append(StoreUnavailable("cut"))
        with pytest.raises(StoreUnavailable):
            await hub.append([one()])
        assert await outcomes(hub, one(), one(seq=2)) == ["committed", "committed"]
        assert len(await store.read("r1", after=1)) == 2


@virtual_time
@pytest.mark.parametrize("bad", [one(run_id="\ud800"), one(publisher="\ud800")], ids=["run id", "publisher"])
async def test_an_append_no_store_can_take_spoils_no_other(bad: Append) -> None:
    async with a_hub() as (hub, _):
        await owned(hub)
        await owned(hub, "r2")
        reader = Reader(hub)
        await asyncio.sleep(0.01)
        await hub.watch("d", ["r1", "r2"])
        answers = await outcomes(hub, one(publisher="good"), bad, one(run_id="r2"))
        assert answers == ["committed", "rejected", "committed"]
        await asyncio.sleep(0.01)
        assert reader.seqs("r1") == [2]
        assert reader.seqs("r2") == [2]
        assert await outcomes(hub, one(publisher="good", seq=2)) == ["committed"]
        await reader.stop()


@virtual_time
async def test_a_defect_of_the_store_costs_no_event_its_place_in_the_feed() -> None:
    async with a_hub() as (hub, store):
        await owned(hub)
        store.fail.append(ValueError("a defect"))
        assert await outcomes(hub, one(), one(publisher="q")) == ["committed"] * 2


@virtual_time
async def test_a_run_that_never_stands_still_is_given_up_without_its_neighbours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with a_hub() as (hub, store):
        await owned(hub)
        await owned(hub, "r2")
        real = store.append

        async def moving(writes: Sequence[Write]) -> list[Written]:
            return [Written("conflict") if w.run_id == "r1" else (await real([w]))[0] for w in writes]

        monkeypatch.setattr(store, "append", moving)
        assert await outcomes(hub, one(), one(run_id="r2")) == ["rejected", "committed"]


# --- presence ------------------------------------------------------------------------------------------------------------

READ = {"on_disconnect": "cancel", "grace_s": 5.0}


async def cancelled(store: Store, run_id: str = "r1") -> bool:
    run = await store.get(run_id)
    assert run is not None
    return run.cancel_requested


@virtual_time
async def test_a_run_is_cancelled_when_its_last_reader_has_been_gone_for_the_grace() -> None:
    async with a_hub() as (hub, store):
        await owned(hub, **READ)
        await hub.watch("d", ["r1"])
        await hub.watch("d2", ["r1"])
        await hub.unwatch("d", ["r1"])
        await asyncio.sleep(100.0)
        assert not await cancelled(store), "another door has readers"
        await hub.unwatch("d2", ["r1"])
        await asyncio.sleep(4.9)
        assert not await cancelled(store)
        await asyncio.sleep(0.2)
        assert await cancelled(store)
        (request,) = [e for e in await store.read("r1", after=0) if e.type == "run.cancel_requested"]
        assert b'"disconnect"' in request.body


@virtual_time
async def test_a_reader_who_comes_back_within_the_grace_keeps_the_run() -> None:
    async with a_hub() as (hub, store):
        await owned(hub, **READ)
        await hub.watch("d", ["r1"])
        await hub.unwatch("d", ["r1"])
        await asyncio.sleep(4.9)
        await hub.watch("d", ["r1"])
        await asyncio.sleep(100.0)
        assert not await cancelled(store)


@virtual_time
@pytest.mark.parametrize("left", ["before", "while"])
async def test_a_run_that_waits_is_not_cancelled_by_absence_before_it_goes_on(left: str) -> None:
    waiting = record(RunWaiting(reason="a person is asked"))
    async with a_hub() as (hub, store):
        await owned(hub, **READ)
        await hub.watch("d", ["r1"])
        if left == "before":
            await hub.unwatch("d", ["r1"])
        assert await outcomes(hub, one(waiting, wake_at=500.0)) == ["committed"]
        if left == "while":
            await hub.unwatch("d", ["r1"])
        await asyncio.sleep(400.0)
        assert not await cancelled(store)
        await asyncio.sleep(200.0)
        assert [run.run_id for run in await hub.claim("r1", executor="e1")] == ["r1"]
        await asyncio.sleep(29.9)
        assert not await cancelled(store), "a reader may come back"
        await asyncio.sleep(0.2)
        assert await cancelled(store)


@virtual_time
async def test_a_run_that_continues_is_never_cancelled_by_absence() -> None:
    async with a_hub() as (hub, store):
        await owned(hub, on_disconnect="continue", grace_s=0.0)
        await hub.watch("d", ["r1"])
        await hub.unwatch("d", ["r1"])
        await asyncio.sleep(1000.0)
        assert not await cancelled(store)


@virtual_time
async def test_a_lost_door_gives_its_readers_thirty_seconds_whatever_was_asked() -> None:
    async with a_hub() as (hub, store):
        await owned(hub, on_disconnect="cancel", grace_s=0.0)
        reader = Reader(hub)
        await asyncio.sleep(0.01)
        await hub.watch("d", ["r1"])
        await reader.stop()
        await asyncio.sleep(29.0)
        assert not await cancelled(store)
        await asyncio.sleep(2.0)
        assert await cancelled(store)


@virtual_time
async def test_a_reader_who_never_comes_counts_as_gone() -> None:
    async with a_hub() as (hub, store):
        await owned(hub, on_disconnect="cancel", grace_s=0.0)
        await asyncio.sleep(29.0)
        assert not await cancelled(store)
        await asyncio.sleep(2.0)
        assert await cancelled(store)


@virtual_time
async def test_a_new_hub_cancels_a_run_whose_readers_never_come_back() -> None:
    async with a_hub() as (hub, store):
        await owned(hub, **READ)
        await hub.watch("d", ["r1"])
        async with a_hub(store) as (second, _):
            assert await outcomes(second, one()) == ["committed"]
            await asyncio.sleep(29.0)
            assert not await cancelled(store)
            await asyncio.sleep(2.0)
            assert await cancelled(store)


@virtual_time
async def test_a_store_that_is_away_only_delays_the_cancel_of_a_run_nobody_reads() -> None:
    async with a_hub() as (hub, store):
        await owned(hub, **READ)
        await hub.watch("d", ["r1"])
        await hub.unwatch("d", ["r1"])
        store._closed = True
        await asyncio.sleep(20.0)
        store._closed = False
        await asyncio.sleep(2.0)
        assert await cancelled(store)


@virtual_time
async def test_a_watch_that_failed_leaves_no_reader_behind() -> None:
    async with a_hub() as (hub, store):
        await owned(hub, **READ)
        store._closed = True
        with pytest.raises(StoreUnavailable):
            await hub.watch("d", ["r1"])
        store._closed = False
        await asyncio.sleep(6.0)
        assert await cancelled(store)


@virtual_time
async def test_a_thousand_runs_leave_nothing_in_memory() -> None:
    async with a_hub() as (hub, _):
        reader = Reader(hub)
        for i in range(1000):
            run_id = f"r{i}"
            await owned(hub, run_id, **READ)
            if i % 2:
                await hub.watch("d", [run_id])
            assert await outcomes(hub, one(COMPLETED, run_id=run_id)) == ["committed"]
            if i % 2:
                await hub.unwatch("d", [run_id])
            if i % 3 == 0:
                assert await outcomes(hub, one(run_id=run_id, publisher="late")) == ["ended"]
        assert hub._heads == {}
        assert hub._timers == {}
        assert hub.statistics()["runs_watched"] == 0
        await reader.stop()


@virtual_time
async def test_a_run_whose_end_was_committed_without_an_answer_leaves_nothing_in_memory() -> None:
    """The repeat is all that memory hears of the end; unheeded, the run would be held for as long as the hub lives."""
    async with a_hub() as (hub, store):
        await owned(hub)
        store.lose = [StoreUnavailable("committed, and the reply was lost")]
        with pytest.raises(StoreUnavailable):
            await hub.append([one(COMPLETED)])
        assert await outcomes(hub, one(COMPLETED)) == ["committed"]
        assert hub.statistics()["runs_held"] == 0


@virtual_time
async def test_superseded_agent_is_shut_out_although_the_reply_to_the_new_dispatch_was_lost() -> None:
    """The dispatch's repeat shares a batch with a late write of the old one, and memory has not heard of it."""
    clock = LoopClock()
    log = MemoryLog(clock)
    hub = Hub(log, clock)
    await hub.start()
    await hub.create(NewRun("r1", "t1", None, "why?", 60.0, "continue", 30.0, (ACCEPTED,)))
    await hub.renew("e1", ttl_s=10.0)
    await hub.claim("r1", executor="e1")

    def dispatch(number: int) -> Append:
        record = encode(Draft(StageDispatched(dispatch=number, lease_s=10.0), stage="s1"), "r1", 0.0)
        return Append("r1", f"executor.{number}", 1, 1, (record,), "s1", number)

    def late(number: int) -> Append:
        record = encode(Draft(TurnDelta(text="late"), stage="s1"), "r1", 0.0)
        return Append("r1", "agent.1", number, 1, (record,), "s1", 1, worker=True)

    await hub.append([dispatch(1)])
    real = log.append

    async def lost(writes: Sequence[Write]) -> list[Written]:
        log.append = real  # type: ignore[method-assign]
        await real(writes)
        raise StoreUnavailable("committed, and the reply was lost")

    log.append = lost  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await hub.append([dispatch(2)])
    repeated, first = await asyncio.gather(hub.append([dispatch(2)]), hub.append([late(1)]))
    (second,) = await hub.append([late(2)])
    await hub.stop()
    assert repeated[0].outcome == "committed"
    assert (first[0].outcome, second.outcome) == ("superseded", "superseded")
