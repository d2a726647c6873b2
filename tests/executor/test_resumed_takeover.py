"""A resumed run is a run like any other: its owner may die, and what it carried over is not asked for again."""

from __future__ import annotations

from typing import Any

from runtime.executor.book import RunBook
from runtime.generator.requests import ResumeRun
from runtime.generator.resume import fork
from runtime.tenancy import TenantLimits
from tests.rig import CHAIN, Rig, running
from tests.virtual_time import virtual_time

FAILS_ONCE = (
    CHAIN
    + """
[[turn]]
agent = "analysis"
text = "weighed"
[turn.fault]
error = "ModelRequestRejected"
[[turn]]
agent = "writing"
delay_s = 5.0
text = "written"
"""
)


async def resumed(rig: Rig, parent: str, child: str) -> None:
    """Create ``child`` from the ended ``parent`` and hand it to the last executor."""
    state = await RunBook(rig.portal, parent).refresh()
    new = fork(
        state,
        ResumeRun(),
        agents={spec.name for spec in rig.parts.team},
        tenant_id="default",
        run_id=child,
        conversation_id=None,
        now=rig.clock.now(),
        default="continue",
        key=None,
        share=TenantLimits(),
    )
    await rig.portal.create(new)
    assert await rig.executors[-1].begin(child)


@virtual_time
async def test_what_a_resumed_run_carried_over_survives_the_loss_of_its_owner() -> None:
    async with running(FAILS_ONCE) as rig:
        await rig.ask("r1")
        assert (await rig.ended("r1"))[-1].event.type == "run.failed"
        await resumed(rig, "r1", "r2")
        await rig.when("r2", lambda seen: ("turn.started", "write") in seen)
        await rig.lose_process(rig.executors[-1])
        await rig.put_process()
        log = await rig.ended("r2")
    end: Any = log[-1].event
    assert end.type == "run.completed"
    assert [o.stage for o in end.outputs] == ["find", "weigh", "write"]
    assert [e.event.type for e in log].count("run.started") == 2
    assert rig.model.begun["research", 1] == 1
    assert rig.model.begun["planner", 1] == 1
    assert rig.model.begun["analysis", 1] == 2
