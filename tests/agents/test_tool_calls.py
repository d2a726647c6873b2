"""Tools that misbehave, as a stage sees them: doubt is reported and never guessed, and a failing tool is done without."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from runtime import errors
from runtime.agents.tool_calls import ATTEMPTS, FAILURES
from runtime.clock import SystemClock
from runtime.events import catalog as ev
from runtime.events.messages import ToolResultBlock, ToolUseBlock
from runtime.events.notes import switched_off_note
from runtime.tools.invoke import Invocation, LocalToolRunner
from runtime.tools.isolated import IsolatingToolRunner
from runtime.tools.processes import ChildProcesses
from runtime.tools.tool import Tool, ToolContext, ToolKind, tool
from tests.agents.bench import RUN, STAGE, Bench, Lines, call, says
from tests.tools import isolated_tools


def results(request: Any) -> list[ToolResultBlock]:
    return [b for m in request.messages for b in m.content if isinstance(b, ToolResultBlock)]


def hanging(kind: ToolKind, *, answers_at: int = 99) -> tuple[Tool, list[str]]:
    """A tool that hangs until its ``answers_at``-th attempt, and the keys it was given."""
    keys: list[str] = []

    @tool(kind=kind, timeout_s=0.02)
    async def act(context: ToolContext) -> str:
        """Act."""
        keys.append(context.idempotency_key)
        if len(keys) < answers_at:
            await asyncio.Event().wait()
        return "acted"

    return act, keys


def calling(name: str, *turns: str, **arguments: Any) -> Lines:
    """A model that calls ``name`` once in each of ``turns`` (call ids) and then answers."""
    return Lines(*(says(call(i, name, **arguments), stop="tool_use") for i in turns), says("Done."))


# --- doubt -----------------------------------------------------------------------------------------------------------


async def test_a_read_that_took_too_long_is_an_error_the_model_reads(bench: Bench) -> None:
    act, keys = hanging("read")
    model = calling("act", "c1")
    await bench.work(model, tools=[act])
    (answer,) = results(model.asked[1])
    assert (answer.is_error, answer.content) == (True, "act took longer than 0.02 s and was given up")
    assert (len(keys), await bench.events(ev.ToolOutcomeUnknown)) == (1, [])


async def test_an_at_most_once_call_that_took_too_long_is_in_doubt_and_never_repeated(bench: Bench) -> None:
    act, keys = hanging("at_most_once")
    model = calling("act", "c1")
    await bench.work(model, tools=[act])
    (unknown,) = await bench.events(ev.ToolOutcomeUnknown)
    assert (unknown.call_id, unknown.known) == ("c1", "act took longer than 0.02 s and was given up")
    assert (len(keys), await bench.events(ev.ToolCompleted)) == (1, [])
    (answer,) = results(model.asked[1])
    assert answer.content.startswith("The outcome of this call is unknown: ")


async def test_an_idempotent_call_in_doubt_is_tried_again_with_its_key_and_then_said_to_be_unknown(
    bench: Bench,
) -> None:
    act, keys = hanging("idempotent")
    await bench.work(calling("act", "c1"), tools=[act])
    assert keys == [f"{RUN}:{STAGE}:1:c1"] * ATTEMPTS
    said = [(e.failure, e.attempt, e.of, e.delay_s) for e in await bench.events(ev.RecoveryRetrying)]
    assert said == [("tool_timed_out", 1, 3, 0.5), ("tool_timed_out", 2, 3, 1.0)]
    assert bench.clock.slept == [0.5, 1.0]
    (unknown,) = await bench.events(ev.ToolOutcomeUnknown)
    assert unknown.known == "act took longer than 0.02 s and was given up (3 attempts with the same key)"
    assert len(await bench.events(ev.ToolCalled)) == 1, "it is one call"


async def test_an_idempotent_call_that_answers_at_last_is_complete(bench: Bench) -> None:
    act, keys = hanging("idempotent", answers_at=3)
    model = calling("act", "c1")
    await bench.work(model, tools=[act])
    assert ([r.content for r in results(model.asked[1])], len(keys)) == (["acted"], 3)
    assert await bench.events(ev.ToolOutcomeUnknown) == []


@pytest.mark.parametrize("kind", ["read", "idempotent", "at_most_once"])
async def test_an_exception_is_the_tools_own_answer_whatever_its_kind(bench: Bench, kind: ToolKind) -> None:
    runs: list[int] = []

    @tool(kind=kind)
    async def act() -> str:
        """Act."""
        runs.append(1)
        raise errors.ToolFailed("the shop is closed")

    model = calling("act", "c1")
    await bench.work(model, tools=[act])
    assert ([r.content for r in results(model.asked[1])], len(runs)) == (["act failed: the shop is closed"], 1)
    assert await bench.events(ev.ToolOutcomeUnknown) == []


async def test_a_crashed_process_is_told_by_kind(bench: Bench, tmp_path: Path) -> None:
    runner = IsolatingToolRunner(LocalToolRunner(bench.clock), ChildProcesses(), SystemClock())
    mark = str(tmp_path / "effects")
    tools = [isolated_tools.crash, isolated_tools.effect_and_crash, isolated_tools.crash_until]
    calls = (
        call("read", "crash", how="segfault"),
        call("once", "effect_and_crash", mark=mark),
        call("again", "crash_until", mark=str(tmp_path / "keys"), times=2),
    )
    model = Lines(says(*calls, stop="tool_use"), says("Done."))
    await bench.work(model, tools=tools, runner=runner)
    read, once, again = results(model.asked[1])
    assert (read.is_error, read.content) == (True, "the process of crash died: it was killed by SIGSEGV")
    assert once.content.endswith("unknown: the process of effect_and_crash died: it exited with code 9")
    assert Path(mark).read_text() == "effect\n"
    assert (again.is_error, again.content.split()) == (False, [f"{RUN}:{STAGE}:1:again"] * 3)
    assert [e.failure for e in await bench.events(ev.RecoveryRetrying)] == ["tool_died"] * 2


async def test_a_call_interrupted_when_its_steps_time_is_over_is_in_doubt(bench: Bench) -> None:
    @tool(kind="at_most_once")
    async def act() -> str:
        """Act."""
        await asyncio.Event().wait()
        return ""

    with pytest.raises(errors.StageFailed):
        await bench.work(calling("act", "c1"), tools=[act], timeout_s=0.05)
    (unknown,) = await bench.events(ev.ToolOutcomeUnknown)
    assert (unknown.call_id, "interrupted" in unknown.known) == ("c1", True)


async def test_calls_of_two_turns_with_one_id_are_two_calls(bench: Bench) -> None:
    """Some servers number the calls of each turn anew."""
    keys: list[str] = []

    @tool(kind="at_most_once")
    async def act(context: ToolContext) -> str:
        """Act."""
        keys.append(context.idempotency_key)
        return f"acted {len(keys)}"

    model = calling("act", "call_0", "call_0")
    result = await bench.work(model, tools=[act])
    assert [r.content for r in results(model.asked[2])] == ["acted 1", "acted 2"]
    assert (len(set(keys)), result.tool_calls, len(await bench.events(ev.ToolCalled))) == (2, 2, 2)


async def test_one_id_twice_in_a_turn_is_one_call(bench: Bench) -> None:
    runs: list[str] = []

    @tool(kind="at_most_once")
    async def act(to: str) -> str:
        """Act."""
        runs.append(to)
        return "acted"

    twins = call("call_0", "act", to="a"), call("call_0", "act", to="b")
    await bench.work(Lines(says(*twins, stop="tool_use"), says("Done.")), tools=[act])
    assert len(runs) == 1


async def test_what_another_process_began_is_unknown_even_if_the_tool_is_gone(bench: Bench) -> None:
    act, _ = hanging("at_most_once")
    slow = tool(kind="at_most_once", name="act")(act.function)
    task = asyncio.ensure_future(bench.work(calling("act", "c1"), tools=[slow]))
    await bench.until(ev.ToolCalled)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert [use.id for use in (await bench.folded()).in_doubt()] == ["c1"]
    await bench.work(Lines(says("Done.")), tools=[])
    (unknown,) = await bench.events(ev.ToolOutcomeUnknown)
    assert unknown.call_id == "c1"
    assert (await bench.folded()).in_doubt() == ()


class NoPlace:
    """A runner that never begins."""

    async def run(self, tool: Tool, arguments: dict[str, Any], context: ToolContext) -> Invocation:
        return Invocation(f"{tool.name} was not run", True, (), 0, "not_begun")


@pytest.mark.parametrize("begun_before", [True, False])
async def test_a_call_that_cannot_begin_is_in_doubt_only_if_an_earlier_process_began_it(
    bench: Bench, begun_before: bool
) -> None:
    act, _ = hanging("idempotent")
    slow = tool(kind="idempotent", name="act")(act.function)
    if begun_before:
        task = asyncio.ensure_future(bench.work(calling("act", "c1"), tools=[slow]))
        await bench.until(ev.ToolCalled)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    model = Lines(says("Done.")) if begun_before else calling("act", "c1")
    await bench.work(model, tools=[slow], runner=NoPlace())
    unknown = [e.known for e in await bench.events(ev.ToolOutcomeUnknown)]
    completed = [e.result for e in await bench.events(ev.ToolCompleted)]
    if begun_before:
        assert unknown == ["it had begun when its process was lost (3 attempts with the same key)"]
    else:
        assert (unknown, completed) == ([], ["act was not run"])


async def test_arguments_that_do_not_fit_announce_nothing_and_run_nothing(bench: Bench) -> None:
    act, keys = hanging("at_most_once")
    model = calling("act", "c1", surprise=1)
    await bench.work(model, tools=[act])
    assert (keys, await bench.events(ev.ToolCalled)) == ([], [])
    (told,) = await bench.events(ev.ToolArgumentsInvalid)
    assert "arguments do not fit" in told.message
    assert results(model.asked[1])[0].is_error


# --- tools that keep failing -----------------------------------------------------------------------------------------


def broken() -> tuple[Tool, list[int]]:
    runs: list[int] = []

    @tool
    async def weather(day: str) -> str:
        """Tell the weather."""
        runs.append(1)
        raise RuntimeError(f"no weather for {day}")

    return weather, runs


@tool
async def look() -> str:
    """Look."""
    return "seen"


async def test_a_tool_that_keeps_failing_is_switched_off_and_the_stage_goes_on_without_it(bench: Bench) -> None:
    weather, runs = broken()
    model = calling("weather", "c1", "c2", "c3", "c4", day="monday")
    result = await bench.work(model, tools=[weather, look])
    assert (result.text, len(runs), result.tool_calls) == ("Done.", FAILURES, FAILURES)
    (off,) = await bench.events(ev.RecoveryToolSwitchedOff)
    assert (off.name, off.failures) == ("weather", 3)
    assert [[t.name for t in asked.tools] for asked in model.asked] == [["weather", "look"]] * 3 + [["look"]] * 2
    assert model.asked[3].messages[-1].text() == switched_off_note("weather", 3)
    refused = results(model.asked[4])[-1]
    assert (refused.is_error, "switched off for this step" in refused.content) == (True, True)
    assert (await bench.state()).recoveries == {"tool_switched_off": 1}


async def test_a_success_in_between_and_mistakes_of_the_model_do_not_count(bench: Bench) -> None:
    failing = iter([True, True, False, True, True, False])

    @tool
    async def moody(x: int = 0) -> str:
        """Be moody."""
        if next(failing):
            raise RuntimeError("not now")
        return "fine"

    unfit = [says(call(f"u{n}", "moody", x="one"), stop="tool_use") for n in range(4)]
    model = Lines(
        *unfit, *(says(call(f"c{n}", "moody"), stop="tool_use") for n in range(6)), says("Done.")
    )  # fmt: skip
    await bench.work(model, tools=[moody])
    assert await bench.events(ev.RecoveryToolSwitchedOff) == []


async def test_timeouts_count_as_failures(bench: Bench) -> None:
    act, keys = hanging("at_most_once")
    await bench.work(calling("act", *"abcd"), tools=[act, look])
    assert (len(keys), len(await bench.events(ev.RecoveryToolSwitchedOff))) == (FAILURES, 1)


async def test_with_every_tool_off_the_model_is_asked_for_an_answer_without_tools(bench: Bench) -> None:
    weather, _ = broken()
    model = calling("weather", "c1", "c2", "c3", day="monday")
    assert (await bench.work(model, tools=[weather])).partial is False
    last = model.asked[-1]
    # the Messages API refuses a conversation with tool calls that names no tools
    assert (last.tool_choice, [t.name for t in last.tools]) == ("none", ["weather"])
    assert [asked.tool_choice for asked in model.asked[:-1]] == [None] * 3


async def test_failures_of_a_lost_process_count_on_in_the_next(bench: Bench) -> None:
    weather, runs = broken()
    first = bench.agent(calling("weather", "c1", "c2", day="monday"), tools=[weather, look], max_turns=2)
    with pytest.raises(errors.StageFailed):  # as good as lost: the log ends after two failures
        await first.run_stage(await bench.dispatched())
    assert (await bench.folded()).failures("weather") == 2
    model = calling("weather", "c3", "c4", day="monday")
    await bench.work(model, tools=[weather, look])
    assert (len(runs), len(await bench.events(ev.RecoveryToolSwitchedOff))) == (3, 1)
    later = calling("weather", "c5", day="monday")
    again = await bench.dispatched(ev.StageFailed(todo=STAGE, title="t", code="c", message="m", attempts=1,
                                                  decision="retry"))  # fmt: skip
    await bench.agent(later, tools=[weather, look]).run_stage(again)
    assert len(runs) == 3, "off for the stage means for its next try too"
    assert [t.name for t in later.asked[0].tools] == ["look"]


async def test_a_third_failure_whose_process_was_lost_right_after_it_is_acted_on_by_the_next(bench: Bench) -> None:
    weather, runs = broken()
    calls = [call(f"c{n}", "weather", day="monday") for n in range(3)]
    task = asyncio.ensure_future(
        bench.work(Lines(says(*calls, call("w", "wait"), stop="tool_use")), tools=[weather, wait])
    )
    async with asyncio.timeout(10):
        while len(await bench.events(ev.ToolCompleted)) < 3:
            await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await bench.events(ev.RecoveryToolSwitchedOff) == []
    quick = tool(name="wait")(look.function)
    model = Lines(says("Done."))
    await bench.work(model, tools=[weather, quick])
    assert (len(runs), len(await bench.events(ev.RecoveryToolSwitchedOff))) == (3, 1)
    assert [t.name for t in model.asked[0].tools] == ["wait"]


@tool
async def wait() -> str:
    """Wait."""
    await asyncio.Event().wait()
    return ""


async def test_a_switched_off_tool_stays_off_after_the_tool_call_limit(bench: Bench) -> None:
    weather, runs = broken()
    model = Lines(*(says(call(f"c{n}", "weather", day="x"), stop="tool_use") for n in range(3)),
                  says(call("l1", "look"), stop="tool_use"), says("Done."))  # fmt: skip
    request = await bench.dispatched()
    agent = bench.agent(model, tools=[weather, look], max_tool_calls=3)
    with pytest.raises(errors.ToolCallLimitReached) as caught:
        await agent.run_stage(request)
    assert (await agent.run_stage(await bench.resumed(request, caught.value))).text == "Done."
    assert [t.name for t in model.asked[-1].tools] == ["look"]
    assert len(runs) == 3


async def test_a_tool_is_not_run_with_a_secret_in_its_arguments_nor_without_it(bench: Bench) -> None:
    ran: list[str] = []

    @tool()
    def note(words: str) -> str:
        """Note."""
        ran.append(words)
        return "noted"

    key = "AKIA" + "Z" * 16
    calls = (call("c1", "note", words=f"key {key}"), call("c2", "note", words="plain"))
    model = Lines(says(*calls, stop="tool_use"), says("Done."))
    await bench.work(model, tools=[note])
    assert ran == ["plain"]
    refused, noted = results(model.asked[1])
    assert (refused.is_error, noted.is_error) == (True, False) and "hold a secret" in refused.text()
    uses = [b for m in model.asked[1].messages for b in m.content if isinstance(b, ToolUseBlock)]
    assert uses[0].input == {"words": "key [redacted]"}, "the model sees of its own words what the log holds"
