"""Runs that have to wait, that may not go on, and that are watched because they lost their owners again and again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.errors import Parked
from runtime.events.catalog import RunStarted
from runtime.events.codec import encode
from runtime.events.envelope import Draft
from runtime.executor.probation import PROBATION_AFTER, PROBATION_S
from runtime.log.log import Write
from runtime.tools.tool import tool
from tests.checker import check_run
from tests.executor.test_executor import PAIR, script_with
from tests.executor.test_leases import Deaf
from tests.rig import Rig, running, types
from tests.virtual_time import virtual_time

SLOW_ANALYSIS = '[[turn]]\nagent = "analysis"\nrate = 2\ntext = "one two three four five six seven eight nine ten"'


def parking(rig: Rig, name: str, wait_s: float, times: int = 1) -> None:
    """The agent's next calls end with a wish for a pause."""
    agent = Deaf(rig, name).agent
    left = times

    async def run(work, request):  # type: ignore[no-untyped-def]
        nonlocal left
        if left > 0:
            left -= 1
            raise Parked("the model asks for a long pause", wait_s)
        return await work(request)

    class Parking(Deaf):
        async def run_stage(self, request):  # type: ignore[no-untyped-def]
            return await run(agent.run_stage, request)

        async def run_planning(self, request):  # type: ignore[no-untyped-def]
            return await run(agent.run_planning, request)

    rig.agents[name] = agent
    Parking(rig, name)


# --- waiting ---------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_run_whose_model_wants_a_long_pause_is_given_up_and_goes_on_when_it_is_due() -> None:
    async with running() as rig:
        parking(rig, "analysis", 600.0)
        await rig.ask()
        await rig.when("r1", lambda seen: ("run.waiting", None) in seen)
        parked = await rig.portal.get("r1")
        assert parked is not None
        assert (parked.status, parked.owner) == ("waiting", None)
        await asyncio.sleep(5.0)
        assert rig.executors[0].statistics()["runs"] == 0, "nothing is held while it waits"
        log = await rig.ended(within_s=700.0)
    assert log[-1].event.type == "run.completed"
    (waiting,) = [e for e in log if e.event.type == "run.waiting"]
    event: Any = waiting.event
    started = next(e for e in log if e.event.type == "run.started" and e.epoch == 2)
    assert event.until == parked.wake_at
    assert 0.0 <= started.at - event.until <= 3.0
    assert "recovery.resumed" not in types(log), "a pause is no takeover"
    assert rig.model.answered["research", 1] == 1


@virtual_time
async def test_planning_can_wait_too() -> None:
    async with running() as rig:
        parking(rig, "planner", 300.0)
        await rig.ask()
        log = await rig.ended()
    assert types(log).count("run.waiting") == 1
    assert log[-1].event.type == "run.completed"


@virtual_time
async def test_a_sibling_goes_on_while_a_stage_waits() -> None:
    async with running(PAIR) as rig:
        parking(rig, "research", 100.0)
        await rig.ask()
        log = await rig.ended()
    (waiting,) = [e for e in log if e.event.type == "run.waiting"]
    done = [e.seq for e in log if e.event.type == "stage.completed" and e.agent == "analysis"]
    assert done and done[0] < waiting.seq
    assert log[-1].event.type == "run.completed"


@virtual_time
async def test_a_waiting_run_expires_at_its_deadline_and_not_later() -> None:
    async with running() as rig:
        parking(rig, "analysis", 3000.0)
        await rig.ask(deadline_s=100.0)
        log = await rig.ended()
    assert log[-1].event.type == "run.expired"
    assert log[-1].at - log[0].at <= 104.0


@virtual_time
async def test_a_waiting_run_is_cancelled_within_a_scan() -> None:
    async with running() as rig:
        parking(rig, "analysis", 3000.0)
        await rig.ask()
        await rig.when("r1", lambda seen: ("run.waiting", None) in seen)
        asked = rig.clock.now()
        await rig.cancel()
        log = await rig.ended()
    assert log[-1].event.type == "run.cancelled"
    assert log[-1].at - asked <= 3.0


# --- limits ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", ["MAX_EVENTS", "MAX_BYTES"])
@virtual_time
async def test_a_run_whose_log_is_full_fails_with_what_it_has(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    async with running(script_with(before=SLOW_ANALYSIS)) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        full = len(await rig.events()) if limit == "MAX_EVENTS" else await rig.log.size("r1")
        monkeypatch.setattr(f"runtime.log.head.{limit}", full)
        log = await rig.ended()
    end: Any = log[-1].event
    assert (end.type, end.code, end.retryable, end.resume.possible) == ("run.failed", "log_limit", True, True)
    assert [output.stage for output in end.completed] == ["find"]


# --- budgets ---------------------------------------------------------------------------------------------------------


# --- calls nobody will hear of ----------------------------------------------------------------------------------------


@tool(kind="at_most_once")
async def pay() -> str:
    """Pays, and takes its time to say so."""
    await asyncio.sleep(1e6)
    return "paid"


PAYING = '[[turn]]\nagent = "research"\ntext = "I pay."\n[[turn.tool_calls]]\nname = "pay"\ninput = {}'


@pytest.mark.parametrize("end", ["run.cancelled", "run.expired"])
@virtual_time
async def test_a_run_that_ends_in_a_tool_call_says_that_its_outcome_is_unknown(end: str) -> None:
    async with running(script_with(before=PAYING), tools=(pay,)) as rig:
        await rig.ask(deadline_s=30.0)
        await rig.when("r1", lambda seen: ("tool.called", "find") in seen)
        if end == "run.cancelled":
            await rig.cancel()
        log = await rig.ended()
    (unknown,) = [e for e in log if e.event.type == "tool.outcome_unknown"]
    assert (unknown.stage, unknown.seq, log[-1].event.type) == ("find", log[-1].seq - 1, end)


# --- probation -------------------------------------------------------------------------------------------------------


async def suspected(rig: Rig, run_id: str) -> None:
    """A run that has lost its owners as often as it takes to be watched."""
    await rig.ask(run_id, begin=False, deadline_s=1e6)
    for number in range(PROBATION_AFTER):
        owner = f"{run_id}-{number}"
        await rig.truth.renew(owner, ttl_s=10.0)
        (run,) = await rig.truth.claim(run_id, executor=owner)
        started = encode(Draft(RunStarted(epoch=run.epoch, owner=owner, code_version="0")), run_id, rig.clock.now())
        await rig.truth.append([Write(run_id, run.epoch, run.last_seq, owner, 1, (started,))])
        await rig.truth.release(owner, lost=True)


@virtual_time
async def test_suspected_runs_begin_one_after_the_other_and_others_do_not_wait() -> None:
    stuck = '[[turn]]\nagent = "planner"\ndelay_s = 10000\ntext = "never"'
    async with running(script_with(before=stuck)) as rig:
        for run_id in ("a", "b"):
            await suspected(rig, run_id)
        await rig.ask("c")
        begun = rig.clock.now()
        starts = {}
        for run_id, owners in (("a", PROBATION_AFTER + 1), ("b", PROBATION_AFTER + 1), ("c", 1)):
            await rig.when(run_id, lambda seen, n=owners: seen.count(("run.started", None)) == n)
            log = check_run(await rig.events(run_id), ended=False)
            starts[run_id] = [e.at for e in log if e.event.type == "run.started"][-1]
        assert starts["c"] - begun < 1.0
        first, second = sorted((starts["a"], starts["b"]))
        assert second - first == pytest.approx(PROBATION_S, abs=1.0)


@virtual_time
async def test_a_suspected_run_that_ends_lets_the_next_begin_at_once() -> None:
    async with running() as rig:
        for run_id in ("a", "b"):
            await suspected(rig, run_id)
        logs = await rig.ended("a"), await rig.ended("b")
    first, second = (next(e.at for e in reversed(log) if e.event.type == "run.started") for log in logs)
    assert abs(first - second) < PROBATION_S / 2
