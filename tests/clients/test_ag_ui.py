"""The published AG-UI clients, unmodified, on Node against a running server: they reject a run at the first broken rule."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from ag_ui_validate.pytest_plugin import validate_agui

from runtime.bootstrap.system import in_process_server
from runtime.clock import ManualClock
from runtime.config import Settings
from runtime.events import catalog as ev
from runtime.events.envelope import Stored
from runtime.events.plan import Todo
from runtime.generator.app import build_app
from runtime.generator.protocols.ag_ui.framing import AgUi, Thread
from runtime.generator.protocols.ag_ui.projection import Reader
from runtime.ids import new_id
from runtime.llm.script import ScriptedTurn
from runtime.log.log import TERMINAL_TYPES, Run
from runtime.stream.view import View
from runtime.testing.scripted import answers, calls, fails, plans, says, scripted
from tests.generator.ag_ui.test_projection import NAMES, ended, log_of, parsed
from tests.generator.ag_ui.verifier import Client
from tests.generator.memory_door import MemoryDoor
from tests.node import CLIENTS, installed, running

pytestmark = pytest.mark.timeout(240)

STEPS = (
    Todo(id="left", title="Left", agent="research"),
    Todo(id="right", title="Right", agent="analysis"),
    Todo(id="write", title="Write", agent="writing", depends_on=("left", "right")),
)
OLD = "ag-ui-client-57"
"""Before 1.0: names no protocol version. It is what CopilotKit of August 2026 has inside."""


def when(words: str, turn: ScriptedTurn) -> ScriptedTurn:
    return turn.model_copy(update={"when": words})


TURNS = (
    plans(*STEPS),
    when("the mail", plans(Todo(id="mail", title="Mail", agent="clerk"), Todo(id="ask", title="Ask", agent="asker"))),
    when("the impossible", fails("planner", "ModelRequestRejected", times=0)),
    when("the forbidden", answers("guardrail", allowed=False, category="malware", reason="it harms")),
    answers("guardrail", allowed=True, category="none", reason="fine"),
    when("the long", says("research", "word " * 2000)),
    when("the shaky", fails("research", "ModelStreamBroken", after=3, then="one two three four five")),
    calls("analysis", "calculate", expression="6*7", text="I count. "),
    says("research", "Left words: 42."),
    says("analysis", "Right words. " * 10),
    says("writing", "Both sides are told."),
    calls("clerk", "send", to="Ann"),
    says("clerk", "It is sent."),
    calls("asker", "ask_person", question="Which region?", options=["Europe", "Asia"]),
    says("asker", "Europe it is."),
)


@pytest.fixture
async def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setenv("HEADRACE_TEST_OUTBOX", str(tmp_path / "outbox"))
    settings = Settings(
        model="scripted", log="memory:", data_dir=tmp_path, heartbeat_s=0.2, modules=("tests.clients.ag_ui_agents",)
    )
    async with in_process_server(settings, stand_in=scripted(*TURNS, rate=400)) as url:
        yield url


class Node:
    """A Node process that plays steps."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> dict[str, Any]:
        assert self._process.stdout is not None and self._process.stderr is not None
        async with asyncio.timeout(120):
            line = await self._process.stdout.readline()
        assert line, (await self._process.stderr.read()).decode()[-2000:]
        found: dict[str, Any] = json.loads(line)
        return found

    async def said(self, kind: str) -> None:
        """Wait until an event of that type has come."""
        assert (await self.line())["said"] == kind

    async def done(self) -> dict[str, Any]:
        """What the next step came to; without the lines about single events."""
        while "done" not in (line := await self.line()):
            pass
        played: dict[str, Any] = line["done"]
        assert played["warnings"] == [], "the client drops or doubts nothing"
        return played


@asynccontextmanager
async def played(url: str, *steps: dict[str, Any], **plan: Any) -> AsyncIterator[Node]:
    script = (await asyncio.to_thread(installed, CLIENTS)) / "ag_ui.mjs"
    async with running(script, url, json.dumps({"threadId": "thread-1", "steps": steps, **plan})) as process:
        yield Node(process)


def ask(message: str, run: str = "run-1", **more: Any) -> dict[str, Any]:
    return {"do": "run", "runId": run, "message": message, **more}


def kinds(played: dict[str, Any]) -> list[str]:
    return [event["type"] for event in played["events"]]


def check(played: dict[str, Any]) -> Client:
    """Our reading of the rules and the validator's, over what the client was sent; and both clients agree on the end."""
    assert played["thrown"] is None, played["thrown"]
    client = Client()
    for event in played["events"]:
        client.take(event)
    found = [d for d in validate_agui(played["events"]).diagnostics if d.severity != "info"]
    assert not found, found
    assert client.state == played["state"]
    theirs = {m["id"]: m.get("content") or "" for m in played["messages"] if m["role"] == "assistant"}
    assert {name: text for name, text in theirs.items() if text}.items() >= client.texts.items()
    return client


async def test_an_ordinary_run_with_parallel_stages_and_tools(url: str) -> None:
    async with played(url, ask("Why the tides?"), ask("And then?", "run-2")) as node:
        first, second = await node.done(), await node.done()
    client = check(first)
    assert "Both sides are told." in client.texts.values() and "Left words: 42." in client.texts.values()
    assert [call["function"]["name"] for call in client.calls.values()] == ["calculate"]
    assert list(client.results().values()) == ["42"]
    assert {todo["status"] for todo in first["state"]["plan"]} == {"completed"}
    assert first["result"]["answer"] == "Both sides are told." and first["interrupts"] == []
    assert {"SUBAGENT_STARTED", "STEP_STARTED", "ACTIVITY_DELTA", "STATE_DELTA"} <= set(kinds(first))
    users = [m["content"] for m in second["messages"] if m["role"] == "user"]
    assert users == ["Why the tides?", "And then?"], "the question is not doubled by the echo in RUN_STARTED"
    assert len(second["messages"]) == 2 * len(first["messages"])


async def test_a_run_that_asks_people_is_gone_on_with_by_resume(url: str, tmp_path: Path) -> None:
    wishes = {"forwardedProps": {"headrace": {"approve_plan": True}}}
    yes = {"status": "resolved", "payload": {"approved": True}}
    reply = {"status": "resolved", "payload": {"text": "Europe"}}
    answered = {"confirmation": yes, "tool_call": yes, "input_required": reply}
    steps = (
        ask("Send the mail", **wishes),
        {"do": "run", "runId": "run-2", "answers": answered},
        {"do": "run", "runId": "run-3", "answers": answered},
        {"do": "connect", "runId": "again", "agent": "two"},
    )
    async with played(url, *steps) as node:
        first, second, third, again = [await node.done() for _ in steps]
    assert [i["reason"] for i in first["interrupts"]] == ["confirmation"]
    assert sorted(i["reason"] for i in second["interrupts"]) == ["input_required", "tool_call"]
    assert first["events"][-1]["outcome"]["type"] == second["events"][-1]["outcome"]["type"] == "interrupt"
    assert {i["toolCallId"] for i in second["interrupts"]} <= check(second).calls.keys()
    client = check(third)
    assert third["interrupts"] == [] and third["events"][0]["runId"] == "run-3"
    assert sorted(client.results().values()) == ["Europe", "sent to Ann"]
    assert (tmp_path / "outbox").read_text() == "Ann\n"
    assert {m["id"]: m for m in again["messages"]} == {m["id"]: m for m in third["messages"]}


async def test_a_cancelled_run_is_closed_and_says_so(url: str) -> None:
    async with played(url, ask("Why the long?", say="TEXT_MESSAGE_CONTENT")) as node:
        await node.said("TEXT_MESSAGE_CONTENT")
        async with httpx2.AsyncClient(base_url=url) as http:
            stopped = await http.post(
                "/v1/ag-ui/agent/default/stop/thread-1", headers={"Content-Type": "application/json"}
            )
            assert stopped.json()["stopped"] is True
            done = await node.done()
            again = await http.post("/v1/ag-ui/agent/default/stop/thread-1")
    check(done)
    assert done["events"][-1]["outcome"] == {"type": "cancelled"}
    assert again.status_code == 200 and again.json()["stopped"] is False


@pytest.mark.parametrize("client", ["@ag-ui/client", OLD])
async def test_a_failure_is_an_error_and_a_refusal_is_an_answer(url: str, client: str) -> None:
    steps = (ask("Do the impossible"), ask("Do the forbidden", "run-2", agent="two", threadId="thread-2"))
    async with played(url, *steps, client=client) as node:
        failed, refused = await node.done(), await node.done()
    check(failed)
    assert failed["error"]["code"] == "request_rejected" and failed["error"]["message"]
    assert check(refused).texts.popitem()[1] == "malware: it harms"
    assert refused["result"]["stopped"] == "malware: it harms"


async def test_what_a_broken_attempt_said_is_taken_back(url: str) -> None:
    async with played(url, ask("Why the shaky?")) as node:
        done = await node.done()
    client = check(done)
    assert "MESSAGES_SNAPSHOT" in kinds(done)
    texts = [text for text in client.texts.values() if text.startswith("one")]
    assert texts == ["one two three four five"]
    assert [m["content"] for m in done["messages"] if m["role"] == "user"] == ["Why the shaky?"]


async def test_connect_replays_a_thread_as_it_was_live(url: str) -> None:
    steps = (
        ask("Why the tides?"),
        {"do": "connect", "runId": "again", "agent": "two"},
        {"do": "connect", "runId": "again", "agent": "three", "threadId": "nobodys"},
    )
    async with played(url, *steps) as node:
        live, replayed, nothing = [await node.done() for _ in steps]
    assert live["events"] == replayed["events"] and live["messages"] == replayed["messages"]
    assert live["state"] == replayed["state"]
    assert nothing["events"] == [] and nothing["thrown"] is None


async def test_connect_follows_a_run_that_goes_on(url: str) -> None:
    async with played(url, ask("Why the long?", say="TEXT_MESSAGE_CONTENT")) as first:
        await first.said("TEXT_MESSAGE_CONTENT")
        step = {"do": "connect", "runId": "again", "say": "TEXT_MESSAGE_CONTENT"}
        async with played(url, step) as second:
            await second.said("TEXT_MESSAGE_CONTENT")
            async with httpx2.AsyncClient(base_url=url) as http:
                await http.post("/v1/ag-ui/agent/default/stop/thread-1")
            live, replayed = await first.done(), await second.done()
    assert live["events"] == replayed["events"]


async def test_the_client_inside_copilotkit_runs_cancels_and_connects(url: str) -> None:
    base = "/v1/ag-ui/agent/default/run"
    steps = (
        ask("Why the tides?"),
        ask("Why the long?", "run-2", agent="two", threadId="thread-2", say="TEXT_MESSAGE_CONTENT"),
        {"do": "connect", "runId": "again", "agent": "three"},
    )
    async with played(url, *steps, client=OLD, path=base) as node:
        done = await node.done()
        await node.said("TEXT_MESSAGE_CONTENT")
        async with httpx2.AsyncClient(base_url=url) as http:
            await http.post("/v1/ag-ui/agent/default/stop/thread-2")
        cancelled, again = await node.done(), await node.done()
    assert "Both sides are told." in check(done).texts.values()
    assert not [kind for kind in kinds(done) if kind.startswith("SUBAGENT_")]
    assert "headrace.agent.completed" in [event.get("name") for event in done["events"]]
    check(cancelled)
    assert "outcome" not in cancelled["events"][-1] and cancelled["events"][-1]["result"]["cancelled"] is True
    assert again["messages"] == done["messages"] and again["state"] == done["state"]
    assert kinds(again) == kinds(done)  # not the events themselves: this client patches inside of them


@pytest.mark.parametrize("client", ["@ag-ui/client", OLD])
async def test_every_kept_log_is_accepted(tmp_path: Path, client: str) -> None:
    """Also a takeover in the middle of an answer; an unfinished log is cancelled where it ends."""
    door = MemoryDoor(ManualClock())
    texts: dict[str, list[str]] = {}
    for name in NAMES:
        log = log_of(name)
        if log[-1].type not in TERMINAL_TYPES:
            log = tuple(ended(log, ev.RunCancelled(reason="user")))
        thread, run_id = name.replace(".", "-"), str(uuid.uuid5(uuid.NAMESPACE_URL, name))
        texts[thread] = keep(door, thread, run_id, log)
    steps = [{"do": "connect", "runId": "x", "agent": thread, "threadId": thread} for thread in texts]
    async with socket_of(door, tmp_path) as url, played(url, *steps, client=client) as node:
        for thread, expected in texts.items():
            done = await node.done()
            assert sorted(check(done).texts.values()) == expected, thread
            shown = sorted(m["content"] for m in done["messages"] if m["role"] == "assistant" and m.get("content"))
            assert shown == expected, thread


def keep(door: MemoryDoor, thread: str, run_id: str, log: Sequence[Stored]) -> list[str]:
    """Put a kept log into the store; what its client is to have said in the end."""
    own = [s._replace(body=s.body.replace(b'"run_id":"r1"', f'"run_id":"{run_id}"'.encode())) for s in log]
    status = TERMINAL_TYPES[own[-1].type]
    door.runs[run_id] = Run(
        run_id, "default", thread, "Why?", status, 1, own[-1].seq, None, 1.0, 2.0, False, "continue", 30.0, 0
    )
    door.events[run_id] = own
    client = Client()
    for event in parsed(AgUi(Thread(Reader(thread)), View()).bytes_of(own)):
        client.take(event)
    return sorted(client.texts.values())


@asynccontextmanager
async def socket_of(door: MemoryDoor, folder: Path) -> AsyncIterator[str]:
    """The app over that door on a socket."""
    app = build_app(door, Settings(data_dir=folder, model="offline"), clock=door.clock, new_id=new_id, team=tuple)
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


async def test_a_refused_request_is_told_with_its_reason(url: str) -> None:
    async with played(url, ask("Why?", threadId="not a thread of ours")) as node:
        thrown = (await node.done())["thrown"]
    assert thrown["status"] == 422 and "/threadId" in str(thrown["payload"])
