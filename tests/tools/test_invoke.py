"""Running tools: every failure is an answer, only cancellation gets through."""

from __future__ import annotations

import asyncio
import contextvars
import datetime
import sys
import threading
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from runtime.clock import ManualClock, SystemClock
from runtime.errors import ToolFailed
from runtime.tools.invoke import MAX_RESULT_BYTES, Invocation, LocalToolRunner, ToolRunner
from runtime.tools.tool import Citation, Tool, ToolContext, ToolResult, tool

CONTEXT = ToolContext(run_id="r", stage="s")
who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


class Point(BaseModel):
    x: int


@pytest.fixture
def runner() -> Iterator[ToolRunner]:
    local = LocalToolRunner(SystemClock(), threads=2)
    yield local
    local.close()


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
            assert done == Invocation(f"{slow.name} took longer than 0.05 s and was given up", True, (), done.ms)
            assert done.ms >= 40
    finally:
        let_go.set()
        runner.close()


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
    runner.close()
    assert done.ms == 1500


def test_python_still_limits_long_integers() -> None:
    """The 5,000-digit case above rests on it."""
    assert sys.get_int_max_str_digits() == 4300
