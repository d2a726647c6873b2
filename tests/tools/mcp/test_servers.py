"""Real MCP servers, over pipes and HTTP: their tools are ours, and whatever they do is an answer the model reads."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from runtime.clock import SystemClock
from runtime.config import McpServer
from runtime.events import catalog as ev
from runtime.tools.answers import MAX_RESULT_BYTES
from runtime.tools.invoke import Invocation, LocalToolRunner
from runtime.tools.mcp.servers import McpServers
from runtime.tools.mcp.session import McpSession
from runtime.tools.tool import Tool, ToolContext
from tests.agents.bench import Lines, call, open_bench, says

FAKE = str(Path(__file__).parents[2] / "fakes" / "mcp_server.py")
CONTEXT = ToolContext("run-1", "s", agent="research")


def stdio(mode: str = "stdio", journal: Path | None = None, **more: Any) -> McpServer:
    args = (FAKE, mode, *([str(journal)] if journal is not None else []))
    return McpServer(command=sys.executable, args=args, **{"timeout_s": 20.0, **more})


class Bench:
    """Servers under test, and a runner for their tools."""

    def __init__(self, **servers: McpServer) -> None:
        self.servers = McpServers(servers, (), SystemClock())
        self.changes: list[Sequence[Tool]] = []
        self.tools: dict[str, Tool] = {}

    async def start(self) -> None:
        self.tools = {tool.name: tool for tool in await self.servers.start(self.changes.append)}

    async def call(self, name: str, **arguments: Any) -> Invocation:
        return await LocalToolRunner(SystemClock()).run(self.tools[name], arguments, CONTEXT)


@asynccontextmanager
async def bench(**servers: McpServer) -> AsyncIterator[Bench]:
    made = Bench(**servers)
    try:
        await made.start()
        yield made
    finally:
        await made.servers.stop()


def words(journal: Path) -> list[str]:
    return [line.split()[0] for line in journal.read_text().splitlines()] if journal.exists() else []


def pids(journal: Path) -> list[int]:
    return [int(line.split()[1]) for line in journal.read_text().splitlines() if line.startswith("start")]


async def until(what: Callable[[], bool], within_s: float = 15.0) -> None:
    async with asyncio.timeout(within_s):
        while not what():
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


# --- what is offered -------------------------------------------------------------------------------------------------


async def test_tools_of_a_server_are_ours_with_its_schemas_and_kinds() -> None:
    async with bench(fake=stdio(kinds={"fails": "read"})) as b:
        add = b.tools["fake__add"]
        assert (add.title, add.description) == ("Sum", "Add two numbers.")
        assert add.input_schema["required"] == ["a", "b"]
        kinds = {name.removeprefix("fake__"): tool.kind for name, tool in b.tools.items()}
        assert kinds["add"] == "read"
        assert kinds["put"] == "idempotent"
        assert kinds["pay"] == "at_most_once"
        assert kinds["fails"] == "read", "the settings say so, whatever the server says"
        [odd] = [name for name in b.tools if "odd" in name]
        assert odd.startswith("fake__odd_name_with_dots_")
        assert (await b.call(odd)).text == "odd"


async def test_a_call_is_answered() -> None:
    async with bench(fake=stdio()) as b:
        done = await b.call("fake__add", a=2, b=40)
        assert (done.text, done.is_error, done.ending) == ("42", False, "answered")


async def test_arguments_that_do_not_fit_the_servers_schema_never_reach_it(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with bench(fake=stdio(journal=journal)) as b:
        done = await b.call("fake__pay", amount="five")
        assert (done.is_error, done.ending) == (True, "not_begun")
        assert "'five' is not of type 'integer'" in done.text
    assert words(journal) == ["start"]


@pytest.mark.parametrize(
    ("tool", "text"),
    [
        ("structured", '{"grad": 21.5, "wo": "Köln"}'),
        ("picture", "look\n(left out: image/png: what is attached as image/png is none)"),
    ],
)
async def test_only_text_and_structure_of_a_result_are_read(tool: str, text: str) -> None:
    async with bench(fake=stdio()) as b:
        assert (await b.call(f"fake__{tool}")).text == text


async def test_pictures_and_pdfs_are_attached() -> None:
    async with bench(fake=stdio()) as b:
        done = await b.call("fake__drawing")
    assert done.text == "look\n(attached: image/png (11 bytes))\n(attached: application/pdf plan.pdf (12 bytes))"
    assert [(one.type, one.name) for one in done.attachments] == [("image", ""), ("pdf", "plan.pdf")]


async def test_long_result_is_cut() -> None:
    async with bench(fake=stdio()) as b:
        done = await b.call("fake__big")
        assert len(done.text.encode()) <= MAX_RESULT_BYTES
        assert "(cut: " in done.text


async def test_failure_the_server_tells_of_is_an_answer() -> None:
    async with bench(fake=stdio()) as b:
        done = await b.call("fake__fails")
        assert (done.is_error, done.ending) == (True, "answered")
        assert "the printer is on fire" in done.text or "fails" in done.text


# --- servers that die ------------------------------------------------------------------------------------------------


async def test_server_that_dies_in_a_call_leaves_it_in_doubt_and_is_started_anew(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with bench(fake=stdio(journal=journal)) as b:
        done = await b.call("fake__pay_and_die", amount=5)
        assert (done.is_error, done.ending) == (True, "died")
        assert "was lost during the call" in done.text
        assert (await b.call("fake__add", a=1, b=1)).text == "2"
    assert words(journal) == ["start", "pay:5", "start"], "and the payment was not made twice"


async def test_server_that_died_between_two_calls_costs_the_next_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with bench(fake=stdio(journal=journal)) as b:
        await b.call("fake__add", a=1, b=1)
        [pid] = pids(journal)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not alive(pid))
        await asyncio.sleep(0.2)  # the pipe's end is noticed by a task
        done = await b.call("fake__pay", amount=7)
        assert (done.text, done.ending) == ("paid 7", "answered")
    assert words(journal) == ["start", "start", "pay:7"]


async def test_frozen_server_costs_one_call_its_time_and_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.tools.mcp.session.ANSWERS_WITHIN_S", 0.5)
    journal = tmp_path / "journal"
    async with bench(fake=stdio(journal=journal, timeout_s=1.0)) as b:
        [pid] = pids(journal)
        os.kill(pid, signal.SIGSTOP)
        done = await b.call("fake__add", a=1, b=1)
        assert (done.is_error, done.ending) == (True, "timed_out")
        async with asyncio.timeout(15):
            while (done := await b.call("fake__add", a=1, b=1)).is_error:
                assert done.ending in ("timed_out", "answered")
        assert done.text == "2"
    assert not alive(pid)
    assert words(journal) == ["start", "start"]


async def test_call_that_never_ends_is_given_up_told_to_stop_and_others_go_on(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with bench(fake=stdio(journal=journal, timeout_s=1.0)) as b:
        hanging = asyncio.create_task(b.call("fake__hang"))
        await asyncio.sleep(0.1)
        assert (await b.call("fake__add", a=1, b=1)).text == "2"
        done = await hanging
        assert (done.is_error, done.ending) == (True, "timed_out")
        await until(lambda: "hang-ended" in words(journal))
        assert (await b.call("fake__add", a=1, b=1)).text == "2"
    assert words(journal).count("start") == 1, "a server that still answers is kept"


async def test_cancelled_run_cancels_the_call_at_the_server(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with bench(fake=stdio(journal=journal)) as b:
        hanging = asyncio.create_task(b.call("fake__hang"))
        await asyncio.sleep(0.3)
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        await until(lambda: "hang-ended" in words(journal))


# --- as a stage sees it ----------------------------------------------------------------------------------------------


async def test_effect_of_a_server_that_died_is_unknown_and_the_run_goes_on(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with open_bench() as stage, bench(fake=stdio(journal=journal)) as b:
        model = Lines(
            says(call("c1", "fake__pay_and_die", amount=5), stop="tool_use"),
            says(call("c2", "fake__add", a=1, b=2), stop="tool_use"),
            says("Perhaps paid."),
        )
        offered = [b.tools["fake__pay_and_die"], b.tools["fake__add"]]
        result = await stage.work(model, tools=offered, runner=LocalToolRunner(SystemClock()))
        [unknown] = await stage.events(ev.ToolOutcomeUnknown)
        completed = await stage.events(ev.ToolCompleted)
    assert result.text == "Perhaps paid."
    assert (unknown.call_id, unknown.name) == ("c1", "fake__pay_and_die")
    assert [(e.call_id, e.result) for e in completed] == [("c2", "3")]
    assert words(journal).count("pay:5") == 1


# --- servers that do not start ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "why"),
    [
        (McpServer(command="no-such-program-anywhere"), "cannot be reached"),
        (stdio("exits"), "cannot be reached"),
        (stdio("silent", start_within_s=1.0), "no answer within 1 s"),
        (stdio("malformed", start_within_s=5.0), "the MCP server 'fake'"),
        (McpServer(url="http://127.0.0.1:9/mcp"), "cannot be reached"),
    ],
    ids=["no program", "exits", "silent", "malformed", "nobody listens"],
)
async def test_server_that_does_not_start_is_an_error_result_and_a_log_line(
    server: McpServer, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    servers = McpServers({"fake": server}, ("fake__add",), SystemClock())
    try:
        async with asyncio.timeout(30):
            [absent] = await servers.start(lambda tools: None)
            done = await LocalToolRunner(SystemClock()).run(absent, {"a": 1}, CONTEXT)
    finally:
        await servers.stop()
    assert done.is_error
    assert "the MCP server 'fake' " in done.text
    assert why in caplog.text
    assert "its tools are not offered until it is there" in caplog.text


async def test_one_server_that_does_not_start_takes_no_other_along() -> None:
    async with bench(bad=stdio("exits"), good=stdio()) as b:
        assert (await b.call("good__add", a=1, b=2)).text == "3"
        assert not [name for name in b.tools if name.startswith("bad")]


async def test_tool_the_server_does_not_have_is_said_so() -> None:
    servers = McpServers({"fake": stdio()}, ("fake__subtract",), SystemClock())
    try:
        tools = {tool.name: tool for tool in await servers.start(lambda tools: None)}
        done = await LocalToolRunner(SystemClock()).run(tools["fake__subtract"], {}, CONTEXT)
    finally:
        await servers.stop()
    assert done.is_error
    assert "has no such tool; it has: fake__add" in done.text


async def test_server_that_comes_later_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.tools.mcp.servers.LOOK_AGAIN_S", 0.2)
    monkeypatch.setattr("runtime.tools.mcp.session.AGAIN_AFTER_S", 0.1)
    program = tmp_path / "late"
    async with bench(fake=McpServer(command=str(program), args=("stdio",))) as b:
        assert not b.tools
        program.write_text(f"#!/bin/sh\nexec {sys.executable} {FAKE} stdio\n")
        program.chmod(0o700)
        await until(lambda: bool(b.changes))
        assert "fake__add" in [tool.name for tool in b.changes[-1]]


async def test_calls_to_a_server_that_is_away_do_not_each_wait_for_it() -> None:
    session = McpSession("fake", stdio("silent", start_within_s=0.5), SystemClock())
    begun = time.monotonic()
    for _ in range(20):
        with suppress(Exception):
            await session.call("add", {})
    await session.close()
    assert time.monotonic() - begun < 9, "one wait of half a second and one end, not twenty"


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["stdio", "deaf"])
async def test_server_ends_with_the_process_that_started_it(mode: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with bench(fake=stdio(mode, journal=journal)):
        [pid] = pids(journal)
        assert alive(pid)
    await until(lambda: not alive(pid))


async def test_server_that_ignores_its_end_dies_when_its_parent_is_killed(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    code = (
        "import asyncio, sys\nfrom runtime.clock import SystemClock\nfrom runtime.config import McpServer\n"
        "from runtime.tools.mcp.session import McpSession\n"
        "async def main():\n"
        f"    await McpSession('f', McpServer(command=sys.executable, args=({FAKE!r}, 'deaf', {str(journal)!r})), "
        "SystemClock()).tools()\n    print('up', flush=True)\n    await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    root = str(Path(__file__).parents[3])
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE, cwd=root, env={**os.environ, "PYTHONPATH": root}
    )
    assert parent.stdout is not None
    assert await parent.stdout.readline() == b"up\n"
    [pid] = pids(journal)
    parent.kill()
    await parent.wait()
    await until(lambda: not alive(pid))


# --- HTTP ------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def http_server(journal: Path, port: int | None = None) -> AsyncIterator[int]:
    if port is None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, FAKE, "http", str(port), str(journal), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(20):
            while True:
                with suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.close()
                    await writer.wait_closed()
                    break
                await asyncio.sleep(0.05)
        yield port
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_server_over_http_is_used_lost_and_found_again(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    async with http_server(journal) as port:
        server = McpServer(url=f"http://127.0.0.1:{port}/mcp", timeout_s=10.0)
        async with bench(web=server) as b:
            assert (await b.call("web__add", a=20, b=22)).text == "42"
            done = await b.call("web__pay_and_die", amount=3)
            assert (done.is_error, done.ending) == (True, "died")
            async with http_server(journal, port):
                async with asyncio.timeout(20):
                    while (done := await b.call("web__add", a=1, b=1)).is_error:
                        await asyncio.sleep(0.2)
                assert done.text == "2"
    assert words(journal).count("pay:3") == 1
