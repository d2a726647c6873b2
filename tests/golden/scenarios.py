"""The runs whose logs are kept: what is asked, what the model says, and what happens on the way.

Each is played on virtual time from a fixed script, so that the same code writes the same log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from runtime.events.envelope import Stored
from runtime.events.fold import fold_all
from runtime.generator.requests import ResumeRun
from runtime.generator.resume import fork
from runtime.log.log import Run
from runtime.pipeline.hooks import Continue, Decision, Finished, Hook
from runtime.tenancy import TenantLimits
from runtime.tools.tool import Tool, ToolContext, ToolKind, tool
from tests.executor.test_executor import PAIR, script_with
from tests.rig import CHAIN, PLANNING, Rig

EFFECTS: list[tuple[str, str]] = []
"""Kind and idempotency key of every execution of a tool here."""

SLOW_ANALYSIS = '[[turn]]\nagent = "analysis"\nrate = 4\ntext = "one two three four five six"'
SLOW_PLANNER = (
    '[[turn]]\nagent = "planner"\nrate = 4\n[turn.output]\n'
    'todos = [{ id = "write", title = "Write", agent = "writing", depends_on = [] }]'
)
REFUSING = '[[turn]]\nagent = "guardrail"\noutput = { allowed = false, category = "malware", reason = "it harms" }'
FAILING = '[[turn]]\nagent = "{agent}"\ntext = "weighed"\n[turn.fault]\nerror = "ModelRequestRejected"\ntimes = {times}'


def using(name: str) -> str:
    """One stage, whose agent calls ``name`` as often as it may."""
    todos = 'todos = [{ id = "find", title = "Find", agent = "research", depends_on = [] }]'
    call = f'[[turn.tool_calls]]\nname = "{name}"\ninput = {{ what = "turn {{turn}}" }}'
    research = f'[[turn]]\nagent = "research"\ntext = "Let me see. "\n{call}\n[[turn]]\ntext = "what I have"\n'
    return f'{PLANNING}[[turn]]\nagent = "planner"\n[turn.output]\n{todos}\n{research}'


def _effect(kind: ToolKind, what: str, context: ToolContext) -> str:
    EFFECTS.append((kind, context.idempotency_key))
    return f"done: {what}"


@tool
async def look(what: str, context: ToolContext) -> str:
    """Look something up."""
    return _effect("read", what, context)


@tool(kind="idempotent")
async def put(what: str, context: ToolContext) -> str:
    """Put something in its place."""
    return _effect("idempotent", what, context)


@tool(kind="at_most_once")
async def send(what: str, context: ToolContext) -> str:
    """Send something away."""
    return _effect("at_most_once", what, context)


def anyway(done: Finished, decision: Decision) -> Decision:
    """A failed step does not end the run."""
    return Continue() if done.failure is not None else decision


TOOLS: tuple[Tool, ...] = (look, put, send)
RUN = "r1"
RESUMED = "r2"
Play = Callable[[Rig], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Scenario:
    """``play`` works on a rig with a hub and one process, in which nothing is asked yet."""

    script: str
    play: Play
    run_id: str = RUN
    finished: bool = True
    """Whether the log ends with the run's end; otherwise this version has to bring it there."""
    tools: tuple[Tool, ...] = ()
    hooks: tuple[Hook, ...] = ()

    def rig(self, **options: object) -> Rig:
        return Rig(self.script, tools=self.tools, hooks=self.hooks, max_tool_calls=2, **options)  # type: ignore[arg-type]


async def log_of(rig: Rig, run_id: str) -> tuple[Run, list[Stored]]:
    run = await rig.truth.get(run_id)
    assert run is not None
    return run, await rig.events(run_id)


def asked(**options: object) -> Play:
    """The plain course of things, to the run's end."""

    async def play(rig: Rig) -> None:
        await rig.ask(RUN, **options)  # type: ignore[arg-type]
        await rig.ended(RUN)

    return play


def lost_at(point: str, hits: int = 1, *, go_on: bool = False) -> Play:
    """Its process is lost at a failpoint; ``go_on``: another takes its place."""

    async def play(rig: Rig) -> None:
        rig.arm(point, hits)
        await rig.ask(RUN)
        async with asyncio.timeout(60.0):
            await rig.lost.wait()
        await asyncio.sleep(1.0)
        if go_on:
            await rig.put_process()
            await rig.ended(RUN)

    return play


def lost_when(kind: str, stage: str | None, *, go_on: bool = False) -> Play:
    """Its process is lost right after such an event."""

    async def play(rig: Rig) -> None:
        await rig.ask(RUN)
        await rig.when(RUN, lambda seen: (kind, stage) in seen)
        await rig.lose_process(rig.executors[0])
        if go_on:
            await rig.put_process()
            await rig.ended(RUN)

    return play


async def cancelled(rig: Rig) -> None:
    await rig.ask(RUN)
    await rig.when(RUN, lambda seen: ("turn.delta", "weigh") in seen)
    await rig.cancel(RUN)
    await rig.ended(RUN)


async def waiting(rig: Rig) -> None:
    await rig.ask(RUN)
    await rig.when(RUN, lambda seen: ("turn.delta", "weigh") in seen)
    await rig.park(rig.executors[0], RUN, wake_in_s=300.0)
    await rig.lose_process(rig.executors[0])


async def resumed(rig: Rig) -> None:
    """The first run fails at its second step; the second carries the first step's result over."""
    await rig.ask(RUN)
    parent = fold_all(await rig.ended(RUN))
    wish, now = ResumeRun(), rig.clock.now()
    agents = frozenset(rig.parts.specs)
    new = fork(
        parent,
        wish,
        agents=agents,
        tenant_id="default",
        run_id=RESUMED,
        conversation_id=None,
        now=now,
        default="continue",
        key=None,
        share=TenantLimits(),
    )
    await rig.portal.create(new)
    assert await rig.begin(RESUMED)
    await rig.ended(RESUMED)


SLOW = script_with(before=SLOW_ANALYSIS)

SCENARIOS: dict[str, Scenario] = {
    "completed": Scenario(CHAIN, asked()),
    "completed_in_parallel": Scenario(PAIR, asked()),
    "tool_call_limit": Scenario(using("look"), asked(), tools=TOOLS),
    "takeover": Scenario(SLOW, lost_when("turn.delta", "weigh", go_on=True)),
    "takeover_tool_unknown": Scenario(using("send"), lost_at("tool.effect", go_on=True), tools=TOOLS),
    "failed_step_continued": Scenario(
        script_with(before=FAILING.format(agent="analysis", times=0)), asked(), hooks=(anyway,)
    ),
    "failed": Scenario(script_with(before=FAILING.format(agent="analysis", times=0)), asked()),
    "guardrail_refused": Scenario(script_with(before=REFUSING), asked()),
    "cancelled": Scenario(SLOW, cancelled),
    "expired": Scenario(SLOW, asked(deadline_s=1.5)),
    "budget_exceeded": Scenario(CHAIN, asked(budget=27_000)),
    "resumed": Scenario(script_with(before=FAILING.format(agent="analysis", times=1)), resumed, RESUMED),
    "unfinished_waiting": Scenario(SLOW, waiting, finished=False),
    "unfinished_planning": Scenario(script_with(before=SLOW_PLANNER), lost_when("turn.started", None), finished=False),
    "unfinished_turn": Scenario(SLOW, lost_when("turn.delta", "weigh"), finished=False),
    "unfinished_tool_read": Scenario(using("look"), lost_at("tool.called"), finished=False, tools=TOOLS),
    "unfinished_tool_idempotent": Scenario(using("put"), lost_at("tool.effect"), finished=False, tools=TOOLS),
    "unfinished_tool_at_most_once": Scenario(using("send"), lost_at("tool.called"), finished=False, tools=TOOLS),
    "unfinished_between_steps": Scenario(CHAIN, lost_at("stage.completed"), finished=False),
}
