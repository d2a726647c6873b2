"""An agent's process that is lost in mid-work: its stage goes on in another, from the log, and nothing completed is repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from runtime.agents.agent import Agent
from runtime.agents.request import PlanningRequest, PlanningResult, StageLease, StageRequest, StageResult
from runtime.errors import AgentLost
from runtime.events.envelope import Envelope
from runtime.recovery.losses import INNOCENT
from runtime.tools.tool import tool
from tests.executor.test_executor import script_with
from tests.rig import Rig, running, types
from tests.virtual_time import virtual_time

SLOW_ANALYSIS = '[[turn]]\nagent = "analysis"\nrate = 2\ntext = "one two three four five six seven eight nine ten"'
SLOW_PLANNER = (
    '[[turn]]\nagent = "planner"\nrate = 2\n[turn.output]\n'
    'todos = [{ id = "write", title = "Write", agent = "writing", depends_on = [] }]'
)


class Mortal:
    """An agent whose process can be killed: the call under way ends with ``AgentLost``, the next finds a new process."""

    def __init__(self, agent: Agent, *, lives: int = 1_000) -> None:
        self._agent = agent
        self._killed = asyncio.Event()
        self.deaths_left = lives

    def kill(self) -> None:
        self._killed.set()

    async def run_stage(self, request: StageRequest) -> StageResult:
        return await self._until_killed(self._agent.run_stage(request))

    async def run_planning(self, request: PlanningRequest) -> PlanningResult:
        return await self._until_killed(self._agent.run_planning(request))

    async def renew(self, leases: Sequence[StageLease]) -> frozenset[StageLease]:
        return await self._agent.renew(leases)

    async def cancel(self, run_id: str) -> None:
        await self._agent.cancel(run_id)

    async def _until_killed(self, work):  # type: ignore[no-untyped-def]
        call = asyncio.ensure_future(work)
        death = asyncio.ensure_future(self._killed.wait())
        await asyncio.wait({call, death}, return_when=asyncio.FIRST_COMPLETED)
        death.cancel()
        if not self._killed.is_set():
            return call.result()
        self._killed.clear()
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        raise AgentLost("killed by the test")


def mortal(rig: Rig, name: str) -> Mortal:
    agent = rig.agents[name]
    rig.agents[name] = Mortal(agent)  # type: ignore[assignment]
    return rig.agents[name]  # type: ignore[return-value]


@virtual_time
async def test_a_lost_agents_stage_goes_on_from_the_log_in_the_same_run() -> None:
    async with running(script_with(before=SLOW_ANALYSIS)) as rig:
        agent = mortal(rig, "analysis")
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        agent.kill()
        log = await rig.ended()
    assert log[-1].event.type == "run.completed"
    (withdrawn,) = [e for e in log if e.event.type == "turn.superseded"]
    assert (withdrawn.stage, withdrawn.turn, withdrawn.attempt, withdrawn.event.reason) == ("weigh", 1, 1, "agent_lost")
    dispatched = [(e.stage, e.event.dispatch) for e in log if e.event.type == "stage.dispatched"]
    assert dispatched == [("find", 1), ("weigh", 1), ("weigh", 2), ("write", 1)]
    assert "stage.failed" not in types(log)
    assert rig.model.answered["research", 1] == rig.model.begun["research", 1] == 1


@tool
async def poison() -> str:
    """Never answers: the test kills the process meanwhile."""
    await asyncio.sleep(1e6)
    return ""


async def killed_each_time(rig: Rig, moment: tuple[str, str], times: int) -> list[Envelope]:
    """Kill the agent each time ``moment`` has come once more; the run's log at its end."""
    agent = mortal(rig, "research")
    await rig.ask()
    for dispatch in range(1, times + 1):
        await rig.when("r1", lambda seen, n=dispatch: seen.count(moment) >= n)
        agent.kill()
    return await rig.ended()


@virtual_time
async def test_a_stage_whose_tool_kills_its_agent_every_time_fails_after_five_losses() -> None:
    calling = '[[turn]]\nagent = "research"\ntext = "Let me see. "\n[[turn.tool_calls]]\nname = "poison"\ninput = {}'
    async with running(script_with(before=calling), tools=(poison,)) as rig:
        log = await killed_each_time(rig, ("stage.dispatched", "find"), 5)
    (failed,) = [e.event for e in log if e.event.type == "stage.failed"]
    assert (failed.code, failed.attempts) == ("agent_lost", 1)
    dispatches = [e.event.dispatch for e in log if e.event.type == "stage.dispatched" and e.stage == "find"]
    assert dispatches == [1, 2, 3, 4, 5, 6]


@virtual_time
async def test_a_stage_that_only_loses_its_agent_to_others_is_given_up_much_later() -> None:
    slow = '[[turn]]\nagent = "research"\nrate = 2\ntext = "one two three four five six seven eight nine ten"'
    async with running(script_with(before=slow)) as rig:
        log = await killed_each_time(rig, ("turn.started", "find"), INNOCENT)
    (failed,) = [e.event for e in log if e.event.type == "stage.failed"]
    assert failed.code == "agent_lost"
    retries = [e.event.attempt for e in log if e.event.type == "recovery.retrying"]
    assert retries == list(range(1, INNOCENT))


@virtual_time
async def test_a_lost_planner_is_asked_again_and_the_run_goes_on() -> None:
    async with running(script_with(before=SLOW_PLANNER)) as rig:
        agent = mortal(rig, "planner")
        await rig.ask()
        await rig.when("r1", lambda seen: len([t for t, _ in seen if t == "turn.started"]) >= 3)
        agent.kill()
        log = await rig.ended()
    assert log[-1].event.type == "run.completed"
    planner = [(e.turn, e.attempt) for e in log if e.event.type == "turn.started" and e.agent == "planner"]
    assert planner == [(1, 1), (1, 2)]
    assert types(log).count("plan.committed") == 1
    assert not [e for e in log if e.event.type == "agent.failed" and e.event.fatal]
