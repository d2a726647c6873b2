"""The stage lease, both ways: a silent agent is replaced, and one that nobody renews stops by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from runtime.agents.request import STAGE_LEASE_S, PlanningRequest, PlanningResult, StageLease, StageRequest, StageResult
from runtime.errors import AgentLost, StoreUnavailable, Superseded
from runtime.events.brief import Brief
from runtime.executor.leases import MISSES, RENEW_EVERY_S
from tests.executor.test_executor import script_with
from tests.rig import Rig, running
from tests.virtual_time import virtual_time

LONG = '[[turn]]\nagent = "analysis"\nrate = 1\ntext = "' + "word " * 60 + '"'


class Deaf:
    """An agent that works on and hears nothing: as a frozen process, or one cut off from its executor."""

    def __init__(self, rig: Rig, name: str) -> None:
        self.agent = rig.agents[name]
        self.deaf = False
        self.forgetful = False
        self.calls: list[asyncio.Future[StageResult]] = []
        rig.agents[name] = self  # type: ignore[assignment]

    async def run_stage(self, request: StageRequest) -> StageResult:
        call = asyncio.ensure_future(self.agent.run_stage(request))
        self.calls.append(call)
        return await asyncio.shield(call)

    async def run_planning(self, request: PlanningRequest) -> PlanningResult:
        return await self.agent.run_planning(request)

    async def renew(self, leases: Sequence[StageLease]) -> frozenset[StageLease]:
        if self.deaf:
            raise StoreUnavailable("no answer")
        return frozenset() if self.forgetful else await self.agent.renew(leases)

    async def cancel(self, run_id: str) -> None:
        await self.agent.cancel(run_id)


@pytest.mark.parametrize("how", ["deaf", "forgetful"])
@virtual_time
async def test_a_stage_whose_agent_misses_three_renewals_is_dispatched_anew(how: str) -> None:
    async with running(script_with(before=LONG)) as rig:
        agent = Deaf(rig, "analysis")
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        setattr(agent, how, True)
        cut_off = rig.clock.now()
        await rig.when("r1", lambda seen: seen.count(("stage.dispatched", "weigh")) == 2)
        took = rig.clock.now() - cut_off
        setattr(agent, how, False)
        log = await rig.ended()
    assert (MISSES - 1) * RENEW_EVERY_S <= took <= (MISSES + 2) * RENEW_EVERY_S
    assert log[-1].event.type == "run.completed"
    assert [e.event.reason for e in log if e.event.type == "turn.superseded"] == ["agent_lost"]
    with pytest.raises(Superseded):
        await agent.calls[0]


@virtual_time
async def test_a_long_stage_is_renewed_to_its_end() -> None:
    async with running(script_with(before=LONG)) as rig:
        await rig.ask()
        log = await rig.ended()
    took = log[-1].at - log[0].at
    assert took > 5 * STAGE_LEASE_S
    assert [e.event.dispatch for e in log if e.event.type == "stage.dispatched"] == [1, 1, 1]


@virtual_time
async def test_an_agent_that_nobody_renews_stops_by_itself_and_closes_its_model() -> None:
    async with running(script_with(before=LONG)) as rig:
        await rig.ask(begin=False)
        (run,) = await rig.portal.claim("r1", executor=rig.executors[0].name)
        request = StageRequest("r1", run.epoch, "weigh", 1, Brief(question="Why?"), lease_s=STAGE_LEASE_S)
        begun = rig.clock.now()
        with pytest.raises(AgentLost):
            await rig.agents["analysis"].run_stage(request)
        assert rig.clock.now() - begun == pytest.approx(STAGE_LEASE_S, abs=0.5)
        assert rig.model.open["analysis"] == 0
        written = len(await rig.events())
        await asyncio.sleep(30.0)
        assert len(await rig.events()) == written
