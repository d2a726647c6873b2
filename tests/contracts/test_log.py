"""What every log promises, asked of each one alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime.clock import ManualClock
from runtime.errors import Conflict, InvalidRequest, NotFound, OverQuota, StoreUnavailable
from runtime.events.envelope import Money, Record, Stored
from runtime.log.log import Created, Log, NewRun, Outcome, Run, Write, Written
from runtime.log.memory import MemoryLog
from runtime.log.postgres import PostgresLog
from runtime.log.sqlite import SqliteLog
from tests.fakes.postgres import emptied_database

ACCEPTED = Record("run.accepted", "status", None, b'{"type":"run.accepted"}')
STARTED = Record("run.started", "system", None, b"{}")
DELTA = Record("turn.delta", "token", "s1", b'{"text":"a"}')
TURN_DONE = Record("turn.completed", "object", "s1", b"{}")
STAGE_DONE = Record("stage.completed", "status", "s1", b"{}")
COMPLETED = Record("run.completed", "status", None, b"{}")
FAILED = Record("run.failed", "error", None, b"{}")
WAITING = Record("run.waiting", "status", None, b"{}")
CANCELLED = Record("run.cancelled", "status", None, b"{}")
EXPIRED = Record("run.expired", "error", None, b"{}")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def log(request: pytest.FixtureRequest, tmp_path: Path, clock: ManualClock) -> AsyncIterator[Log]:
    log: Log
    match request.param:
        case "memory":
            log = MemoryLog(clock)
        case "sqlite":
            log = SqliteLog(tmp_path / "log.db", clock)
        case _:
            log = PostgresLog(await emptied_database(), clock)
    await log.open()
    yield log
    await log.close()


def new(run_id: str = "r1", **changes: Any) -> NewRun:
    return replace(NewRun(run_id, "t1", None, "why?", 60.0, "continue", 30.0, (ACCEPTED,)), **changes)


def write(run_id: str, after: int, *records: Record, **changes: Any) -> Write:
    """A write of the publisher ``p``'s first batch from the door, expecting ``after``."""
    return replace(Write(run_id, None, after, "p", 1, records or (DELTA,)), **changes)


async def owned(log: Log, run_id: str = "r1", *, executor: str = "e1", **changes: Any) -> Run:
    """Create a run and claim it for an executor with a lease of 10 s."""
    await log.create(new(run_id, **changes))
    assert (await log.renew(executor, ttl_s=10.0)).alive
    (run,) = await log.claim(run_id, executor=executor)
    return run


async def outcome(log: Log, one: Write) -> Outcome:
    (answer,) = await log.append([one])
    return answer.outcome


async def seqs(log: Log, run_id: str = "r1", after: int = 0) -> list[int]:
    return [event.seq for event in await log.read(run_id, after=after)]


async def status(log: Log, run_id: str = "r1") -> str:
    run = await log.get(run_id)
    assert run is not None
    return run.status


# --- creation --------------------------------------------------------------------------------------------------------


async def test_created_run_stands_as_it_was_described(log: Log, clock: ManualClock) -> None:
    answer = await log.create(new(conversation_id="c1", on_disconnect="cancel", grace_s=5.0))
    expected = Run(
        run_id="r1", tenant_id="t1", conversation_id="c1", question="why?", status="accepted", epoch=0, last_seq=1,
        owner=None, created_at=clock.now(), deadline_at=clock.now() + 60.0, cancel_requested=False,
        on_disconnect="cancel", grace_s=5.0, takeovers=0,
    )  # fmt: skip
    assert (answer.run, answer.existing) == (expected, False)
    assert await log.get("r1") == expected


async def test_first_records_are_numbered_from_one(log: Log) -> None:
    await log.create(new(records=(ACCEPTED, STARTED)))
    assert await log.read("r1", after=0) == [
        Stored(1, 0, "run.accepted", "status", None, ACCEPTED.body),
        Stored(2, 0, "run.started", "system", None, STARTED.body),
    ]


async def test_same_key_and_body_give_the_same_run(log: Log) -> None:
    first = await log.create(new("r1", idempotency_key="k", idempotency_hash="h"))
    second = await log.create(new("r2", idempotency_key="k", idempotency_hash="h"))
    assert (second.run, second.existing) == (first.run, True)
    assert await log.get("r2") is None


async def test_repeated_creation_tells_the_run_as_it_is_now(log: Log) -> None:
    await log.create(new(idempotency_key="k", idempotency_hash="h"))
    await log.append([write("r1", 1)])
    assert (await log.create(new("r2", idempotency_key="k", idempotency_hash="h"))).run.last_seq == 2


async def test_same_key_with_another_body_is_refused(log: Log) -> None:
    await log.create(new("r1", idempotency_key="k", idempotency_hash="h"))
    with pytest.raises(InvalidRequest):
        await log.create(new("r2", idempotency_key="k", idempotency_hash="other"))
    assert await log.get("r2") is None


async def test_tenants_do_not_share_keys(log: Log) -> None:
    await log.create(new("r1", idempotency_key="k", idempotency_hash="h"))
    answer = await log.create(new("r2", tenant_id="t2", idempotency_key="k", idempotency_hash="other"))
    assert (answer.run.run_id, answer.existing) == ("r2", False)


async def test_key_is_kept_for_a_day_and_no_longer(log: Log, clock: ManualClock) -> None:
    await log.create(new("r1", idempotency_key="k", idempotency_hash="h"))
    clock.advance(24 * 3600 - 1)
    assert (await log.create(new("r2", idempotency_key="k", idempotency_hash="h"))).existing
    clock.advance(1)
    answer = await log.create(new("r3", idempotency_key="k", idempotency_hash="other"))
    assert (answer.run.run_id, answer.existing) == ("r3", False)


async def test_run_id_is_never_used_twice(log: Log) -> None:
    await log.create(new())
    with pytest.raises(Conflict) as refused:
        await log.create(new(question="other"))
    assert refused.value.reason == "run_exists"


async def test_conversation_has_one_unfinished_run(log: Log) -> None:
    await log.create(new("r1", conversation_id="c"))
    with pytest.raises(Conflict) as refused:
        await log.create(new("r2", conversation_id="c"))
    assert refused.value.reason == "conversation_busy"
    assert await log.get("r2") is None


async def test_refused_creation_leaves_its_key_unused(log: Log) -> None:
    await log.create(new("r1", conversation_id="c"))
    with pytest.raises(Conflict):
        await log.create(new("r2", conversation_id="c", idempotency_key="k", idempotency_hash="h"))
    assert not (await log.create(new("r3", idempotency_key="k", idempotency_hash="h"))).existing


async def test_repeated_creation_is_not_kept_busy_by_its_own_run(log: Log) -> None:
    await log.create(new("r1", conversation_id="c", idempotency_key="k", idempotency_hash="h"))
    assert (await log.create(new("r2", conversation_id="c", idempotency_key="k", idempotency_hash="h"))).existing


async def test_conversation_is_free_again_after_the_end_of_its_run(log: Log) -> None:
    await log.create(new("r1", conversation_id="c"))
    await log.append([write("r1", 1, CANCELLED)])
    assert not (await log.create(new("r2", conversation_id="c"))).existing


async def test_tenants_do_not_share_conversations(log: Log) -> None:
    await log.create(new("r1", conversation_id="c"))
    assert not (await log.create(new("r2", tenant_id="t2", conversation_id="c"))).existing


async def test_runs_without_a_conversation_do_not_hinder_each_other(log: Log) -> None:
    await log.create(new("r1"))
    assert not (await log.create(new("r2"))).existing


# --- reading ---------------------------------------------------------------------------------------------------------


async def test_recent_gives_the_newest_first_and_no_other_tenants(log: Log) -> None:
    for run_id, tenant in (("a", "t1"), ("b", "t2"), ("c", "t1"), ("d", "t1")):
        await log.create(new(run_id, tenant_id=tenant))
    assert [run.run_id for run in await log.recent(tenant_id="t1")] == ["d", "c", "a"]
    assert [run.run_id for run in await log.recent(tenant_id="t1", limit=2)] == ["d", "c"]
    assert await log.recent(tenant_id="t3") == []


async def test_recent_of_no_runs_is_empty_also_for_a_negative_limit(log: Log) -> None:
    await log.create(new())
    assert await log.recent(tenant_id="t1", limit=0) == []
    assert await log.recent(tenant_id="t1", limit=-1) == []


async def test_unknown_run_reads_as_nothing(log: Log) -> None:
    assert await log.get("r9") is None
    assert await log.read("r9", after=0) == []
    assert await log.publisher_seq("r9", "p") == 0


async def test_size_counts_the_bytes_of_a_runs_events(log: Log) -> None:
    await log.create(new())
    await log.create(new("r2"))
    await log.append([write("r1", 1, DELTA, DELTA)])
    assert await log.size("r1") == sum(len(stored.body) for stored in await log.read("r1", after=0)) > 0
    assert await log.size("r9") == 0


async def test_heads_tell_how_far_many_runs_have_come_and_leave_out_unknown_ones(log: Log) -> None:
    for run_id in ("r1", "r2", "r3"):
        await log.create(new(run_id))
    await log.append([write("r2", 1, DELTA, DELTA)])
    assert await log.heads(["r1", "r2", "r4"]) == {"r1": 1, "r2": 3}
    assert await log.heads([]) == {}


async def test_read_gives_exactly_what_follows_the_cursor(log: Log) -> None:
    await log.create(new())
    await log.append([write("r1", 1, *[DELTA] * 4)])
    assert await seqs(log, after=2) == [3, 4, 5]
    assert await seqs(log, after=5) == []
    assert await seqs(log, after=99) == []


async def test_pages_follow_one_another_without_gap(log: Log) -> None:
    await log.create(new())
    await log.append([write("r1", 1, *[DELTA] * 9)])
    first = await log.read("r1", after=0, limit=4)
    second = await log.read("r1", after=first[-1].seq, limit=4)
    assert [event.seq for event in first + second] == list(range(1, 9))
    assert await log.read("r1", after=0, limit=0) == []


async def test_page_is_never_longer_than_512_events(log: Log) -> None:
    await log.create(new())
    await log.append([write("r1", 1, *[DELTA] * 600)])
    assert await seqs(log) == list(range(1, 513))
    assert len(await log.read("r1", after=0, limit=5000)) == 512


async def test_read_without_deltas_leaves_out_tokens_and_fills_the_page(log: Log) -> None:
    await log.create(new())
    await log.append([write("r1", 1, DELTA, STARTED, DELTA, DELTA, STAGE_DONE)])
    assert [e.seq for e in await log.read("r1", after=0, deltas=False)] == [1, 3, 6]
    assert [e.seq for e in await log.read("r1", after=1, limit=2, deltas=False)] == [3, 6]


async def test_body_comes_back_byte_for_byte(log: Log) -> None:
    body = bytes(range(256)) * 300
    await log.create(new())
    await log.append([write("r1", 1, Record("turn.delta", "token", "über", body))])
    assert await log.read("r1", after=1) == [Stored(2, 0, "turn.delta", "token", "über", body)]


# --- writing ---------------------------------------------------------------------------------------------------------


async def test_append_numbers_without_gap_and_tells_the_numbers(log: Log) -> None:
    run = await owned(log)
    first = write("r1", 1, STARTED, DELTA, epoch=run.epoch)
    second = write("r1", 3, DELTA, epoch=run.epoch, publisher_seq=2)
    assert await log.append([first]) == [Written("committed", 2, 3, 1)]
    assert await log.append([second]) == [Written("committed", 4, 4, 1)]
    assert await seqs(log) == [1, 2, 3, 4]


async def test_two_writes_of_one_run_apply_in_order(log: Log) -> None:
    await log.create(new())
    answers = await log.append([write("r1", 1, DELTA, DELTA), write("r1", 3, STAGE_DONE, publisher_seq=2)])
    assert answers == [Written("committed", 2, 3, 0), Written("committed", 4, 4, 0)]
    assert [event.type for event in await log.read("r1", after=1)] == ["turn.delta", "turn.delta", "stage.completed"]


async def test_nothing_to_append_is_no_error(log: Log) -> None:
    assert await log.append([]) == []


async def test_repeated_write_is_told_so_and_not_written_again(log: Log) -> None:
    await log.create(new())
    one = write("r1", 1)
    assert await log.append([one, one]) == [Written("committed", 2, 2, 0), Written("repeated", 0, 2, 0)]
    assert await log.append([one]) == [Written("repeated", 0, 2, 0)]
    assert await seqs(log) == [1, 2]


async def test_lost_reply_is_found_by_the_publishers_number(log: Log) -> None:
    run = await owned(log)
    lost = write("r1", 1, epoch=run.epoch, publisher="agent")
    await log.append([lost])
    await log.append([write("r1", 2, publisher="door")])
    assert await log.publisher_seq("r1", "agent") == 1
    assert await outcome(log, lost) == "repeated"


async def test_repeat_is_not_committed_under_a_newer_expectation(log: Log) -> None:
    await log.create(new())
    await log.append([write("r1", 1)])
    assert await outcome(log, write("r1", 2)) == "repeated"


async def test_gap_in_a_publishers_numbers_is_a_conflict(log: Log) -> None:
    await log.create(new())
    assert await outcome(log, write("r1", 1, publisher_seq=2)) == "conflict"
    assert await outcome(log, write("r1", 1, publisher_seq=0)) == "conflict"
    assert await log.publisher_seq("r1", "p") == 0


async def test_publishers_are_numbered_apart_per_run(log: Log) -> None:
    await log.create(new("r1"))
    await log.create(new("r2"))
    answers = await log.append([write("r1", 1), write("r2", 1), write("r1", 2, publisher="q")])
    assert [answer.outcome for answer in answers] == ["committed"] * 3
    assert [await log.publisher_seq(*pair) for pair in (("r1", "p"), ("r2", "p"), ("r1", "q"))] == [1, 1, 1]


@pytest.mark.parametrize("expected", [0, 2, 99])
@pytest.mark.parametrize("from_door", [True, False])
async def test_unexpected_last_number_is_a_conflict(log: Log, expected: int, from_door: bool) -> None:
    run = await owned(log)
    one = write("r1", expected, epoch=None if from_door else run.epoch)
    assert await log.append([one]) == [Written("conflict", 0, 1, 1)]
    assert await seqs(log) == [1]


async def test_write_to_an_unknown_run_is_told_so(log: Log) -> None:
    assert await log.append([write("r9", 0)]) == [Written("unknown_run")]
    assert await log.get("r9") is None


async def test_refused_writes_fail_alone(log: Log) -> None:
    run = await owned(log, "r1")
    await log.create(new("r2"))
    await log.create(new("r3"))
    answers = await log.append([
        write("r2", 1),
        write("r1", 1, epoch=run.epoch + 1),
        write("r9", 0),
        write("r3", 7),
        write("r3", 1),
    ])  # fmt: skip
    assert [a.outcome for a in answers] == ["committed", "fenced", "unknown_run", "conflict", "committed"]
    assert [await seqs(log, run_id) for run_id in ("r1", "r2", "r3")] == [[1], [1, 2], [1, 2]]


async def test_write_after_a_refused_one_of_the_same_run_is_refused_too(log: Log) -> None:
    await log.create(new())
    answers = await log.append([write("r1", 5), write("r1", 6, publisher_seq=2)])
    assert [answer.outcome for answer in answers] == ["conflict", "conflict"]


# --- the fence -------------------------------------------------------------------------------------------------------


async def test_stale_owner_is_fenced_after_a_takeover(log: Log, clock: ManualClock) -> None:
    old = await owned(log, executor="e1")
    clock.advance(10.0)
    await log.renew("e2", ttl_s=10.0)
    (taken,) = await log.claim("r1", executor="e2")
    assert await log.append([write("r1", 1, epoch=old.epoch)]) == [Written("fenced", 0, 1, taken.epoch)]
    assert await outcome(log, write("r1", 1, epoch=taken.epoch)) == "committed"
    assert [event.epoch for event in await log.read("r1", after=0)] == [0, 2]


async def test_stale_owner_is_fenced_even_when_it_repeats_itself(log: Log) -> None:
    old = await owned(log, executor="e1")
    one = write("r1", 1, epoch=old.epoch)
    await log.append([one])
    await log.release("e1")
    await log.renew("e2", ttl_s=10.0)
    await log.claim("r1", executor="e2")
    assert await outcome(log, one) == "fenced"


@pytest.mark.parametrize("epoch", [0, 2, -1])
async def test_epoch_nobody_was_given_is_fenced(log: Log, epoch: int) -> None:
    await owned(log)
    assert await outcome(log, write("r1", 1, epoch=epoch)) == "fenced"


async def test_run_nobody_claimed_is_written_to_by_the_door_alone(log: Log) -> None:
    await log.create(new())
    assert await outcome(log, write("r1", 1, epoch=0)) == "fenced"
    assert await outcome(log, write("r1", 1, epoch=None)) == "committed"


async def test_door_writes_carry_the_runs_epoch(log: Log) -> None:
    await owned(log)
    await log.append([write("r1", 1)])
    assert [event.epoch for event in await log.read("r1", after=1)] == [1]


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "expected"),
    [(COMPLETED, "completed"), (FAILED, "failed"), (CANCELLED, "cancelled"), (EXPIRED, "expired")],
)
async def test_terminal_record_ends_the_run_with_its_status(log: Log, last: Record, expected: str) -> None:
    run = await owned(log)
    assert await outcome(log, write("r1", 1, DELTA, last, epoch=run.epoch)) == "committed"
    assert await status(log) == expected


@pytest.mark.parametrize("record", [DELTA, COMPLETED, CANCELLED])
@pytest.mark.parametrize("from_door", [True, False])
async def test_nothing_follows_the_end(log: Log, record: Record, from_door: bool) -> None:
    run = await owned(log)
    epoch = None if from_door else run.epoch
    await log.append([write("r1", 1, FAILED, epoch=epoch)])
    late = write("r1", 2, record, epoch=epoch, publisher_seq=2)
    assert await log.append([late]) == [Written("ended", 0, 2, 1)]
    assert (await seqs(log), await status(log)) == ([1, 2], "failed")


async def test_two_ends_in_one_append_leave_the_first(log: Log) -> None:
    run = await owned(log)
    answers = await log.append(
        [write("r1", 1, COMPLETED, epoch=run.epoch), write("r1", 2, CANCELLED, publisher="door")]
    )
    assert [answer.outcome for answer in answers] == ["committed", "ended"]
    assert await status(log) == "completed"


async def test_terminal_record_before_others_is_refused_whole(log: Log) -> None:
    await log.create(new())
    assert await outcome(log, write("r1", 1, CANCELLED, DELTA)) == "ended"
    assert (await seqs(log), await status(log)) == ([1], "accepted")


async def test_repeated_end_is_told_as_a_repeat(log: Log) -> None:
    run = await owned(log)
    last = write("r1", 1, COMPLETED, epoch=run.epoch)
    await log.append([last])
    assert await outcome(log, last) == "repeated"


# --- cancelling ------------------------------------------------------------------------------------------------------


async def test_cancel_request_is_kept_and_told_to_the_owner(log: Log) -> None:
    await owned(log, "r1")
    await owned(log, "r2")
    await log.append([write("r2", 1, STARTED, cancel=True)])
    run = await log.get("r2")
    assert run is not None
    assert (run.cancel_requested, run.status) == (True, "running")
    assert (await log.renew("e1", ttl_s=10.0)).cancel_requested == ("r2",)
    await log.append([write("r2", 2, CANCELLED, publisher_seq=2)])
    assert (await log.renew("e1", ttl_s=10.0)).cancel_requested == ()


async def test_completion_loses_against_an_earlier_cancel(log: Log) -> None:
    run = await owned(log)
    await log.append([write("r1", 1, STARTED, publisher="door", cancel=True)])
    one = write("r1", 2, COMPLETED, epoch=run.epoch)
    assert await log.append([one]) == [Written("cancel_requested", 0, 2, 1)]
    assert (await status(log), await log.publisher_seq("r1", "p")) == ("running", 0)
    assert await outcome(log, write("r1", 2, CANCELLED, epoch=run.epoch)) == "committed"


async def test_completion_in_the_same_append_loses_too(log: Log) -> None:
    run = await owned(log)
    cancel = write("r1", 1, STARTED, publisher="door", cancel=True)
    answers = await log.append([cancel, write("r1", 2, COMPLETED, epoch=run.epoch)])
    assert [answer.outcome for answer in answers] == ["committed", "cancel_requested"]


async def test_cancel_loses_against_an_earlier_completion(log: Log) -> None:
    run = await owned(log)
    await log.append([write("r1", 1, COMPLETED, epoch=run.epoch)])
    assert await outcome(log, write("r1", 2, STARTED, publisher="door", cancel=True)) == "ended"
    after = await log.get("r1")
    assert after is not None
    assert not after.cancel_requested


async def test_cancelled_run_may_still_fail_and_go_on_until_then(log: Log) -> None:
    run = await owned(log)
    await log.append([write("r1", 1, STARTED, publisher="door", cancel=True)])
    assert await outcome(log, write("r1", 2, DELTA, epoch=run.epoch)) == "committed"
    assert await outcome(log, write("r1", 3, FAILED, epoch=run.epoch, publisher_seq=2)) == "committed"


async def test_refused_cancel_leaves_no_request(log: Log) -> None:
    await log.create(new())
    assert await outcome(log, write("r1", 9, STARTED, cancel=True)) == "conflict"
    run = await log.get("r1")
    assert run is not None
    assert not run.cancel_requested


# --- owners ----------------------------------------------------------------------------------------------------------


async def test_claim_makes_the_owner_and_a_new_epoch(log: Log) -> None:
    run = await owned(log)
    assert (run.status, run.epoch, run.owner, run.takeovers) == ("running", 1, "e1", 0)
    assert await log.get("r1") == run


async def test_executor_without_a_lease_claims_nothing(log: Log, clock: ManualClock) -> None:
    await log.create(new())
    assert await log.claim("r1", executor="e1") == []
    await log.renew("e1", ttl_s=10.0)
    clock.advance(10.0)
    assert await log.claim("r1", executor="e1") == []
    assert await status(log) == "accepted"


async def test_run_has_one_owner_while_its_lease_lasts(log: Log, clock: ManualClock) -> None:
    first = await owned(log, executor="e1")
    await log.append([write("r1", 1, epoch=first.epoch)])
    await log.renew("e2", ttl_s=60.0)
    clock.advance(9.9)
    assert await log.claim("r1", executor="e2") == []
    assert await log.claim("r1", executor="e1") == []
    clock.advance(0.1)
    (taken,) = await log.claim("r1", executor="e2")
    assert (taken.owner, taken.epoch, taken.takeovers) == ("e2", 2, 1)


async def test_renewed_lease_keeps_the_run(log: Log, clock: ManualClock) -> None:
    await owned(log, executor="e1")
    await log.renew("e2", ttl_s=60.0)
    for _ in range(5):
        clock.advance(9.0)
        assert (await log.renew("e1", ttl_s=10.0)).alive
    assert await log.claim(None, executor="e2") == []


async def test_lease_that_ran_out_never_comes_back(log: Log, clock: ManualClock) -> None:
    await log.renew("e1", ttl_s=10.0)
    clock.advance(10.0)
    assert not (await log.renew("e1", ttl_s=10.0)).alive
    clock.advance(-5.0)
    assert not (await log.renew("e1", ttl_s=10.0)).alive
    assert (await log.renew("e1-again", ttl_s=10.0)).alive


async def test_released_executors_runs_are_free_at_once(log: Log) -> None:
    await owned(log, executor="e1")
    await log.renew("e2", ttl_s=10.0)
    await log.release("e1")
    assert [run.run_id for run in await log.claim(None, executor="e2")] == ["r1"]
    assert not (await log.renew("e1", ttl_s=10.0)).alive


async def test_executor_released_before_its_first_renewal_never_lives(log: Log) -> None:
    await log.release("e1")
    assert not (await log.renew("e1", ttl_s=10.0)).alive


async def test_accepted_run_is_handed_out_before_anyone_may_take_it(log: Log, clock: ManualClock) -> None:
    await log.create(new())
    await log.renew("e1", ttl_s=10.0)
    assert await log.claim(None, executor="e1") == []
    clock.advance(1.0)
    assert await log.claim(None, executor="e1") == []
    clock.advance(0.5)
    assert [run.takeovers for run in await log.claim(None, executor="e1")] == [0]


async def test_claim_takes_the_oldest_up_to_the_limit(log: Log, clock: ManualClock) -> None:
    for run_id in ("c", "a", "b"):
        await log.create(new(run_id))
    clock.advance(2.0)
    await log.renew("e1", ttl_s=10.0)
    assert await log.claim(None, executor="e1", limit=0) == []
    assert [run.run_id for run in await log.claim(None, executor="e1", limit=2)] == ["c", "a"]
    assert [run.run_id for run in await log.claim(None, executor="e1", limit=2)] == ["b"]


async def test_ended_and_unknown_runs_are_not_claimed(log: Log, clock: ManualClock) -> None:
    await owned(log, executor="e1")
    await log.append([write("r1", 1, FAILED)])
    await log.release("e1")
    await log.renew("e2", ttl_s=10.0)
    clock.advance(2.0)
    assert [await log.claim(run_id, executor="e2") for run_id in ("r1", "r9", None)] == [[], [], []]


# --- handing over, losing, waiting -----------------------------------------------------------------------------------


async def test_handed_over_run_is_nobodys_and_its_next_claim_is_no_takeover(log: Log) -> None:
    await owned(log, executor="e1")
    await log.renew("e2", ttl_s=10.0)
    await log.release("e1")
    between = await log.get("r1")
    (taken,) = await log.claim(None, executor="e2")
    assert between is not None and between.owner is None
    assert (taken.owner, taken.epoch, taken.takeovers) == ("e2", 2, 0)


async def test_owner_that_was_lost_before_it_began_does_not_count(log: Log) -> None:
    await owned(log, executor="e1")
    for number in (2, 3):
        await log.renew(f"e{number}", ttl_s=10.0)
        await log.release(f"e{number - 1}", lost=True)
        (taken,) = await log.claim("r1", executor=f"e{number}")
        assert (taken.epoch, taken.takeovers) == (number, 0)


async def test_claim_from_an_executor_said_to_be_lost_is_a_takeover(log: Log) -> None:
    first = await owned(log, executor="e1")
    await log.append([write("r1", 1, epoch=first.epoch)])
    await log.renew("e2", ttl_s=10.0)
    await log.release("e1", lost=True)
    (taken,) = await log.claim(None, executor="e2")
    assert (taken.owner, taken.takeovers) == ("e2", 1)
    assert not (await log.renew("e1", ttl_s=10.0)).alive


async def test_takeovers_count_from_the_last_progress(log: Log) -> None:
    first = await owned(log, executor="e0")
    await log.append([write("r1", 1, epoch=first.epoch, publisher="p0")])
    after = 2
    for number, progress in enumerate((False, False, True, False), start=1):
        await log.release(f"e{number - 1}", lost=True)
        await log.renew(f"e{number}", ttl_s=10.0)
        (run,) = await log.claim("r1", executor=f"e{number}")
        records = (DELTA, TURN_DONE if progress else DELTA)
        await log.append([write("r1", after, *records, epoch=run.epoch, publisher=f"p{number}")])
        after += 2
        now = await log.get("r1")
        assert now is not None
        assert (run.takeovers, now.takeovers) == [(1, 1), (2, 2), (3, 0), (1, 1)][number - 1]


async def test_executor_owns_its_unfinished_runs_alone(log: Log) -> None:
    for run_id in ("r1", "r2", "r3"):
        await owned(log, run_id, executor="e1")
    await owned(log, "r4", executor="e2")
    await log.append([write("r2", 1, FAILED)])
    assert [run.run_id for run in await log.owned("e1")] == ["r1", "r3"]
    assert await log.owned("e9") == []


async def parked(log: Log, wake_at: float | None) -> Run:
    run = await owned(log, executor="e1")
    assert await outcome(log, write("r1", 1, WAITING, epoch=run.epoch, wake_at=wake_at)) == "committed"
    return run


async def test_waiting_run_is_nobodys_until_it_is_due(log: Log, clock: ManualClock) -> None:
    due = clock.now() + 30.0
    await parked(log, due)
    waiting = await log.get("r1")
    assert waiting is not None
    assert (waiting.status, waiting.owner, waiting.wake_at, waiting.terminal) == ("waiting", None, due, False)
    clock.advance(29.0)
    await log.renew("e2", ttl_s=10.0)
    assert await log.claim(None, executor="e2") == await log.claim("r1", executor="e2") == []
    clock.advance(1.0)
    (taken,) = await log.claim(None, executor="e2")
    assert (taken.status, taken.epoch, taken.takeovers, taken.wake_at) == ("running", 2, 0, None)


async def test_waiting_run_takes_nothing_from_who_owned_it(log: Log) -> None:
    run = await parked(log, None)
    late = write("r1", 2, epoch=run.epoch, publisher="late")
    assert await outcome(log, late) == "fenced"
    assert await outcome(log, write("r1", 2, publisher="door")) == "committed"


async def test_cancel_request_wakes_a_waiting_run(log: Log) -> None:
    await parked(log, None)
    await log.renew("e2", ttl_s=10.0)
    assert await log.claim(None, executor="e2") == []
    await log.append([write("r1", 2, publisher="door", cancel=True)])
    assert [run.cancel_requested for run in await log.claim(None, executor="e2")] == [True]


async def test_what_a_person_says_wakes_a_waiting_run_and_only_that(log: Log) -> None:
    await parked(log, None)
    await log.renew("e2", ttl_s=10.0)
    await log.append([write("r1", 2, publisher="said", wake=True)])
    assert [run.status for run in await log.claim(None, executor="e2")] == ["running"]
    await log.append([write("r1", 3, publisher="said again", wake=True)])
    run = await log.get("r1")
    assert run is not None
    assert (run.status, run.owner, run.wake_at) == ("running", "e2", None)


async def test_waiting_run_keeps_its_time_when_the_door_writes(log: Log, clock: ManualClock) -> None:
    await parked(log, clock.now() + 5.0)
    await log.append([write("r1", 2, publisher="door")])
    clock.advance(5.0)
    await log.renew("e2", ttl_s=10.0)
    assert len(await log.claim(None, executor="e2")) == 1


# --- budgets ---------------------------------------------------------------------------------------------------------


def paying(reserve: int, spend: int = 0) -> Record:
    return STAGE_DONE._replace(money=Money(reserve, spend))


async def account(log: Log, run_id: str = "r1") -> tuple[int, int]:
    run = await log.get(run_id)
    assert run is not None
    return run.reserved, run.spent


async def test_reservation_within_the_budget_is_held_back_and_settled(log: Log, clock: ManualClock) -> None:
    run = await owned(log, budget=1000)
    assert await outcome(log, write("r1", 1, paying(1000), epoch=run.epoch)) == "committed"
    assert await account(log) == (1000, 0)
    done = write("r1", 2, paying(-1000, 250), epoch=run.epoch, publisher_seq=2)
    assert await outcome(log, done) == "committed"
    assert await account(log) == (0, 250) == await log.spent("t1", run.day)
    assert run.day == int(clock.now() // 86400)


async def test_reservation_over_the_budget_is_refused_whole(log: Log) -> None:
    run = await owned(log, budget=1000)
    await log.append([write("r1", 1, paying(600), epoch=run.epoch)])
    over = write("r1", 2, DELTA, paying(401), epoch=run.epoch, publisher_seq=2)
    assert await outcome(log, over) == "over_budget"
    assert (await seqs(log), await account(log)) == ([1, 2], (600, 0))
    assert await outcome(log, write("r1", 2, paying(400), epoch=run.epoch, publisher_seq=2)) == "committed"


async def test_two_reservations_of_one_batch_do_not_both_fit(log: Log) -> None:
    run = await owned(log, budget=1000)
    first = write("r1", 1, paying(600), epoch=run.epoch)
    second = write("r1", 2, paying(600), epoch=run.epoch, publisher="q")
    assert [a.outcome for a in await log.append([first, second])] == ["committed", "over_budget"]


async def test_repeated_reservation_is_held_back_once(log: Log) -> None:
    run = await owned(log, budget=1000)
    one = write("r1", 1, paying(600), epoch=run.epoch)
    assert [a.outcome for a in await log.append([one, one])] == ["committed", "repeated"]
    assert await account(log) == (600, 0)


async def test_runs_of_one_day_share_the_tenants_budget(log: Log) -> None:
    one = await owned(log, "r1", day_budget=1000)
    two = await owned(log, "r2", day_budget=1000)
    other = await owned(log, "r3", tenant_id="t2", day_budget=1000)
    assert await outcome(log, write("r1", 1, paying(-0, 700), epoch=one.epoch)) == "committed"
    assert await outcome(log, write("r2", 1, paying(400), epoch=two.epoch)) == "over_budget"
    assert await outcome(log, write("r2", 1, paying(300), epoch=two.epoch)) == "committed"
    assert await outcome(log, write("r3", 1, paying(1000), epoch=other.epoch)) == "committed"
    assert (await log.spent("t1", one.day), await log.spent("t2", one.day)) == ((300, 700), (1000, 0))


async def test_run_of_another_day_counts_for_the_day_it_was_created(log: Log, clock: ManualClock) -> None:
    old = await owned(log, "r1", day_budget=1000)
    clock.advance(86400.0)
    young = await owned(log, "r2", executor="e2", day_budget=1000)
    await log.append([write("r1", 1, paying(900), epoch=old.epoch)])
    assert await outcome(log, write("r2", 1, paying(900), epoch=young.epoch)) == "committed"
    assert (await log.spent("t1", old.day), await log.spent("t1", young.day)) == ((900, 0), (900, 0))


async def test_what_is_held_back_at_a_runs_end_counts_as_spent(log: Log) -> None:
    run = await owned(log, budget=1000)
    await log.append([write("r1", 1, paying(600), epoch=run.epoch)])
    await log.append([write("r1", 2, FAILED, epoch=run.epoch, publisher_seq=2)])
    assert await account(log) == (0, 600) == await log.spent("t1", run.day)


async def test_run_without_a_budget_is_counted_and_never_refused(log: Log) -> None:
    run = await owned(log)
    assert await outcome(log, write("r1", 1, paying(10**12), epoch=run.epoch)) == "committed"
    assert await account(log) == (10**12, 0)


async def test_spending_is_never_refused_once_it_has_happened(log: Log) -> None:
    run = await owned(log, budget=1000)
    await log.append([write("r1", 1, paying(1000), epoch=run.epoch)])
    assert await outcome(log, write("r1", 2, paying(-1000, 1200), epoch=run.epoch, publisher_seq=2)) == "committed"
    assert await account(log) == (0, 1200)


# --- the store itself ------------------------------------------------------------------------------------------------


async def test_closed_log_is_unavailable_and_knows_all_once_open_again(log: Log) -> None:
    run = await owned(log)
    await log.close()
    await log.close()
    with pytest.raises(StoreUnavailable):
        await log.append([write("r1", 1)])
    with pytest.raises(StoreUnavailable):
        await log.read("r1", after=0)
    await log.open()
    assert await log.get("r1") == run


# --- conversations ---------------------------------------------------------------------------------------------------


def titled(title: str) -> Record:
    return Record("title.set", "object", None, b'{"data":{"title":"%s"}}' % title.encode())


async def ended(log: Log, run_id: str, conversation_id: str | None, *, spend: int = 0, **changes: Any) -> Run:
    """A run of that conversation which has ended, after spending ``spend``."""
    await log.create(new(run_id, conversation_id=conversation_id, **changes))
    done = TURN_DONE._replace(money=Money(0, spend) if spend else None)
    (answer,) = await log.append([write(run_id, 1, done, FAILED)])
    assert answer.outcome == "committed"
    run = await log.get(run_id)
    assert run is not None
    return run


async def test_a_run_begins_its_conversation(log: Log, clock: ManualClock) -> None:
    begun = clock.now()
    await ended(log, "r1", "c1", spend=5)
    clock.advance(10)
    await ended(log, "r2", "c1", spend=7, question="how?")
    found = await log.conversation("t1", "c1")
    assert found is not None
    assert (found.tenant_id, found.conversation_id, found.question, found.title) == ("t1", "c1", "why?", None)
    assert (found.created_at, found.updated_at) == (begun, begun + 10)
    assert (found.runs, found.reserved, found.spent) == (2, 0, 12)
    assert await log.conversation("t2", "c1") is None
    assert await log.conversation("t1", "c2") is None


async def test_conversations_with_the_newest_runs_come_first_page_by_page(log: Log) -> None:
    for run_id, conversation_id in (("r1", "a"), ("r2", "b"), ("r3", "c"), ("r4", "a"), ("r5", None)):
        await ended(log, run_id, conversation_id)
    await ended(log, "r6", "d", tenant_id="t2")
    first = await log.conversations(tenant_id="t1", limit=2)
    assert [one.conversation_id for one in first] == ["a", "c"]
    rest = await log.conversations(tenant_id="t1", limit=2, before=first[-1].place)
    assert [one.conversation_id for one in rest] == ["b"]
    assert await log.conversations(tenant_id="t1", before=rest[-1].place) == []
    assert await log.conversations(tenant_id="t1", limit=-1) == []
    assert first[0] == await log.conversation("t1", "a")


async def test_runs_of_a_conversation_are_its_newest_first_page_by_page(log: Log) -> None:
    for n, conversation_id in enumerate(("a", "b", "a", "a", None), start=1):
        await ended(log, f"r{n}", conversation_id)
    runs = await log.runs_of("t1", "a", limit=2)
    assert [run.run_id for run in runs] == ["r4", "r3"]
    assert runs[0] == await log.get("r4")
    assert [run.run_id for run in await log.runs_of("t1", "a", before="r3")] == ["r1"]
    assert await log.runs_of("t1", "a", before="r9") == await log.runs_of("t1", "a", before="r2") == []
    assert await log.runs_of("t2", "a") == await log.runs_of("t1", "z") == await log.runs_of("t1", "a", limit=-1) == []


async def title_of(log: Log) -> str | None:
    found = await log.conversation("t1", "c1")
    assert found is not None
    return found.title


async def test_the_first_title_of_any_of_its_runs_is_the_conversations(log: Log) -> None:
    await ended(log, "r1", "c1")
    assert await title_of(log) is None
    run = await owned(log, "r2", conversation_id="c1")
    refused = write("r2", 1, titled("Too late"), epoch=run.epoch + 1)
    assert [w.outcome for w in await log.append([refused])] == ["fenced"]
    assert await title_of(log) is None
    await log.append([write("r2", 1, titled("The one"), epoch=run.epoch)])
    await log.append([write("r2", 2, titled("Another"), FAILED, epoch=run.epoch, publisher_seq=2)])
    assert await title_of(log) == "The one"
    await log.create(new("r3", conversation_id="c1", records=(ACCEPTED, titled("Third"))))
    assert await title_of(log) == "The one"


async def test_a_title_a_run_begins_with_is_the_conversations(log: Log) -> None:
    await log.create(new("r1", conversation_id="c1", records=(ACCEPTED, titled("Carried over"))))
    assert await title_of(log) == "Carried over"


async def test_titles_of_two_runs_in_one_append_go_to_the_conversation_of_each(log: Log) -> None:
    await log.create(new("r1", conversation_id="c1"))
    await log.create(new("r2", conversation_id="c2"))
    await log.create(new("r3"))
    await log.append([write("r1", 1, titled("One")), write("r2", 1, titled("Two")), write("r3", 1, titled("None's"))])
    assert [one.title for one in await log.conversations(tenant_id="t1")] == ["Two", "One"]


async def test_a_run_that_follows_another_comes_right_after_it(log: Log) -> None:
    await ended(log, "r1", "c1", follows="")
    for follows in ("", "r0"):
        with pytest.raises(Conflict) as refused:
            await log.create(new("r2", conversation_id="c1", follows=follows, idempotency_key="k"))
        assert refused.value.reason == "conversation_moved"
        assert await log.get("r2") is None
    with pytest.raises(Conflict):
        await log.create(new("r2", conversation_id="c2", follows="r1"))
    assert await log.conversation("t1", "c2") is None
    assert not (await log.create(new("r2", conversation_id="c1", follows="r1", idempotency_key="k"))).existing


async def test_nothing_but_what_it_cost_is_left_of_a_deleted_conversation(log: Log, clock: ManualClock) -> None:
    await ended(log, "r1", "c1", spend=5, idempotency_key="k", idempotency_hash="h")
    await ended(log, "r2", "c1", spend=7)
    await ended(log, "r3", "c2", spend=1)
    day = int(clock.now() // 86400)
    assert await log.spent("t1", day) == (0, 13)
    assert sorted(await log.delete_conversation("t1", "c1")) == ["r1", "r2"]
    assert await log.conversation("t1", "c1") is None
    assert await log.runs_of("t1", "c1") == []
    assert [one.conversation_id for one in await log.conversations(tenant_id="t1")] == ["c2"]
    assert [run.run_id for run in await log.recent(tenant_id="t1")] == ["r3"]
    assert (await log.get("r1"), await log.read("r1", after=0), await log.size("r2")) == (None, [], 0)
    assert await log.heads(["r1", "r2", "r3"]) == {"r3": 3}
    assert await log.publisher_seq("r1", "p") == 0
    assert await outcome(log, write("r1", 3, DELTA, publisher_seq=2)) == "unknown_run"
    assert await log.spent("t1", day) == (0, 13)


async def test_ids_of_what_was_deleted_are_not_used_again(log: Log) -> None:
    await ended(log, "r1", "c1", idempotency_key="k", idempotency_hash="h")
    await log.delete_conversation("t1", "c1")
    for changes, reason in (({"conversation_id": "c1"}, "conversation_deleted"), ({"run_id": "r1"}, "run_exists")):
        with pytest.raises(Conflict) as refused:
            await log.create(new(**{"run_id": "r2", "idempotency_key": "k", "idempotency_hash": "h2", **changes}))  # type: ignore[arg-type]
        assert refused.value.reason == reason
    assert await log.get("r2") is None
    assert not (await log.create(new("r2", conversation_id="c2", idempotency_key="k"))).existing
    assert not (await log.create(new("r3", tenant_id="t2", conversation_id="c1"))).existing


async def test_a_busy_conversation_is_not_deleted(log: Log) -> None:
    await ended(log, "r1", "c1")
    await log.create(new("r2", conversation_id="c1"))
    with pytest.raises(Conflict) as refused:
        await log.delete_conversation("t1", "c1")
    assert refused.value.reason == "conversation_busy"
    assert await seqs(log, "r1") == [1, 2, 3]
    assert await outcome(log, write("r2", 1, COMPLETED)) == "committed"


async def test_what_is_not_there_cannot_be_deleted(log: Log) -> None:
    await ended(log, "r1", "c1")
    for tenant_id, conversation_id in (("t2", "c1"), ("t1", "c2")):
        with pytest.raises(NotFound):
            await log.delete_conversation(tenant_id, conversation_id)
    await log.delete_conversation("t1", "c1")
    with pytest.raises(NotFound):
        await log.delete_conversation("t1", "c1")


# --- a tenant's share -----------------------------------------------------------------------------------------------


async def refused_share(log: Log, one: NewRun) -> OverQuota:
    with pytest.raises(OverQuota) as refused:
        await log.create(one)
    return refused.value


async def test_tenant_has_so_many_runs_in_flight_and_no_more(log: Log) -> None:
    await log.create(new("r1", most_runs=2))
    await log.create(new("r2", most_runs=2, conversation_id="c"))
    refused = await refused_share(log, new("r3", most_runs=2, conversation_id="d"))
    assert (refused.reason, await log.get("r3")) == ("too_many_runs", None)
    await log.create(new("r4", most_runs=1, tenant_id="t2"))
    await log.append([write("r1", 1, FAILED)])
    await log.create(new("r3", most_runs=2, conversation_id="d"))


async def test_runs_that_wait_for_people_are_not_in_flight(log: Log) -> None:
    run = await owned(log, "r1", most_runs=1)
    await refused_share(log, new("r2", most_runs=1))
    await log.append([write("r1", 1, WAITING, epoch=run.epoch)])
    await log.create(new("r2", most_runs=1))


async def test_run_that_a_key_names_is_given_whatever_the_quota(log: Log, clock: ManualClock) -> None:
    await log.create(new("r1", most_runs=1, idempotency_key="k", idempotency_hash="h"))
    again = await log.create(new("r2", most_runs=1, idempotency_key="k", idempotency_hash="h"))
    assert (again.run.run_id, again.existing) == ("r1", True)
    clock.advance(24 * 3600.0)
    await refused_share(log, new("r2", most_runs=1, idempotency_key="k", idempotency_hash="h"))


async def test_spent_day_is_told_when_it_begins_anew(log: Log, clock: ManualClock) -> None:
    run = await owned(log, "r1", day_budget=1_000_000)
    almost = Record("turn.completed", "object", "s1", b"{}", Money(0, 989_000))
    await log.append([write("r1", 1, almost, epoch=run.epoch)])
    await log.create(new("r2", day_budget=1_000_000))
    rest = Record("turn.completed", "object", "s1", b"{}", Money(0, 2_000))
    await log.append([write("r1", 2, rest, epoch=run.epoch, publisher_seq=2)])
    refused = await refused_share(log, new("r3", day_budget=1_000_000, conversation_id="c"))
    assert refused.reason == "budget_exhausted"
    assert refused.retry_after_s == pytest.approx(86400 - clock.now() % 86400)
    await log.create(new("r4", day_budget=2_000_000))
    await log.create(new("r5", day_budget=1_000_000, tenant_id="t2"))
    clock.advance(refused.retry_after_s)
    await log.create(new("r3", day_budget=1_000_000, conversation_id="c"))


async def test_runs_created_at_once_stay_within_the_quota(log: Log) -> None:
    answers = await asyncio.gather(
        *[log.create(new(f"r{n}", most_runs=3, conversation_id=f"c{n}")) for n in range(12)], return_exceptions=True
    )
    assert sum(isinstance(answer, Created) for answer in answers) == 3
    assert all(isinstance(answer, Created | OverQuota) for answer in answers)
