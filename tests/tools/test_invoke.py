"""Running tools: every failure is an answer, only cancellation gets through."""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import sys
import threading
import time
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from runtime.clock import ManualClock, SystemClock
from runtime.errors import ToolFailed, ToolInDoubt
from runtime.tools.answers import MAX_RESULT_BYTES
from runtime.tools.invoke import Invocation, LocalToolRunner, ToolRunner
from runtime.tools.threads import LEFT_BEHIND
from runtime.tools.tool import Citation, Tool, ToolContext, ToolResult, tool

CONTEXT = ToolContext(run_id="r", stage="s")
who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


class Point(BaseModel):
    x: int


@pytest.fixture
def runner() -> ToolRunner:
    return LocalToolRunner(SystemClock(), threads=2)


@tool
async def add(a: int, b: Annotated[int, Field(ge=0)] = 1, *, ctx: ToolContext) -> str:
    """Add."""
    return f"{a + b} {ctx.stage}"


@tool
def odd(json: int, _id: int = 7) -> str:
    """Odd names."""
    return f"{json} {_id}"


@tool
def day(when: datetime.date, pair: tuple[int, int]) -> str:
    """A date."""
    return f"{when.year} {pair[1]}"


def answering(value: object) -> Tool:
    def answer() -> Any:  # Any: the tests return everything there is
        """Answer."""
        return value() if callable(value) else value

    return tool(answer)


def raising(error: BaseException, *, is_async: bool) -> Tool:
    def sync_fails() -> str:
        """Fail."""
        raise error

    async def async_fails() -> str:
        """Fail."""
        raise error

    return tool(async_fails if is_async else sync_fails)


async def test_async_tool_gets_its_arguments_and_context(runner: ToolRunner) -> None:
    assert (await runner.run(add, {"a": 2}, CONTEXT)).text == "3 s"


async def test_parameters_with_odd_names_arrive(runner: ToolRunner) -> None:
    assert (await runner.run(odd, {"json": 1, "_id": 2}, CONTEXT)).text == "1 2"
    assert (await runner.run(odd, {"json": 1}, CONTEXT)).text == "1 7"


async def test_json_becomes_python_types(runner: ToolRunner) -> None:
    assert (await runner.run(day, {"when": "2026-01-02", "pair": [1, 2]}, CONTEXT)).text == "2026 2"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"a": "5"},
        {"a": True},
        {"a": 1.5},
        {"a": None},
        {"a": 1, "b": -1},
        {"a": 1, "ctx": {}},
        {"a": 1, "argument_1": 2},
        {"a": float("nan")},
        {"a": b"1"},
        {"a": "\ud800"},
        {"a": 10**5000},
    ],
)
async def test_arguments_that_do_not_fit_are_told_and_not_run(runner: ToolRunner, arguments: dict[str, Any]) -> None:
    done = await runner.run(add, arguments, CONTEXT)
    assert done.is_error
    assert "add" in done.text
    assert len(done.text) < 1000
    done.text.encode()


async def test_mistakes_name_the_parameter_and_the_known_ones(runner: ToolRunner) -> None:
    done = await runner.run(add, {"a": "x", "c": 1}, CONTEXT)
    assert done.text.splitlines() == [
        "add was not run, its arguments do not fit:",
        "- a: Input should be a valid integer",
        "- c: Extra inputs are not permitted",
        "Its parameters: a, b.",
    ]


async def test_a_hundred_mistakes_are_told_shortly(runner: ToolRunner) -> None:
    done = await runner.run(add, {"a": 1, **{f"x{n}": n for n in range(100)}}, CONTEXT)
    assert "and 95 more" in done.text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        (ToolResult("t"), "t"),
        (Point(x=1), '{"x":1}'),
        ({"a": [1, "ü"]}, '{"a":[1,"ü"]}'),
        ([Point(x=1)], '[{"x":1}]'),
        (3, "3"),
        (None, "(no result)"),
        ("a\x00b\ud800", "ab\N{REPLACEMENT CHARACTER}"),
    ],
)
async def test_results_become_text(runner: ToolRunner, value: object, text: str) -> None:
    done = await runner.run(answering(value), {}, CONTEXT)
    assert (done.text, done.is_error) == (text, False)


async def test_result_json_cannot_hold_is_an_error(runner: ToolRunner) -> None:
    for value in (threading.Lock(), {"a": threading.Lock()}, b"\xff"):
        done = await runner.run(answering(value), {}, CONTEXT)
        assert done.is_error
        assert "JSON cannot hold" in done.text


async def test_citations_come_along(runner: ToolRunner) -> None:
    citation = Citation("T", "a.md:1", "q")
    done = await runner.run(answering(ToolResult("t", (citation,))), {}, CONTEXT)
    assert done.citations == (citation,)


async def test_long_result_is_cut_with_a_note(runner: ToolRunner) -> None:
    done = await runner.run(answering("ü" * MAX_RESULT_BYTES), {}, CONTEXT)
    assert len(done.text.encode()) <= MAX_RESULT_BYTES
    assert done.text.endswith(f"(cut: {2 * MAX_RESULT_BYTES} bytes in all; ask for less)")
    assert not done.is_error


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("error", [ValueError("secret path"), SystemExit(3), TimeoutError("inner"), KeyError("k")])
async def test_exception_is_told_without_traceback(runner: ToolRunner, error: BaseException, is_async: bool) -> None:
    done = await runner.run(raising(error, is_async=is_async), {}, CONTEXT)
    assert done.is_error
    assert type(error).__name__ in done.text
    assert "Traceback" not in done.text


async def test_stop_iteration_in_a_thread_does_not_hang(runner: ToolRunner) -> None:
    done = await runner.run(raising(StopIteration("x"), is_async=False), {}, CONTEXT)
    assert "StopIteration" in done.text


async def test_tool_failed_chooses_the_words(runner: ToolRunner, caplog: pytest.LogCaptureFixture) -> None:
    done = await runner.run(raising(ToolFailed("the shop is closed"), is_async=True), {}, CONTEXT)
    assert done.text == "async_fails failed: the shop is closed"
    assert caplog.records[-1].exc_info is not None


async def test_slow_tools_are_given_up() -> None:
    let_go = threading.Event()

    @tool(timeout_s=0.05)
    async def slow_async() -> str:
        """Slow."""
        await asyncio.Event().wait()
        return ""

    @tool(timeout_s=0.05)
    def slow_sync() -> str:
        """Slow."""
        let_go.wait(10)
        return ""

    runner = LocalToolRunner(SystemClock())
    try:
        for slow in (slow_async, slow_sync):
            done = await runner.run(slow, {}, CONTEXT)
            words = f"{slow.name} took longer than 0.05 s and was given up"
            assert done == Invocation(words, True, (), done.ms, "timed_out")
            assert done.ms >= 40
    finally:
        let_go.set()


async def test_cancelling_the_caller_cancels_the_tool(runner: ToolRunner) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    @tool
    async def waits() -> str:
        """Wait."""
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return ""

    task = asyncio.create_task(runner.run(waits, {}, CONTEXT))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_cancellation_of_the_tools_own_is_its_failure(runner: ToolRunner) -> None:
    done = await runner.run(raising(asyncio.CancelledError(), is_async=True), {}, CONTEXT)
    assert done.is_error
    assert "CancelledError" in done.text


async def test_sync_tools_run_in_threads_with_the_callers_context_variables(runner: ToolRunner) -> None:
    who.set("me")
    done = await runner.run(answering(lambda: [who.get(), threading.current_thread().name[:4]]), {}, CONTEXT)
    assert done.text == '["me","tool"]'


async def test_sync_function_that_returns_an_awaitable_is_awaited(runner: ToolRunner) -> None:
    async def later() -> str:
        return "later"

    assert (await runner.run(answering(later), {}, CONTEXT)).text == "later"


async def test_time_is_taken_from_the_clock() -> None:
    clock = ManualClock()
    runner = LocalToolRunner(clock)
    done = await runner.run(answering(lambda: clock.advance(1.5)), {}, CONTEXT)
    assert done.ms == 1500


def test_python_still_limits_long_integers() -> None:
    """The 5,000-digit case above rests on it."""
    assert sys.get_int_max_str_digits() == 4300


# --- tools that do not end -------------------------------------------------------------------------------------------


async def test_hung_calls_give_their_places_back(runner: ToolRunner) -> None:
    """Twice as many as there are places hang at a time: the next call runs at once all the same."""
    let_go = threading.Event()

    @tool(timeout_s=0.05)
    def hang() -> str:
        """Hang."""
        let_go.wait(30)
        return ""

    try:
        hung = await asyncio.gather(*(runner.run(hang, {}, CONTEXT) for _ in range(4)))
        assert [done.ending for done in hung] == ["timed_out"] * 4, "there are two places: each had its turn"
        assert (await runner.run(answering("fine"), {}, CONTEXT)).text == "fine"
    finally:
        let_go.set()


async def test_a_tool_that_always_hangs_is_refused_alone_until_its_threads_end() -> None:
    let_go = threading.Event()
    runner = LocalToolRunner(SystemClock())
    runs: list[int] = []

    @tool(timeout_s=0.02)
    def hang() -> str:
        """Hang."""
        runs.append(1)
        let_go.wait(30)
        return "done"

    try:
        for _ in range(LEFT_BEHIND):
            assert (await runner.run(hang, {}, CONTEXT)).ending == "timed_out"
        refused = await runner.run(hang, {}, CONTEXT)
        assert (refused.ending, refused.is_error, len(runs)) == ("not_begun", True, LEFT_BEHIND)
        assert refused.text == f"hang was not run: {LEFT_BEHIND} earlier calls of hang still hang"
        assert (await runner.run(answering("fine"), {}, CONTEXT)).text == "fine"
    finally:
        let_go.set()
    async with asyncio.timeout(10):
        while (await runner.run(hang, {}, CONTEXT)).ending != "answered":
            await asyncio.sleep(0.01)


async def test_waiting_for_a_place_is_not_the_tools_own_time() -> None:
    runner = LocalToolRunner(SystemClock(), threads=1)

    @tool(timeout_s=0.25)
    def doze() -> str:
        """Doze."""
        time.sleep(0.15)
        return "slept"

    done = await asyncio.gather(*(runner.run(doze, {}, CONTEXT) for _ in range(4)))
    assert [d.text for d in done] == ["slept"] * 4


async def test_an_async_tool_that_swallows_its_cancellation_is_left_to_itself(
    runner: ToolRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.tools.invoke.OBEY_WITHIN_S", 0.05)
    let_go = asyncio.Event()

    @tool(timeout_s=0.05)
    async def stubborn() -> str:
        """Ignore everybody."""
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return ""

    started = time.monotonic()
    assert (await runner.run(stubborn, {}, CONTEXT)).ending == "timed_out"
    task = asyncio.create_task(runner.run(stubborn, {}, CONTEXT))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert time.monotonic() - started < 2.0, "nobody waits for it"
    let_go.set()
    await asyncio.sleep(0)


@pytest.mark.parametrize("by", ["cancel", "timeout"])
async def test_a_sync_tool_can_see_that_nobody_waits_for_it_any_more(runner: ToolRunner, by: str) -> None:
    begun, seen = threading.Event(), threading.Event()

    def looks(context: ToolContext) -> str:
        """Look."""
        assert not context.cancelled()
        begun.set()
        while not context.cancelled():
            time.sleep(0.005)
        seen.set()
        return ""

    task = asyncio.create_task(runner.run(tool(timeout_s=0.1 if by == "timeout" else 60)(looks), {}, CONTEXT))
    assert await asyncio.to_thread(begun.wait, 10)
    if by == "cancel":
        task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await asyncio.to_thread(seen.wait, 10)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), GeneratorExit()])
async def test_whatever_a_thread_raises_is_an_answer(runner: ToolRunner, error: BaseException) -> None:
    done = await runner.run(raising(error, is_async=False), {}, CONTEXT)
    assert type(error).__name__ in done.text


async def test_how_a_call_ended_says_whether_there_may_have_been_an_effect(runner: ToolRunner) -> None:
    unfit = await runner.run(add, {"a": "x"}, CONTEXT)
    failed = await runner.run(raising(ValueError("no"), is_async=True), {}, CONTEXT)
    fine = await runner.run(add, {"a": 1}, CONTEXT)
    assert [d.ending for d in (unfit, failed, fine)] == ["not_begun", "answered", "answered"]
    assert not any(d.in_doubt for d in (unfit, failed, fine))


@pytest.mark.parametrize("threaded", [False, True])
async def test_tool_that_lost_touch_leaves_its_call_in_doubt(runner: ToolRunner, threaded: bool) -> None:
    def ask() -> str:
        """Ask."""
        raise ToolInDoubt("the bank hung up")

    async def ask_slowly() -> str:
        """Ask."""
        return ask()

    done = await runner.run(tool(ask if threaded else ask_slowly), {}, CONTEXT)
    assert (done.is_error, done.ending, done.in_doubt) == (True, "died", True)
    assert "the bank hung up" in done.text
