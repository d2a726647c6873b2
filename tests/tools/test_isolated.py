"""Isolated tools without Ray: a process for each call, which can be lost, killed and limited without harm to anyone."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import runtime.tools.isolated as isolated
from runtime.clock import SystemClock
from runtime.errors import ConfigurationError
from runtime.stream.redactor import Redactor
from runtime.telemetry import guarding
from runtime.tools.invoke import LocalToolRunner, ToolRunner
from runtime.tools.isolated import IsolatingToolRunner
from runtime.tools.processes import ChildProcesses
from runtime.tools.registry import Registry
from runtime.tools.tool import Citation, Resources, Tool, ToolContext, tool
from tests.tools import isolated_tools as tools

CONTEXT = ToolContext(run_id="r", stage="s", idempotency_key="key", data_dir="/data")


@pytest.fixture
def runner() -> ToolRunner:
    return runner_of(4)


def runner_of(at_once: int) -> ToolRunner:
    clock = SystemClock()
    return IsolatingToolRunner(LocalToolRunner(clock), ChildProcesses(at_once), clock)


async def appears(mark: Path) -> list[int]:
    """The pids a tool has noted, once it has."""
    async with asyncio.timeout(30):
        while not mark.exists():
            await asyncio.sleep(0.01)
    return [int(pid) for pid in mark.read_text().split()]


async def gone(*pids: int) -> None:
    """Wait until none of the processes works any more."""
    async with asyncio.timeout(10):
        while any(_works(pid) for pid in pids):
            await asyncio.sleep(0.01)


def _works(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_tool_that_lost_touch_leaves_its_call_in_doubt(runner: ToolRunner) -> None:
    done = await runner.run(tools.loses_touch, {}, CONTEXT)
    assert (done.is_error, done.ending) == (True, "died")


async def test_a_call_has_a_process_of_its_own_and_the_context_of_its_run(runner: ToolRunner) -> None:
    said: list[tuple[str, Any]] = []
    context = ToolContext("r", "s", None, "/data", lambda name, value: said.append((name, value)), "key")
    first, second = [(await runner.run(tools.where, {}, context)).text.split() for _ in range(2)]
    assert first[1:] == ["r", "s", "key", "/data"]
    assert len({first[0], second[0], str(os.getpid())}) == 3
    assert said == [("progress", {"done": 0.5}), ("progress", {"done": 1.0})] * 2


async def test_citations_and_failures_come_back_as_they_do_from_the_agents_own_process(runner: ToolRunner) -> None:
    done = await runner.run(tools.cite, {"word": "ü"}, CONTEXT)
    assert (done.text, done.citations, done.is_error) == ("[1] ü", (Citation("T", "a.md:1", "ü"),), False)
    loud, silent = [await runner.run(tools._fails, {"loud": loud}, CONTEXT) for loud in (True, False)]
    assert (loud.text, loud.is_error) == ("fails_in_words failed: the shop is closed", True)
    assert (silent.text, silent.ending) == ("fails_in_words failed: SystemExit: 3", "answered")


async def test_tools_that_are_not_isolated_stay_in_the_agents_process(runner: ToolRunner) -> None:
    @tool
    def here() -> str:
        """Say where."""
        return str(os.getpid())

    assert (await runner.run(here, {}, CONTEXT)).text == str(os.getpid())


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("segfault", "it was killed by SIGSEGV"),
        ("exit", "it exited with code 3"),
        ("kill", "it was killed by SIGKILL"),
        ("close", "it exited with code 0"),
    ],
)
async def test_a_crash_costs_the_call_and_its_outcome_is_in_doubt(runner: ToolRunner, how: str, words: str) -> None:
    crashed, fine = await asyncio.gather(
        runner.run(tools.crash, {"how": how}, CONTEXT), runner.run(tools.crash, {"how": "not"}, CONTEXT)
    )
    assert (crashed.text, crashed.ending) == (f"the process of crash died: {words}", "died")
    assert (crashed.is_error, crashed.in_doubt) == (True, True)
    assert (fine.text, fine.is_error) == ("alive", False)


async def test_an_endless_loop_in_c_is_killed_at_its_timeout_with_all_it_started(
    runner: ToolRunner, tmp_path: Path
) -> None:
    done = await runner.run(tools.spin, {"mark": str(tmp_path / "mark")}, CONTEXT)
    assert (done.text, done.ending) == ("spin took longer than 0.5 s and was given up", "timed_out")
    await gone(*await appears(tmp_path / "mark"))


async def test_a_cancelled_call_is_killed(runner: ToolRunner, tmp_path: Path) -> None:
    task = asyncio.create_task(runner.run(tools.wait, {"mark": str(tmp_path / "mark")}, CONTEXT))
    pids = await appears(tmp_path / "mark")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gone(*pids)


async def test_a_worker_does_not_outlive_the_process_that_started_it(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    code = (
        "import asyncio\n"
        "from tests.tools.test_isolated import CONTEXT, runner_of, tools\n"
        f"asyncio.run(runner_of(1).run(tools.wait, {{'mark': {str(mark)!r}}}, CONTEXT))"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    pids = await appears(mark)
    parent.kill()
    await parent.wait()
    await gone(*pids)


async def test_memory_is_limited_and_the_lack_of_it_is_the_tools_own_failure(runner: ToolRunner) -> None:
    enough, short = [await runner.run(tools.eat, {"megabytes": n}, CONTEXT) for n in (32, 256)]
    assert (enough.text, enough.is_error) == (str(32 * 1024 * 1024), False)
    assert (short.text, short.ending) == ("eat failed: MemoryError", "answered")


async def test_threads_a_tool_leaves_behind_do_not_keep_its_process(runner: ToolRunner) -> None:
    await gone(int((await runner.run(tools.leave_a_thread_behind, {}, CONTEXT)).text))


async def test_what_cannot_begin_surely_had_no_effect(
    runner: ToolRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfit = await runner.run(tools.cite, {"word": 3}, CONTEXT)
    assert (unfit.ending, unfit.in_doubt) == ("not_begun", False)
    assert "arguments do not fit" in unfit.text
    crowded = runner_of(1)
    waiting = asyncio.create_task(crowded.run(tools.wait, {"mark": str(tmp_path / "mark")}, CONTEXT))
    await appears(tmp_path / "mark")
    monkeypatch.setattr(isolated, "START_WITHIN_S", 0.05)
    late = await crowded.run(tools.cite, {"word": "x"}, CONTEXT)
    assert (late.ending, late.is_error) == ("not_begun", True)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_process_that_dies_before_the_tool_begins_leaves_no_doubt(
    runner: ToolRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    done = await runner.run(tools.cite, {"word": "x"}, CONTEXT)
    assert (done.ending, done.text) == ("not_begun", "cite was not run, its process died first: it exited with code 1")
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    assert "could not be started" in (await runner.run(tools.cite, {"word": "x"}, CONTEXT)).text


async def test_a_call_costs_about_a_start_of_python(runner: ToolRunner) -> None:
    begun = time.monotonic()
    done = await runner.run(tools.cite, {"word": "x"}, CONTEXT)
    print(f"an isolated call took {time.monotonic() - begun:.2f} s")
    assert done.ms < 20_000


# --- what can be isolated --------------------------------------------------------------------------------------------


def test_resources_imply_isolation() -> None:
    assert tools.eat.isolation == Resources(0.25, 0.0, 128 * 1024 * 1024)
    assert tools.where.isolation == Resources()


def test_a_tool_inside_a_function_cannot_be_isolated() -> None:
    def inside() -> str:
        """Inside."""
        return ""

    with pytest.raises(ConfigurationError, match=r"'inside' cannot be isolated.*top level"):
        tool(isolate=True)(inside)
    with pytest.raises(ConfigurationError, match="below 0"):
        tool(num_cpus=-1)(outside)


def outside() -> str:
    """Outside."""
    return ""


def test_a_tool_another_process_cannot_import_is_found_at_the_start() -> None:
    hidden: Tool = tool(isolate=True)(outside)
    with pytest.raises(ConfigurationError, match=r"no tool 'outside' at its top level"):
        Registry([hidden])
    outside.__module__ = "__main__"
    try:
        with pytest.raises(ConfigurationError, match="importable by name"):
            Registry([tool(isolate=True)(outside)])
    finally:
        outside.__module__ = __name__
    assert Registry([tools.where]).get("where") is tools.where


async def test_pictures_come_out_of_the_process(runner: ToolRunner) -> None:
    done = await runner.run(tools.draw, {}, CONTEXT)
    assert (done.text, done.is_error) == ("Here.\n(attached: image/png map.png (11 bytes))", False)
    assert [(one.media_type, one.name, one.size) for one in done.attachments] == [("image/png", "map.png", 11)]


async def test_a_failure_is_logged_with_its_traceback_where_secrets_are_known(
    runner: ToolRunner, caplog: pytest.LogCaptureFixture
) -> None:
    with guarding(Redactor(["the shop is closed"]).text):
        done = await runner.run(tools._fails, {"loud": True}, CONTEXT)
    assert done.is_error and "shop" not in done.text and "shop" not in caplog.text
    assert "Traceback" in caplog.text and "[redacted]" in caplog.text
