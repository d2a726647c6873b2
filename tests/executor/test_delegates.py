"""Delegates in whole runs: whoever is lost, the work of a delegate is gone on with and never repeated."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from runtime.events import catalog as ev
from runtime.events.codec import decode
from runtime.events.fold import fold_all
from runtime.events.tool_events import EXPOSED
from runtime.recovery.rate import recovery_rate
from runtime.tools.tool import ToolContext, tool
from tests.executor.test_takeover import lost_in
from tests.rig import PLANNING, Rig, running
from tests.simulation.scripts import TEAM
from tests.virtual_time import virtual_time

RAN: list[str] = []


@tool
async def look(what: str, context: ToolContext) -> str:
    """Look."""
    RAN.append(f"look {what}")
    return what


@tool(kind="idempotent")
async def put(what: str) -> str:
    """Put."""
    RAN.append(f"put {what}")
    return what


@tool(kind="at_most_once")
async def send(what: str) -> str:
    """Send."""
    RAN.append(f"send {what}")
    return what


TOOLS = (look, put, send)
DELEGATES = {"research": ("analysis",)}


def team() -> AbstractAsyncContextManager[Rig]:
    RAN.clear()
    return running(TEAM, tools=TOOLS, delegates=DELEGATES, max_tool_calls=3)


@virtual_time
async def test_a_run_whose_stage_delegates_keeps_its_grammar_and_counts_everything_once() -> None:
    async with team() as rig:
        await rig.ask()
        log = await rig.ended()
        state = fold_all(log)
    assert log[-1].event.type == "run.completed"
    children = {e.call for e in log if e.call is not None}
    assert len(children) == 2
    assert state.tool_calls == 2 + 2 * 3
    assert len(RAN) == len(set(RAN)) == 6
    own = [e for e in log if isinstance(e.event, ev.TurnCompleted) and e.call is None and e.stage == "find"]
    inside = [e for e in log if isinstance(e.event, ev.TurnCompleted) and e.call is not None]
    assert state.usage.output_tokens >= sum(e.event.usage.output_tokens for e in (*own, *inside))
    assert state.stages["find"].transcript.children == {}


@virtual_time
async def test_a_lost_process_leaves_no_open_turn_of_a_delegate_behind_and_none_is_made_twice() -> None:
    async with team() as rig:
        await rig.ask()
        await in_delegates(rig)
        await rig.lose_process(rig.executors[-1])
        await rig.put_process()
        log = await rig.ended()
    assert log[-1].event.type == "run.completed"
    withdrawn = [(e.agent, e.call) for e in log if isinstance(e.event, ev.TurnSuperseded)]
    assert {agent for agent, _ in withdrawn} == {"analysis"}
    assert {e.event.reason for e in log if isinstance(e.event, ev.TurnSuperseded)} == {"takeover"}
    assert len({call for _, call in withdrawn}) == 2, "both delegates were in mid-turn"
    assert rig.model.begun["research", 1] == 1
    assert rig.model.begun["analysis", 1] == 2 + len(withdrawn)


async def in_delegates(rig: Rig) -> None:
    """Both delegates have begun to speak."""
    while True:
        log = map(decode, await rig.events())
        speaking = {e.call for e in log if isinstance(e.event, ev.TurnDelta) and e.call}
        if len(speaking) == 2:
            return
        await rig.clock.sleep(0.05)


STEPS = (
    PLANNING
    + """
[[turn]]
agent = "planner"
[turn.output]
todos = [
  { id = "find", title = "Find", agent = "research", depends_on = [] },
  { id = "write", title = "Write", agent = "writing", depends_on = ["find"] },
]
[[turn]]
agent = "research"
turn = 1
[[turn.tool_calls]]
name = "look"
input = { what = "it" }
[[turn]]
text = "words of {agent}"
"""
)


@virtual_time
async def test_a_step_hands_its_taint_on_and_says_it_in_its_end() -> None:
    RAN.clear()
    async with running(STEPS, tools=TOOLS) as rig:
        await rig.ask()
        log = await rig.ended()
    ends = {e.stage: e.event.taint for e in log if isinstance(e.event, ev.StageCompleted)}
    assert ends == {"find": tuple(sorted(EXPOSED)), "write": tuple(sorted(EXPOSED))}
    (called,) = [e.event for e in log if isinstance(e.event, ev.ToolCalled)]
    assert called.tags == ("reads_private", "untrusted")


@virtual_time
async def test_how_often_recovery_saved_a_run_can_be_read_off_the_statistics() -> None:
    async with team() as rig:
        await rig.ask()
        await lost_in(rig, ("turn.delta", "find"))
        await rig.ended()
        rates = recovery_rate(*(executor.statistics() for executor in rig.executors))
    assert rates["runs"]["resumed:takeover"].success == 1.0
    assert rates["runs"]["any"].share == 1.0
    assert rates["stages"]["retrying:tool_call_limit"].completed == 1, "the delegates came to their limit"
