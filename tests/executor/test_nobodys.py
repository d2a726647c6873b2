"""A run is never left to nobody, and nobody's trouble becomes another's: what a fresh reading of the executor once found."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

import runtime.bootstrap.control as control
from runtime.agents.request import PlanningRequest, PlanningResult, StageLease, StageRequest, StageResult
from runtime.errors import ConfigurationError, StoreLocked, StoreUnavailable
from runtime.log.publisher import Publisher
from tests.executor.test_executor import script_with
from tests.executor.test_leases import LONG, Deaf
from tests.executor.test_limits import suspected
from tests.portal import Gate, GatedClock, Line
from tests.rig import SIDE_BY_SIDE, running
from tests.virtual_time import virtual_time

WAITING = '[[turn]]\nagent = "analysis"\ndelay_s = 60\ntext = "y"'


class Hanging(Deaf):
    """Renewals are swallowed: no answer, no error, as when an agent's loop is blocked."""

    async def renew(self, leases: Sequence[StageLease]) -> frozenset[StageLease]:
        if self.deaf:
            await asyncio.sleep(1e9)
        return await self.agent.renew(leases)


@pytest.mark.parametrize("blocked_s", [10.5, 12.0, 14.0])
@virtual_time
async def test_an_agent_that_stops_before_its_executor_counts_it_as_lost_leaves_no_stuck_run(blocked_s: float) -> None:
    async with running(script_with(before=LONG)) as rig:
        agent = Hanging(rig, "analysis")
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        agent.deaf = True
        await asyncio.sleep(blocked_s)
        agent.deaf = False
        log = await rig.ended(within_s=300.0)
    assert log[-1].event.type == "run.completed"


@virtual_time
async def test_one_strange_error_of_an_agent_does_not_end_the_renewals() -> None:
    async with running(script_with(before=LONG)) as rig:
        agent = Deaf(rig, "analysis")
        real = agent.renew

        async def once(leases: Sequence[StageLease]) -> frozenset[StageLease]:
            agent.renew = real  # type: ignore[method-assign]
            raise RuntimeError("an agent that could not begin")

        agent.renew = once  # type: ignore[method-assign]
        await rig.ask()
        log = await rig.ended(within_s=300.0)
    assert [e.event.dispatch for e in log if e.event.type == "stage.dispatched" and e.stage == "weigh"] == [1]


@pytest.mark.parametrize("error", [StoreLocked("locked"), ConfigurationError("a standby"), RuntimeError("a defect")])
@virtual_time
async def test_a_hub_that_answers_with_other_errors_for_a_while_costs_no_run(error: Exception) -> None:
    async with running(script_with(before=LONG)) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        names = ("append", "renew", "owned", "claim")
        real = {name: getattr(rig.portal, name) for name in names}

        async def bad(*arguments: Any, **named: Any) -> None:
            raise error

        for name in names:
            setattr(rig.portal, name, bad)
        await asyncio.sleep(3.0)
        for name in names:
            setattr(rig.portal, name, real[name])
        log = await rig.ended(within_s=300.0)
    assert log[-1].event.type == "run.completed"


@virtual_time
async def test_cancels_that_take_long_do_not_hold_up_the_beat() -> None:
    async with running(script_with(before=WAITING)) as rig:

        async def slow(run_id: str) -> None:
            await asyncio.sleep(2.0)
            raise StoreUnavailable("no answer")

        for number in range(10):
            await rig.ask(f"c{number}")
        await rig.ask("innocent")
        await rig.when("innocent", lambda seen: ("turn.started", "weigh") in seen)
        rig.orchestrator.cancel = slow
        asked = rig.clock.monotonic()
        for number in range(10):
            await rig.portal.cancel(f"c{number}", "disconnect")  # the executor learns of it with its beat alone
        for number in range(10):
            await rig.ended(f"c{number}")
        assert rig.clock.monotonic() - asked < 5.0
        log = await rig.ended("innocent")
    assert {e.epoch for e in log} == {0, 1}


@virtual_time
async def test_a_cancel_ends_planning_whatever_the_orchestrator_answers() -> None:
    async with running() as rig:

        async def never(request: object) -> None:
            await asyncio.sleep(1e9)

        rig.orchestrator.plan = never
        await rig.ask()
        await asyncio.sleep(3.0)
        asked = rig.clock.now()
        await rig.cancel()
        log = await rig.ended()
    assert (log[-1].event.type, log[-1].at - asked < 2.0) == ("run.cancelled", True)


@virtual_time
async def test_a_cancel_ends_a_run_that_waits_for_its_probation() -> None:
    stuck = '[[turn]]\nagent = "planner"\ndelay_s = 10000\ntext = "never"'
    async with running(script_with(before=stuck)) as rig:
        for run_id in ("a", "b", "c"):
            await suspected(rig, run_id)
        await asyncio.sleep(4.0)
        asked = rig.clock.now()
        for run_id in ("a", "b", "c"):
            await rig.cancel(run_id)
        ends = [(await rig.ended(run_id))[-1] for run_id in ("a", "b", "c")]
    assert all(end.event.type == "run.cancelled" and end.at - asked < 3.0 for end in ends)


NO_PROGRESS = """
[[turn]]
agent = "planner"
delay_s = 8
[turn.output]
todos = [{ id = "write", title = "Write", agent = "writing", depends_on = [] }]
[[turn]]
agent = "guardrail"
delay_s = 8
output = { allowed = true, category = "none", reason = "fine" }
[[turn]]
agent = "titler"
delay_s = 8
output = { title = "x" }
"""


@virtual_time
async def test_neighbours_of_a_poison_run_complete() -> None:
    """It kills its executor each time it is driven, while they are in their first planning turns."""
    names = ["poison", *(f"n{number}" for number in range(5))]
    async with running(script_with(before=NO_PROGRESS)) as rig:
        for run_id in names:
            await rig.ask(run_id, deadline_s=1e6)
        for epoch in range(1, 6):
            await rig.when("poison", lambda seen, n=epoch: seen.count(("run.started", None)) >= n)
            await asyncio.sleep(0.5)
            await rig.lose_process(rig.executors[-1])
            await rig.put_process()
        ends = {run_id: (await rig.ended(run_id, within_s=1000.0))[-1].event for run_id in names}
    assert ends["poison"].type == "run.failed"
    assert {ends[run_id].type for run_id in names[1:]} == {"run.completed"}


class Through:
    """An executor process's way to agents it shares with others: nothing reaches it while it is stopped."""

    def __init__(self, agent: Any, gate: Gate) -> None:
        self._agent = agent
        self._gate = gate

    async def _do(self, call: Any) -> Any:
        await self._gate.passed()
        try:
            return await call
        finally:
            await self._gate.passed()

    async def run_stage(self, request: StageRequest) -> StageResult:
        return await self._do(self._agent.run_stage(request))  # type: ignore[no-any-return]

    async def run_planning(self, request: PlanningRequest) -> PlanningResult:
        return await self._do(self._agent.run_planning(request))  # type: ignore[no-any-return]

    async def renew(self, leases: Sequence[StageLease]) -> frozenset[StageLease]:
        return await self._do(self._agent.renew(leases))  # type: ignore[no-any-return]

    async def cancel(self, run_id: str) -> None:
        await self._do(self._agent.cancel(run_id))


PAIR = (
    SIDE_BY_SIDE
    + """
[[turn]]
delay_s = 40
text = "y"
"""
)


@pytest.mark.parametrize("frozen_s", [11.0, 14.0, 20.0])
@virtual_time
async def test_a_zombie_that_wakes_leaves_the_new_owners_agents_alone(frozen_s: float) -> None:
    async with running(PAIR) as rig:
        parts = []
        for name in ("A", "B"):
            gate = Gate()
            line, clock = Line(rig.portal, gate), GatedClock(rig.clock, gate)
            publisher = Publisher(name, line, clock, interval_s=0.02)
            agents: Any = {agent: Through(shared, gate) for agent, shared in rig.agents.items()}
            orchestrator = control.build_orchestrator(rig.parts, agents, publisher, clock)
            await publisher.start()
            executor = control.build_executor(rig.parts, name, line, orchestrator, agents, publisher, clock)
            await executor.start()
            parts.append((executor, publisher, gate))
        await rig.executors[0].stop()
        await rig.ask(begin=False)
        await parts[0][0].begin("r1")
        await rig.when("r1", lambda seen: len([kind for kind, stage in seen if kind == "turn.started" and stage]) == 2)
        parts[0][2].freeze()
        await asyncio.sleep(frozen_s)
        parts[0][2].thaw()
        log = await rig.ended()
        for executor, publisher, _ in parts:
            await executor.stop()
            await publisher.stop()
    assert log[-1].event.type == "run.completed"
    assert (rig.model.begun["analysis", 1], rig.model.begun["research", 1]) == (2, 2)
