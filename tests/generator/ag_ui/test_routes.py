"""``/v1/ag-ui`` over a door in memory: what is asked for, what is refused before a stream begins, and which run is met."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers

from runtime.config import Settings
from runtime.events import catalog as ev
from runtime.events.codec import decode
from runtime.events.envelope import Draft
from runtime.generator.app import build_app
from runtime.generator.principal import Principal
from tests.generator.ag_ui.made import PLAN
from tests.generator.ag_ui.test_projection import parsed
from tests.generator.ag_ui.verifier import Json
from tests.generator.driver import Exchange, http_scope
from tests.generator.memory_door import MemoryDoor
from tests.generator.runs_by_door import ids, team

SSE = {"Accept": "text/event-stream"}
TEXT = {"type": "text", "text": "What is this?"}
CONNECT = "/v1/ag-ui/agent/default/connect"


def body(message: object = "Why?", **changes: object) -> dict[str, Any]:
    question = {"id": "m1", "role": "user", "content": message}
    usual = {"threadId": "thread-1", "runId": "run-1", "protocolVersion": "1.0", "messages": [question]}
    return {**usual, "tools": [], "context": [], "state": {}, "forwardedProps": {}, **changes}


async def post(http: httpx2.AsyncClient, given: dict[str, Any], path: str = "/v1/ag-ui") -> httpx2.Response:
    async with asyncio.timeout(20):
        return await http.post(path, json=given, headers=SSE)


async def begun(door: MemoryDoor, number: int = 1) -> str:
    """The run that is being asked for, once it is there."""
    async with asyncio.timeout(5):
        while len(door.runs) < number:
            await asyncio.sleep(0.01)
    return list(door.runs)[-1]


async def worked_on(door: MemoryDoor, run_id: str) -> None:
    place = {"stage": "a", "agent": "research", "turn": 1, "attempt": 1}
    await door.publish(
        run_id,
        Draft(ev.RunStarted(epoch=1, owner="e", code_version="1")),
        Draft(ev.PlanCommitted(plan=PLAN)),
        Draft(ev.StageStarted(index=1, of=1, title="Look", todo="a"), stage="a", agent="research"),
        *(Draft(ev.TurnDelta(text=text), **place) for text in ("Be", "cause.")),  # type: ignore[arg-type]
        Draft(ev.RunCompleted(answer="Because.")),
    )


async def asked(http: httpx2.AsyncClient, door: MemoryDoor, given: dict[str, Any]) -> httpx2.Response:
    """A question whose run is worked on."""
    number = len(door.runs) + 1
    answer = asyncio.create_task(post(http, given))
    await worked_on(door, await begun(door, number))
    return await answer


def accepted(door: MemoryDoor, run_id: str) -> ev.RunAccepted:
    event = decode(door.events[run_id][0]).event
    assert isinstance(event, ev.RunAccepted)
    return event


async def test_a_question_is_a_run_of_the_thread(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    wishes = {"headrace": {"approve_plan": True, "budget_usd": 0.5, "deadline_s": 60.0, "metadata": {"a": "b"}}, "x": 1}
    response = await asked(http, door, body(forwardedProps=wishes))
    assert response.status_code == 200 and response.headers["content-type"].startswith("text/event-stream")
    run_id = response.headers["x-run-id"]
    assert response.headers["location"] == f"/v1/runs/{run_id}"
    run = accepted(door, run_id)
    assert (run.input.question, run.conversation_id, run.approve_plan) == ("Why?", "thread-1", True)
    assert (run.limits.budget_usd, run.limits.deadline_s, run.on_disconnect, run.grace_s) == (0.5, 60.0, "cancel", 30.0)
    assert run.input.metadata == {"a": "b", "ag-ui.runId": "run-1", "ag-ui.messageId": "m1"}
    events = parsed(response.content.partition(b"\n\n")[2])
    assert response.content.startswith(b": ") and b"\r" not in response.content
    assert (events[0]["type"], events[0]["runId"], events[-1]["type"]) == ("RUN_STARTED", "run-1", "RUN_FINISHED")


async def test_the_same_run_of_a_thread_is_met_again_with_the_same_bytes(
    http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    first = await asked(http, door, body())
    again = await post(http, body())
    connected = await post(http, body(runId="x", messages=[]), CONNECT)
    assert len(door.runs) == 1
    assert first.content == again.content == connected.content
    other = await post(http, body("Something else?"))
    assert other.status_code == 422


async def test_a_thread_is_replayed_run_by_run_and_read_by_what_the_client_names(
    http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    await asked(http, door, body())
    await asked(http, door, body(runId="run-2", messages=[{"id": "m2", "role": "user", "content": "And then?"}]))
    native = (await http.post("/v1/runs", json={"input": "Natively?", "conversation_id": "thread-1"})).json()["run_id"]
    await worked_on(door, native)
    events = parsed((await post(http, body(messages=[]), CONNECT)).content.partition(b"\n\n")[2])
    started = [event for event in events if event["type"] == "RUN_STARTED"]
    assert [event["runId"] for event in started] == ["run-1", "run-2", native]
    assert [event["input"]["messages"][0]["content"] for event in started] == ["Why?", "And then?", "Natively?"]
    assert not any(event["type"] == "MESSAGES_SNAPSHOT" for event in events)
    cleared = parsed((await post(http, body(), CONNECT)).content.partition(b"\n\n")[2])
    snapshots = [event["messages"] for event in cleared if event["type"] == "MESSAGES_SNAPSHOT"]
    assert snapshots == [[{"id": "m1", "role": "user", "content": "Why?"}]], "what the client had is put aside, once"


async def test_parts_and_context_become_text_and_attachments(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    png = base64.b64encode(b"\x89PNG\r\n\x1a\nrest").decode()
    parts = [
        {"type": "text", "text": "What is"},
        {"type": "image", "source": {"type": "data", "value": png, "mimeType": "image/png"}},
        {"type": "document", "source": {"type": "url", "value": "https://example.org/a.pdf"}},
        {"type": "text", "text": "this?"},
    ]
    response = await asked(http, door, body(parts, context=[{"description": "page", "value": "tides"}]))
    run = accepted(door, response.headers["x-run-id"])
    assert run.input.question == "What is\nthis?"
    kinds = [(one.type, one.media_type, one.url) for one in run.input.attachments]
    assert kinds == [
        ("image", "image/png", None),
        ("pdf", "", "https://example.org/a.pdf"),
        ("text", "text/plain", None),
    ]
    assert base64.b64decode(run.input.attachments[2].data or "") == b"page:\ntides"


async def test_tools_of_the_front_end_have_no_effect_and_that_is_said(
    http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    tool = {"name": "paint", "description": "Paint.", "parameters": {}}
    response = await asked(http, door, body(tools=[tool], unknown={"field": 1}))
    assert response.status_code == 200 and response.headers["x-headrace-ignored"] == "tools"
    assert "x-headrace-ignored" not in (await post(http, body())).headers


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"threadId": "not a thread"}, "/threadId"),
        ({"threadId": "x" * 65}, "/threadId"),
        ({"threadId": 5}, "/threadId"),
        ({"runId": ""}, "/runId"),
        ({"runId": "x" * 201}, "/runId"),
        ({"messages": []}, "/messages"),
        ({"messages": [{"id": "m", "role": "nobody", "content": "x"}]}, "/messages/0"),
        ({"messages": [{"id": "m", "role": "user", "content": "   "}]}, "/messages/0/content"),
        ({"messages": [{"id": "m" * 201, "role": "user", "content": "x"}]}, "/messages/0/id"),
        (
            {"messages": [{"id": "m", "role": "user", "content": [{"type": "audio", "source": {"type": "url", "value": "u"}}]}]},
            "/messages/0/content/0",
        ),
        (
            {"messages": [{"id": "m", "role": "user", "content": [{"type": "image", "source": {"type": "file", "value": "u"}}]}]},
            "/messages/0/content/0/source",
        ),
        (
            {"messages": [{"id": "m", "role": "user", "content": [TEXT, {"type": "image", "source": {"type": "url", "value": "http://u"}}]}]},
            "/messages/0/content/attachments",
        ),
        ({"forwardedProps": {"headrace": {"tenant_id": "other"}}}, "/forwardedProps/headrace/tenant_id"),
        ({"forwardedProps": {"headrace": {"budget_usd": "5"}}}, "/forwardedProps/headrace/budget_usd"),
        ({"forwardedProps": {"headrace": []}}, "/forwardedProps/headrace"),
        ({"resume": [{"interruptId": "plan", "status": "resolved"}]}, "/resume/0/interruptId"),
        ({"resume": [{"interruptId": "plan", "status": "maybe"}]}, "/resume/0/status"),
    ],
)  # fmt: skip
async def test_what_does_not_fit_is_pointed_at(
    http: httpx2.AsyncClient, door: MemoryDoor, changes: dict[str, Any], pointer: str
) -> None:
    response = await post(http, body(**changes))
    problem = response.json()
    assert response.status_code == 422 and response.headers["content-type"] == "application/problem+json"
    assert problem["errors"][0]["pointer"].startswith(pointer), problem
    assert not door.runs


async def test_a_request_is_refused_before_its_stream_as_natively(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    assert (await http.post("/v1/ag-ui", json=body(), headers={"Accept": "application/xml"})).status_code == 406
    assert (await http.post("/v1/ag-ui", content=b"{}", headers=SSE)).status_code == 415
    assert (await post(http, body("x" * 5000))).status_code == 413
    for verb, path in (("run", body()), ("connect", body())):
        assert (await post(http, path, f"/v1/ag-ui/agent/other/{verb}")).status_code == 404
    assert (await http.post("/v1/ag-ui/agent/other/stop/thread-1")).status_code == 404
    door.down = True
    refused = await post(http, body())
    assert refused.status_code == 503 and refused.headers["retry-after"]


async def test_a_busy_thread_and_too_many_streams_are_refused(
    http: httpx2.AsyncClient, door: MemoryDoor, app: Starlette
) -> None:
    first = asyncio.create_task(post(http, body()))
    run_id = await begun(door)
    busy = await post(http, body(runId="run-2"))
    assert (busy.status_code, busy.json()["code"]) == (409, "conversation_busy")
    others = [asyncio.create_task(post(http, body(threadId=f"t{n}"))) for n in range(2)]
    async with asyncio.timeout(10):
        while sum(door.readers.values()) < 3:
            await asyncio.sleep(0.01)
    full = await post(http, body(threadId="t9"))
    assert full.status_code == 429 and full.headers["retry-after"]
    assert (await post(http, body(), CONNECT)).status_code == 429
    for one in list(door.runs):
        await worked_on(door, one)
    await asyncio.gather(first, *others)
    assert run_id in door.runs


async def test_stop_cancels_the_threads_run_and_nothing_else(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    path = "/v1/ag-ui/agent/default/stop"
    answer = asyncio.create_task(post(http, body()))
    run_id = await begun(door)
    for nobodys in ("other", "no%20thread"):
        response = await http.post(f"{path}/{nobodys}")
        assert (response.status_code, response.json()["stopped"]) == (200, False)
    assert (await http.post(f"{path}/thread-1")).json()["stopped"] is True
    assert door.runs[run_id].cancel_requested
    await door.publish(
        run_id, Draft(ev.RunStarted(epoch=1, owner="e", code_version="1")), Draft(ev.RunCancelled(reason="user"))
    )
    assert parsed((await answer).content.partition(b"\n\n")[2])[-1]["outcome"] == {"type": "cancelled"}
    assert (await http.post(f"{path}/thread-1")).json()["stopped"] is False


async def test_info_is_what_copilotkit_asks_for(http: httpx2.AsyncClient) -> None:
    info = (await http.get("/v1/ag-ui/info")).json()
    assert info["mode"] == "sse" and list(info["agents"]) == ["default"]
    agent = info["agents"]["default"]
    assert agent.keys() == {"name", "className", "description", "capabilities"}
    assert agent["capabilities"]["humanInTheLoop"]["interrupts"] is True
    assert agent["capabilities"]["tools"]["clientProvided"] is False
    assert info["threadEndpoints"] == {"list": False, "inspect": False, "mutations": False, "realtimeMetadata": False}
    assert {"version", "audioFileTranscriptionEnabled", "a2uiEnabled", "telemetryDisabled"} <= info.keys()


# --- resume ----------------------------------------------------------------------------------------------------------

HASH = "a" * 64


def requested(approval: str, kind: str, **more: Any) -> ev.ApprovalRequested:
    return ev.ApprovalRequested(
        approval=approval,
        kind=kind,
        what="May I?",
        arguments_hash=HASH,
        expires_at=9e9,
        **more,  # type: ignore[arg-type]
    )


@pytest.fixture
async def waiting(http: httpx2.AsyncClient, door: MemoryDoor) -> tuple[str, list[Json]]:
    """A run that waits for its plan and for an answer, and the interrupts that its stream ended with."""
    answer = asyncio.create_task(post(http, body()))
    run_id = await begun(door)
    await door.publish(
        run_id,
        Draft(ev.RunStarted(epoch=1, owner="e", code_version="1")),
        Draft(ev.PlanCommitted(plan=PLAN)),
        Draft(requested("plan", "plan")),
        Draft(ev.StageStarted(index=1, of=1, title="Look", todo="a"), stage="a", agent="research"),
        Draft(requested("a.1", "question", options=("yes", "no")), stage="a", agent="research"),
        Draft(ev.RunWaiting(reason="people", approvals=("plan", "a.1"))),
    )
    last = parsed((await answer).content.partition(b"\n\n")[2])[-1]
    assert last["outcome"]["type"] == "interrupt"
    assert door.readers[run_id] == 0, "the stream is over"
    interrupts: list[Json] = last["outcome"]["interrupts"]
    return run_id, interrupts


def entry(interrupt: Json, payload: object = None, **changes: object) -> Json:
    given = {} if payload is None else {"payload": payload}
    return {"interruptId": interrupt["id"], "status": "resolved", **given, **changes}


async def test_answers_are_recorded_and_the_stream_goes_on_after_the_interrupt(
    http: httpx2.AsyncClient, door: MemoryDoor, waiting: tuple[str, list[Json]]
) -> None:
    run_id, (plan, question) = waiting
    given = body(runId="run-2", resume=[entry(plan, {"approved": True}), entry(question, {"text": "yes"})])
    answer = asyncio.create_task(post(http, given))
    async with asyncio.timeout(5):
        while sum(stored.type == "approval.given" for stored in door.events[run_id]) < 2:
            await asyncio.sleep(0.01)
    await door.publish(
        run_id, Draft(ev.RunStarted(epoch=2, owner="e", code_version="1")), Draft(ev.RunCompleted(answer="So."))
    )
    response = await answer
    events = parsed(response.content.partition(b"\n\n")[2])
    assert (events[0]["type"], events[0]["runId"]) == ("RUN_STARTED", "run-2")
    assert events[-1]["runId"] == "run-2" and events[-1]["outcome"] == {"type": "success"}
    assert response.headers["x-run-id"] == run_id
    said = [decode(s).event for s in door.events[run_id] if s.type == "approval.given"]
    assert [(e.approval, e.approved, e.text) for e in said] == [("plan", True, ""), ("a.1", True, "yes")]  # type: ignore[union-attr]
    assert (await post(http, given)).content == response.content, "the same answers once more change nothing"
    other = body(runId="run-3", resume=[entry(plan, {"approved": False}), entry(question, {"text": "yes"})])
    assert (await post(http, other)).json()["code"] == "already_answered"
    first = parsed((await post(http, body())).content.partition(b"\n\n")[2])
    assert first[-1]["outcome"]["type"] == "interrupt", "the first run is what it was"
    replayed = parsed((await post(http, body(messages=[]), CONNECT)).content.partition(b"\n\n")[2])
    assert [e["runId"] for e in replayed if e["type"] == "RUN_STARTED"] == ["run-1", "run-1.2"]


async def test_cancelling_an_interrupt_is_a_refusal(
    http: httpx2.AsyncClient, door: MemoryDoor, waiting: tuple[str, list[Json]]
) -> None:
    run_id, (plan, question) = waiting
    resume = [entry(plan, True), entry(question, status="cancelled")]
    answer = asyncio.create_task(post(http, body(runId="run-2", resume=resume)))
    async with asyncio.timeout(5):
        while sum(stored.type == "approval.given" for stored in door.events[run_id]) < 2:
            await asyncio.sleep(0.01)
    await door.publish(run_id, Draft(ev.RunCompleted(answer="So.")))
    await answer
    said = [decode(s).event for s in door.events[run_id] if s.type == "approval.given"]
    assert [e.approved for e in said] == [True, False]  # type: ignore[union-attr]


async def test_an_answer_that_does_not_fit_records_nothing(
    http: httpx2.AsyncClient, door: MemoryDoor, waiting: tuple[str, list[Json]]
) -> None:
    run_id, (plan, question) = waiting
    yes, reply = entry(plan, {"approved": True}), entry(question, {"text": "yes"})
    swapped = {**yes, "interruptId": yes["interruptId"].replace(HASH, "b" * 64)}
    swapped_too = {**reply, "interruptId": reply["interruptId"].replace(HASH, "b" * 64)}
    cases = [
        ([yes, swapped_too], 409, "arguments_changed"),
        ([yes], 409, "interrupts_open"),
        ([swapped, reply], 409, "arguments_changed"),
        ([yes, {**reply, "interruptId": f"{run_id}.{HASH}.nothing"}], 409, "not_asked"),
        ([yes, {**reply, "payload": {"answer": "yes"}}], 422, "validation_failed"),
        ([yes, {**reply, "payload": {"text": ""}}], 422, "validation_failed"),
        ([{**yes, "payload": {"approved": True, "editedArgs": {}}}, reply], 422, "validation_failed"),
        ([{**yes, "payload": {"approved": "yes"}}, reply], 422, "validation_failed"),
        ([{**yes, "payload": {"approved": True, "plan": {"todos": []}}}, reply], 422, "validation_failed"),
        ([yes, yes], 422, "validation_failed"),
    ]
    for resume, status, code in cases:
        response = await post(http, body(runId="run-2", resume=resume))
        assert (response.status_code, response.json()["code"]) == (status, code), resume
    elsewhere = await post(http, body(threadId="thread-2", runId="run-2", resume=[yes, reply]))
    assert elsewhere.status_code == 404, "the interrupt is of another thread"
    assert not any(stored.type == "approval.given" for stored in door.events[run_id])
    unanswered = await post(http, body(runId="run-2", messages=[{"id": "m2", "role": "user", "content": "So?"}]))
    assert (unanswered.status_code, unanswered.json()["code"]) == (409, "conversation_busy")


# --- who asks, and who leaves ------------------------------------------------------------------------------------------


async def by_header(headers: Headers) -> Principal:
    """The test's own credentials: tenant and scopes as the header names them."""
    tenant, _, scopes = headers["authorization"].partition(" ")
    return Principal(tenant, "somebody", frozenset(scopes.split()))  # type: ignore[arg-type]


async def test_each_path_asks_for_its_scope_and_shows_no_tenant_anothers_thread(
    door: MemoryDoor, settings: Settings
) -> None:
    app = build_app(door, settings, clock=door.clock, new_id=ids().__next__, team=team, authenticate=by_header)
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:

        async def asked(path: str, scopes: str, tenant: str = "t1", **changes: object) -> httpx2.Response:
            headers = {**SSE, "Authorization": f"{tenant} {scopes}"}
            return await http.post(path, json=body(**changes), headers=headers)

        stop = "/v1/ag-ui/agent/default/stop/thread-1"
        for path, lacking in (
            ("/v1/ag-ui", "runs:read runs:cancel"),
            ("/v1/ag-ui/agent/default/run", "runs:read runs:cancel"),
            (CONNECT, "runs:write runs:cancel"),
            (stop, "runs:read runs:write"),
        ):
            assert (await asked(path, lacking)).status_code == 403, path
        answer = asyncio.create_task(asked("/v1/ag-ui", "runs:write"))
        run_id = await begun(door)
        assert door.runs[run_id].tenant_id == "t1"
        assert (await asked(stop, "runs:cancel", "t2")).json()["stopped"] is False
        await worked_on(door, run_id)
        await answer
        foreign = await asked(CONNECT, "runs:read", "t2")
        assert foreign.status_code == 200 and b"data:" not in foreign.content
        assert b"data:" in (await asked(CONNECT, "runs:read")).content
        resume = [{"interruptId": f"{run_id}.{HASH}.plan", "status": "cancelled"}]
        assert (await asked("/v1/ag-ui", "runs:write", "t2", resume=resume)).status_code == 404


async def test_a_client_that_leaves_is_a_reader_less_and_the_run_goes_by_its_own_rule(
    door: MemoryDoor, app: Starlette
) -> None:
    headers = [("Accept", "text/event-stream"), ("Content-Type", "application/json")]
    exchange = Exchange(app, http_scope("POST", "/v1/ag-ui", headers), json.dumps(body()).encode())
    run_id = await begun(door)
    await exchange.until_sent(b"AG-UI")
    async with asyncio.timeout(5):
        while not door.readers.get(run_id):
            await asyncio.sleep(0.01)
    await exchange.leave()
    assert door.readers[run_id] == 0
    assert (door.runs[run_id].on_disconnect, door.runs[run_id].grace_s) == ("cancel", 30.0)
