"""Runs whose executor, hub or process is lost on the way: another goes on from the log, and nothing completed is repeated."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.errors import StoreUnavailable
from runtime.events.catalog import StageCompleted, TurnDelta
from runtime.events.codec import encode
from runtime.events.envelope import Draft
from runtime.log.wire import Append
from tests.checker import attempts
from tests.executor.test_executor import script_with
from tests.rig import Rig, running, types
from tests.virtual_time import virtual_time

SLOW_ANALYSIS = '[[turn]]\nagent = "analysis"\nrate = 2\ntext = "one two three four five six seven eight nine ten"'
SLOW_PLANNER = (
    '[[turn]]\nagent = "planner"\nrate = 2\n[turn.output]\n'
    'todos = [{ id = "write", title = "Write", agent = "writing", depends_on = [] }]'
)


async def lost_in(rig: Rig, moment: tuple[str, str | None], *, run_id: str = "r1") -> None:
    """Lose the executor's process when ``moment`` has come, and put another in its place."""
    await rig.when(run_id, lambda seen: moment in seen)
    await rig.lose_process(rig.executors[-1])
    await rig.put_process()


@virtual_time
async def test_a_lost_executors_run_is_taken_over_and_completed_work_is_not_repeated() -> None:
    async with running(script_with(before=SLOW_ANALYSIS)) as rig:
        await rig.ask()
        await lost_in(rig, ("turn.delta", "weigh"))
        log = await rig.ended()
    assert log[-1].event.type == "run.completed"
    assert {e.epoch for e in log} == {0, 1, 2}
    (withdrawn,) = [e for e in log if e.event.type == "turn.superseded"]
    assert (withdrawn.stage, withdrawn.agent, withdrawn.turn, withdrawn.attempt) == ("weigh", "analysis", 1, 1)
    assert withdrawn.epoch == 2
    assert rig.model.answered["research", 1] == rig.model.begun["research", 1] == 1
    assert rig.model.begun["analysis", 1] == 2
    assert rig.model.begun["planner", 1] == 1
    dispatched = [(e.stage, e.event.dispatch) for e in log if e.event.type == "stage.dispatched"]
    assert dispatched == [("find", 1), ("weigh", 1), ("weigh", 2), ("write", 1)]
    assert types(log).count("run.completed") == 1


@virtual_time
async def test_a_takeover_comes_within_the_lease_and_a_scan() -> None:
    async with running(script_with(before=SLOW_ANALYSIS), ttl_s=10.0) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        await rig.put_process()
        lost = rig.clock.now()
        await rig.lose_process(rig.executors[0])
        log = await rig.ended()
    taken = next(e.at for e in log if e.event.type == "run.started" and e.epoch == 2)
    assert taken - lost <= 12.5


@virtual_time
async def test_an_executor_that_stops_in_order_hands_over_at_once() -> None:
    async with running(script_with(before=SLOW_ANALYSIS)) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        await rig.put_process()
        stopped = rig.clock.now()
        await rig.executors[0].stop()
        log = await rig.ended()
    taken = next(e.at for e in log if e.event.type == "run.started" and e.epoch == 2)
    assert taken - stopped <= 3.0
    assert log[-1].event.type == "run.completed"


@virtual_time
async def test_a_run_that_is_let_go_of_leaves_no_task_behind() -> None:
    async with running(script_with(before=SLOW_ANALYSIS)) as rig:
        before = asyncio.all_tasks()
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        await rig.executors[0].stop()
        await asyncio.sleep(1.0)
        left = [task for task in asyncio.all_tasks() - before if "Event.wait" in repr(task.get_coro())]
        assert left == []


@virtual_time
async def test_an_executor_that_drains_ends_its_runs_and_takes_no_more() -> None:
    async with running(script_with(before=SLOW_ANALYSIS)) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        stopping = asyncio.create_task(rig.executors[0].stop(drain_s=60.0))
        await asyncio.sleep(0.1)
        await rig.ask("r2", begin=False)
        assert not await rig.executors[0].begin("r2")
        await stopping
        log = await rig.events()
        late = await rig.portal.get("r2")
    assert (log[-1].type, log[-1].epoch) == ("run.completed", 1)
    assert late is not None and late.status == "accepted"


@virtual_time
async def test_a_drain_that_takes_too_long_hands_the_run_over() -> None:
    async with running(script_with(before=SLOW_ANALYSIS)) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        await rig.executors[0].stop(drain_s=1.0)
        handed_over = await rig.portal.get("r1")
        assert handed_over is not None
        assert (handed_over.status, handed_over.owner) == ("running", None)
        await rig.put_process()
        log = await rig.ended()
    assert log[-1].event.type == "run.completed"
    assert "recovery.resumed" not in types(log), "a hand-over is no takeover"


@virtual_time
async def test_completed_planning_turns_are_not_repeated_after_a_takeover() -> None:
    async with running(script_with(before=SLOW_PLANNER)) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("guardrail.verdict", None) in seen and ("title.set", None) in seen)
        await lost_in(rig, ("guardrail.verdict", None))
        log = await rig.ended()
    assert log[-1].event.type == "run.completed"
    assert rig.model.begun["guardrail", 1] == rig.model.begun["titler", 1] == 1
    assert rig.model.begun["planner", 1] == 2
    assert attempts(log)[None, "planner", 1] == 2


@virtual_time
async def test_a_plan_answered_but_not_committed_is_not_asked_for_again() -> None:
    """The guardrail is slow: the planner's turn is in the log when the process is lost."""
    slow = '[[turn]]\nagent = "guardrail"\ndelay_s = 5\noutput = { allowed = true, category = "none", reason = "ok" }'
    async with running(script_with(before=slow)) as rig:
        await rig.ask()
        await asyncio.sleep(2.0)
        await lost_in(rig, ("turn.completed", None))
        log = await rig.ended()
    assert log[-1].event.type == "run.completed"
    assert rig.model.begun["planner", 1] == 1
    assert rig.model.begun["guardrail", 1] == 2


@virtual_time
async def test_a_run_that_loses_five_owners_is_poison_and_takes_no_neighbour_along() -> None:
    stuck = '[[turn]]\nagent = "analysis"\ndelay_s = 10000\ntext = "never"'
    async with running(script_with(before=stuck)) as rig:
        await rig.ask("poison", deadline_s=1e6)
        for epoch in range(1, 6):
            await lost_in(rig, ("turn.started", "weigh"), run_id="poison")
            await rig.when("poison", lambda _, e=epoch: rig.truth._runs["poison"].epoch > e)
            if epoch < 5:
                await rig.when("poison", lambda seen, e=epoch: seen.count(("stage.dispatched", "weigh")) > e)
        log = await rig.ended("poison")
        end: Any = log[-1].event
        assert (end.type, end.code, end.retryable) == ("run.failed", "poison", False)
        assert [o.stage for o in end.completed] == ["find"]
        assert [e.event.attempt for e in log if e.event.type == "recovery.resumed"] == [1, 2, 3, 4, 5]
        assert rig.model.begun["analysis", 1] == 5
        await rig.ask("neighbour", question="Another?")
        await rig.when("neighbour", lambda seen: ("turn.started", "weigh") in seen)
        assert len(await rig.events("poison")) == len(log)


@virtual_time
async def test_a_stale_executor_writes_nothing_and_starts_nothing_more() -> None:
    async with running(script_with(before=SLOW_ANALYSIS)) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        old = rig.executors[0]
        old._beat.cancel()  # frozen as far as its lease goes: its stages work on unaware
        await rig.truth.release(old.name)
        await rig.put_process()
        await rig.when("r1", lambda _: rig.truth._runs["r1"].epoch == 2)
        before = len(await rig.events())
        refused = await rig.portal.append(
            [Append("r1", "zombie", 1, 1, (encode(Draft(TurnDelta(text="stale")), "r1", 0.0),))]
        )
        assert refused[0].outcome == "fenced"
        log = await rig.ended()
        assert log[-1].event.type == "run.completed"
        assert all(e.epoch == 2 for e in log[before:])
        assert old._owned == {}, "it has noticed and let go"


@virtual_time
async def test_a_new_hub_goes_on_where_the_lost_one_stood_without_a_takeover() -> None:
    async with running(script_with(before=SLOW_ANALYSIS)) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        rig.lose_hub()
        await asyncio.sleep(3.0)
        await rig.put_hub()
        log = await rig.ended()
    assert log[-1].event.type == "run.completed"
    assert {e.epoch for e in log} == {0, 1}, "the lease outlived the hub"
    assert rig.model.begun["analysis", 1] == 1
    text = "".join(e.event.text for e in log if e.event.type == "turn.delta" and e.stage == "weigh")
    assert text.split() == ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


@virtual_time
@pytest.mark.parametrize("ttl_s", [10.0, 10.6])
@pytest.mark.parametrize("outage_s", [8.5, 9.5, 9.8, 30.0, 100.0])
async def test_an_outage_about_as_long_as_the_lease_leaves_no_run_behind(outage_s: float, ttl_s: float) -> None:
    """An executor that fenced itself and then still found its lease alive must not stay the owner of what it dropped."""
    async with running(script_with(before=SLOW_ANALYSIS.replace("rate = 2", "rate = 0.5")), ttl_s=ttl_s) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        rig.lose_hub()
        await asyncio.sleep(outage_s)
        await rig.put_hub()
        log = await rig.ended(within_s=60.0)
    assert log[-1].event.type == "run.completed"


@virtual_time
async def test_a_store_that_is_away_for_one_read_does_not_strand_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(script_with(before=SLOW_ANALYSIS)) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        real = rig.portal.read

        async def away(*args: Any, **options: Any) -> Any:
            raise StoreUnavailable("away")

        monkeypatch.setattr(rig.portal, "read", away)
        await asyncio.sleep(7.0)  # the stage ends meanwhile, and the driver cannot read the log
        monkeypatch.setattr(rig.portal, "read", real)
        log = await rig.ended(within_s=60.0)
    assert log[-1].event.type == "run.completed"


@virtual_time
async def test_a_claim_whose_answer_was_lost_is_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as rig:
        real = rig.portal.claim

        async def lossy(run_id: str | None, *, executor: str) -> Any:
            claimed = await real(run_id, executor=executor)
            if claimed:
                monkeypatch.setattr(rig.portal, "claim", real)
                raise StoreUnavailable("the answer was lost")
            return claimed

        monkeypatch.setattr(rig.portal, "claim", lossy)
        await rig.ask(begin=False)
        with pytest.raises(StoreUnavailable):
            await rig.executors[0].begin("r1")
        log = await rig.ended(within_s=60.0)
    assert log[-1].event.type == "run.completed"


@virtual_time
async def test_an_orchestrator_that_was_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running() as rig:
        orchestrator = rig.orchestrator
        real = orchestrator.plan

        async def away(request: Any) -> Any:
            monkeypatch.setattr(orchestrator, "plan", real)
            raise StoreUnavailable("no such actor just now")

        monkeypatch.setattr(orchestrator, "plan", away)
        await rig.ask()
        log = await rig.ended(within_s=60.0)
    assert log[-1].event.type == "run.completed"
    assert types(log).count("run.started") == 1


@virtual_time
async def test_an_accepted_run_nobody_was_told_of_is_found_by_the_scan() -> None:
    async with running() as rig:
        await rig.ask(begin=False)
        log = await rig.ended(within_s=10.0)
    assert log[-1].event.type == "run.completed"


@virtual_time
async def test_a_run_cancelled_while_nobody_owned_it_is_cancelled_by_the_next_owner() -> None:
    async with running(script_with(before=SLOW_ANALYSIS)) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        await rig.lose_process(rig.executors[0])
        await rig.portal.cancel("r1", "user")
        await rig.put_process()
        log = await rig.ended(within_s=30.0)
    assert log[-1].event.type == "run.cancelled"
    assert rig.model.begun["analysis", 1] == 1


@virtual_time
async def test_a_superseded_dispatch_cannot_write_even_to_a_new_hub() -> None:
    async with running(script_with(before=SLOW_ANALYSIS)) as rig:
        await rig.ask()
        await lost_in(rig, ("turn.delta", "weigh"))
        await rig.when("r1", lambda seen: seen.count(("stage.dispatched", "weigh")) == 2)
        rig.lose_hub()
        await rig.put_hub()
        done = StageCompleted(index=1, of=3, title="t", todo="weigh", output="stale", summary="", context="")
        record = encode(Draft(done, stage="weigh", agent="analysis"), "r1", 0.0)
        (answer,) = await rig.portal.append([Append("r1", "old", 1, 2, (record,), "weigh", 1, True)])
        assert answer.outcome == "superseded"
        await rig.ended()
