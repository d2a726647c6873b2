"""An executor whose hub falls silent lets go of its runs before its lease ends, not when an answer comes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.executor.executor import BEAT_S, FENCE_MARGIN_S
from tests.rig import PLANNING, running
from tests.virtual_time import virtual_time

SLOW_RUN = (
    PLANNING
    + """
[[turn]]
agent = "planner"
output = { todos = [ { id = "a", title = "A", agent = "research", depends_on = [] } ] }
[[turn]]
rate = 0.5
text = "word "
repeat = 60
"""
)


@virtual_time
@pytest.mark.parametrize("outage_s", [9.0, 12.0, 30.0])
async def test_outage_that_outlasts_every_lease_is_nobodys_takeover(outage_s: float) -> None:
    """Whoever finds the store again first leaves the others time to hand over, or each outage would count as a loss."""
    for phase in range(8):
        async with running(SLOW_RUN, ttl_s=10.0) as rig:
            await asyncio.sleep(phase / 4)
            await rig.put_process()
            first, second = rig.executors
            await rig.ask("r1")
            await rig.ask("r2", begin=False)
            assert await first.begin("r2")
            for run_id in ("r1", "r2"):
                await rig.when(run_id, lambda seen: ("turn.delta", "a") in seen)
            rig.lose_hub()
            await asyncio.sleep(outage_s)
            await rig.put_hub()
            logs = [await rig.ended(run_id, within_s=300.0) for run_id in ("r1", "r2")]
        for log in logs:
            assert log[-1].event.type == "run.completed"
            assert not any(e.event.type == "recovery.resumed" for e in log), f"phase {phase}"


@virtual_time
@pytest.mark.parametrize("silent", ["renew", "claim"])
async def test_executor_fences_itself_in_time_though_its_question_is_never_answered(
    silent: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(SLOW_RUN, ttl_s=10.0) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "a") in seen)
        (executor,) = rig.executors
        real = {name: getattr(rig.portal, name) for name in ("renew", "claim", "owned", "release")}
        renewed = executor._renewed

        async def unanswered(*args: Any, **options: Any) -> Any:
            await asyncio.sleep(60.0)
            raise AssertionError("nobody waits so long")

        for name in real if silent == "renew" else ["claim", "renew"]:
            monkeypatch.setattr(rig.portal, name, unanswered)
        while executor._owned:
            await asyncio.sleep(0.1)
        waited = rig.clock.monotonic() - max(renewed, executor._renewed)
        assert waited <= 10.0 - FENCE_MARGIN_S + BEAT_S + 0.3
        for name, method in real.items():
            monkeypatch.setattr(rig.portal, name, method)
        log = await rig.ended(within_s=300.0)
    assert log[-1].event.type == "run.completed"
    assert not any(e.event.type == "recovery.resumed" for e in log), "handed over, which is no takeover"


@virtual_time
async def test_executor_started_while_the_hub_is_away_works_as_soon_as_it_is_there() -> None:
    async with running(SLOW_RUN) as rig:
        await rig.lose_process(rig.executors[0])
        rig.lose_hub()
        await rig.put_process()
        await asyncio.sleep(20.0)
        await rig.put_hub()
        await rig.ask(begin=False)
        log = await rig.ended(within_s=300.0)
    assert log[-1].event.type == "run.completed"
