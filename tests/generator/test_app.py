import asyncio
import json
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.types import Message

from runtime.config import Settings
from runtime.events import catalog as ev
from runtime.events.codec import parse_public
from runtime.events.envelope import Draft
from runtime.generator.app import build_app
from runtime.generator.contract import RunSnapshot
from runtime.generator.sse import COME_BACK, OPENING
from tests.generator.driver import Exchange, http_scope
from tests.generator.memory_door import MemoryDoor
from tests.generator.runs_by_door import JSON, STREAM, UNKNOWN, ask, team, whole_run

# --- creating --------------------------------------------------------------------------------------------------------


async def test_created_run_is_accepted_with_its_first_event(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    response = await http.post("/v1/runs", json={"input": "Why? " * 100, "metadata": {"k": "v"}, "deadline_s": 60})
    body = response.json()
    run_id = body["run_id"]
    assert response.status_code == 202
    assert response.headers["location"] == f"/v1/runs/{run_id}" == body["links"]["self"]
    assert response.headers["x-run-id"] == run_id
    assert (body["state"], body["on_disconnect"]) == ("accepted", "continue")
    assert len(door.runs[run_id].question) == 200
    accepted = json.loads(door.events[run_id][0].body)
    assert accepted["type"] == "run.accepted"
    assert accepted["run_id"] == run_id
    assert accepted["data"]["limits"]["deadline_s"] == 60
    assert accepted["data"]["input"] == {"question": "Why? " * 100, "documents": None, "metadata": {"k": "v"}}


async def test_streaming_post_opens_at_once_and_follows_to_the_end(app: Starlette, door: MemoryDoor) -> None:
    exchange = Exchange(app, http_scope("POST", "/v1/runs", [JSON, STREAM]), b'{"input":"Why?"}')
    await exchange.until_sent(b"run.accepted")
    run_id = exchange.headers["x-run-id"]
    assert exchange.status == 200
    assert exchange.text.startswith(OPENING)
    assert exchange.headers["location"] == f"/v1/runs/{run_id}"
    assert exchange.headers["x-request-id"]
    assert door.runs[run_id].on_disconnect == "cancel"
    await exchange.until_sent(b": ping\n\n")
    await whole_run(door, run_id)
    await door.publish(run_id, Draft(ev.RunCompleted(answer="Because.")))
    await exchange.done()
    assert exchange.ended
    lines = exchange.text.decode().split("\n")
    numbers = [int(line.removeprefix("id: ").split(".")[0]) for line in lines if line.startswith("id: ")]
    events = [parse_public(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]
    assert numbers == list(range(1, door.runs[run_id].last_seq + 1))
    assert [e.seq for e in events] == numbers
    assert events[-1].event.type == "run.completed"
    assert door.closed == 1


async def test_client_that_leaves_a_streaming_post_is_a_reader_gone(app: Starlette, door: MemoryDoor) -> None:
    exchange = Exchange(app, http_scope("POST", "/v1/runs", [JSON, STREAM]), b'{"input":"Why?"}')
    await exchange.until_sent(b"run.accepted")
    run_id = exchange.headers["x-run-id"]
    assert door.readers[run_id] == 1
    await exchange.leave()
    assert (door.readers[run_id], door.closed) == (0, 1)


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b'{"input":"a","input":"b"}', {}, 400, "invalid_json"),
        (b'{"input":"a","tenant_id":"b"}', {}, 422, "validation_failed"),
        (b'{"input":"a"}', {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (b'{"input":"a"}', {"Content-Encoding": "gzip"}, 415, "unsupported_encoding"),
        (b" " * 5000, {}, 413, "body_too_large"),
        (b'{"input":"a"}', {"Accept": "application/xml"}, 406, "not_acceptable"),
        (b'{"input":"a"}', {"Idempotency-Key": "x" * 256}, 400, "invalid_idempotency_key"),
        (b'{"input":"a"}', {"Idempotency-Key": "é"}, 400, "invalid_idempotency_key"),
        (b'{"input":"a"}', {"Idempotency-Key": ""}, 400, "invalid_idempotency_key"),
        (b'{"input":"a","documents":"/no/such/folder"}', {}, 422, "documents_not_found"),
        (b'{"input":"a"}', {"Host": "evil.example"}, 421, "foreign_host"),
    ],
)
async def test_refused_posts_create_nothing(
    http: httpx2.AsyncClient, door: MemoryDoor, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    wire = {name.encode(): value.encode() for name, value in {"Content-Type": "application/json", **headers}.items()}
    response = await http.post("/v1/runs", content=content, headers=wire)
    assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["request_id"] == response.headers["x-request-id"]
    assert not door.runs


async def test_documents_are_an_existing_folder(
    http: httpx2.AsyncClient, door: MemoryDoor, tmp_path: Path, settings: Settings
) -> None:
    (tmp_path / "file.md").write_text("x")
    run_id = await ask(http, documents=str(tmp_path))
    assert json.loads(door.events[run_id][0].body)["data"]["input"]["documents"] == str(tmp_path.resolve())
    for missing in (tmp_path / "none", tmp_path / "file.md", "x" * 4000):
        response = await http.post("/v1/runs", json={"input": "a", "documents": str(missing)})
        assert response.status_code == 422
        assert "name an existing folder" in response.json()["detail"]
        assert response.json()["errors"][0]["pointer"] == "/documents"
    configured = build_app(
        door, settings.model_copy(update={"documents": tmp_path}), clock=door.clock, new_id=lambda: UNKNOWN, team=team
    )
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=configured), base_url="http://localhost") as other:
        await ask(other)
    assert json.loads(door.events[UNKNOWN][0].body)["data"]["input"]["documents"] == str(tmp_path)


async def test_idempotency(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    key = {"Idempotency-Key": '"k-1"'}
    first = await http.post("/v1/runs", json={"input": "a", "grace_s": 5}, headers=key)
    again = await http.post(
        "/v1/runs", content=b'{"grace_s":5.0, "input":"a", "metadata":{}}', headers={**key, **dict([JSON])}
    )
    other = await http.post("/v1/runs", json={"input": "b"}, headers=key)
    assert first.json() == again.json()
    assert (again.status_code, other.status_code, len(door.runs)) == (202, 422, 1)


async def test_busy_conversation_is_a_conflict(http: httpx2.AsyncClient) -> None:
    await ask(http, conversation_id="c1")
    response = await http.post("/v1/runs", json={"input": "a", "conversation_id": "c1"})
    assert (response.status_code, response.json()["code"]) == (409, "conversation_busy")


async def test_client_that_leaves_midway_through_its_body_creates_nothing(app: Starlette, door: MemoryDoor) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(http_scope("POST", "/v1/runs", [JSON]), receive, send)
    assert not sent
    assert not door.runs


# --- reading ---------------------------------------------------------------------------------------------------------


async def test_snapshot_is_the_fold_of_the_log(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await ask(http, metadata={"k": "v"})
    await whole_run(door, run_id)
    door.clock.advance(4)
    body = RunSnapshot.model_validate_json((await http.get(f"/v1/runs/{run_id}")).content)
    assert (body.state, body.title, body.metadata, body.elapsed_s) == ("running", "A title", {"k": "v"}, 4.0)
    assert body.guardrail is not None
    assert body.guardrail.allowed
    assert [(todo.id, todo.status) for todo in body.plan or ()] == [("t1", "completed"), ("t2", "pending")]
    assert [(agent.name, agent.status, agent.ms) for agent in body.agents] == [("planner", "completed", 5)]
    assert [(o.stage, o.text, o.partial, o.citations[0].location) for o in body.outputs] == [
        ("t1", "Found.", True, "guide.md:3")
    ]
    assert body.models == {"research": "offline"}
    assert body.answer is None
    assert body.last_event_id == f"{door.runs[run_id].last_seq}.1"


async def test_snapshot_of_a_failed_run_tells_what_was_completed(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await ask(http)
    await whole_run(door, run_id)
    hint = ev.ResumeHint(possible=True, how="Ask again.")
    failed = ev.RunFailed(code="overloaded", message="529", layer="model", retryable=True, resume=hint)
    await door.publish(run_id, Draft(failed))
    body = (await http.get(f"/v1/runs/{run_id}")).json()
    assert body["state"] == "failed"
    assert body["error"] == {
        "code": "overloaded",
        "message": "529",
        "layer": "model",
        "retryable": True,
        "completed": ["t1"],
    }
    href = f"/v1/runs/{run_id}/resume"
    assert body["resume"] == {"possible": True, "how": "Ask again.", "href": href, "from_stage": "t2"}
    assert body["links"]["resume"] == href
    expired = await ask(http)
    await door.publish(expired, Draft(ev.RunExpired(message="too long", resume=hint)))
    assert (await http.get(f"/v1/runs/{expired}")).json()["error"]["code"] == "run_expired"


async def test_snapshot_reads_a_log_longer_than_a_page(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await ask(http)
    await door.publish(run_id, *(Draft(ev.TitleSet(title=f"title {n}")) for n in range(1500)))
    assert (await http.get(f"/v1/runs/{run_id}")).json()["title"] == "title 1499"


async def test_list(http: httpx2.AsyncClient) -> None:
    made = [await ask(http, input=f"q{n}") for n in range(3)]
    body = (await http.get("/v1/runs")).json()
    assert [run["run_id"] for run in body["runs"]] == made[::-1]
    assert len((await http.get("/v1/runs?limit=2")).json()["runs"]) == 2
    for limit in ("0", "-1", "201", "1e9", "abc", "", "1&limit=2", "٣"):
        response = await http.get(f"/v1/runs?limit={limit}")
        assert (response.status_code, response.json()["code"]) == (400, "invalid_query")


async def test_json_pages(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await ask(http)
    await whole_run(door, run_id)
    await door.publish(run_id, Draft(ev.RunCompleted(answer="Because.")))
    url, accept = f"/v1/runs/{run_id}/events", {"Accept": "application/json"}
    seen, after, finished = [], "", False
    while not finished:
        page = (await http.get(url, params={"limit": 4, "after": after}, headers=accept)).json()
        seen += [event["seq"] for event in page["events"]]
        after, finished = page["next_after"], page["finished"]
    assert seen == list(range(1, door.runs[run_id].last_seq + 1))
    assert (await http.get(url, params={"after": after}, headers=accept)).status_code == 204
    assert (await http.get(url, params={"limit": 1001}, headers=accept)).status_code == 400


async def test_json_page_at_the_end_of_a_running_run_is_empty(http: httpx2.AsyncClient) -> None:
    run_id = await ask(http)
    page = await http.get(f"/v1/runs/{run_id}/events?after=1.0", headers={"Accept": "application/json"})
    assert page.json() == {"events": [], "next_after": "1.0", "finished": False}


async def test_finished_run_streams_to_its_end_and_then_204(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await ask(http)
    await whole_run(door, run_id)
    await door.publish(run_id, Draft(ev.RunCompleted(answer="Because.")))
    url = f"/v1/runs/{run_id}/events"
    first, second = await http.get(url), await http.get(url)
    assert first.content == second.content
    last = door.runs[run_id].last_seq
    rest = await http.get(url, headers={"Last-Event-ID": "3.1"})
    assert rest.text.count("id: ") == last - 3
    assert first.text.endswith(rest.text.removeprefix(OPENING.decode()))
    end = await http.get(url, headers={"Last-Event-ID": f"{last}.1"})
    assert (end.status_code, end.content) == (204, b"")
    head = await http.head(url)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].startswith("text/event-stream")


async def test_cursors_over_http(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await ask(http)
    await whole_run(door, run_id)
    url = f"/v1/runs/{run_id}/events"
    for name, status, code in (
        ("-1", 400, "invalid_cursor"),
        ("1.5x", 400, "invalid_cursor"),
        ("2.9", 409, "cursor_mismatch"),
        ("900.1", 409, "cursor_ahead"),
    ):
        response = await http.get(url, headers={"Last-Event-ID": name, **dict([STREAM])})
        assert (response.status_code, response.json()["code"]) == (status, code)
    assert response.json()["head"] == door.runs[run_id].last_seq
    twice = await http.get(url, headers=[("Last-Event-ID", "1"), ("Last-Event-ID", "1")])
    assert twice.json()["code"] == "invalid_cursor"
    assert (await http.get(url, headers={"Accept": "application/xml"})).status_code == 406


async def test_readers_over_the_limits_are_asked_to_come_back(app: Starlette, http: httpx2.AsyncClient) -> None:
    run_id = await ask(http)
    scope = http_scope("GET", f"/v1/runs/{run_id}/events", [STREAM])
    readers = [Exchange(app, scope) for _ in range(2)]
    for reader in readers:
        await reader.until_sent(b"run.accepted")
    third = Exchange(app, scope)
    await third.done()
    assert (third.status, third.text) == (200, OPENING + COME_BACK)
    readers.append(Exchange(app, http_scope("GET", f"/v1/runs/{await ask(http)}/events", [STREAM])))
    await readers[2].until_sent(b"run.accepted")
    fourth = Exchange(app, http_scope("GET", f"/v1/runs/{await ask(http)}/events", [STREAM]))
    await fourth.done()
    assert fourth.text == OPENING + COME_BACK
    post = await http.post("/v1/runs", json={"input": "a"}, headers=dict([STREAM]))
    assert (post.status_code, post.json()["code"]) == (429, "too_many_streams")
    assert post.headers["retry-after"] == "5"
    await asyncio.gather(*(reader.leave() for reader in readers))


# --- cancelling, failures, the rest ----------------------------------------------------------------------------------


async def test_cancel_twice_is_the_same_answer_and_after_the_end_a_conflict(
    http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    run_id = await ask(http)
    first, second = [await http.post(f"/v1/runs/{run_id}/cancel") for _ in range(2)]
    assert (first.status_code, first.content) == (second.status_code, second.content)
    assert first.status_code == 202
    assert (await http.get(f"/v1/runs/{run_id}")).json()["cancel_requested"] is True
    await door.publish(run_id, Draft(ev.RunCancelled(reason="user")))
    late = await http.post(f"/v1/runs/{run_id}/cancel")
    assert (late.status_code, late.json()["code"]) == (409, "run_finished")


async def test_all_that_is_not_there_is_one_answer(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await ask(http)
    foreign = await ask(http)
    door.runs[foreign] = replace(door.runs[foreign], tenant_id="other")
    names = [UNKNOWN, "x", run_id.upper().replace("0", "A"), run_id + "/", f"{{{run_id}}}", "%27%20OR%201=1--", foreign]
    names += ["%00", "..%2f..%2fetc", "٣" * 36, "x" * 3000, f"{run_id}%0A", f"urn:uuid:{run_id}", f"{run_id}.json"]
    answers = [await http.get(f"/v1/runs/{name}") for name in names]
    answers += [await http.get(f"/v1/runs/{name}/events") for name in names]
    answers += [await http.post(f"/v1/runs/{name}/cancel") for name in names]
    answers += [await http.post(f"/v1/runs/{name}/resume") for name in names]
    answers += [await http.get("/nowhere"), await http.post("/v1/run"), await http.get("/v1/runs/")]
    assert {response.status_code for response in answers} == {404}
    assert len({response.content for response in answers}) == 1
    assert {response.headers["content-type"] for response in answers} == {"application/problem+json"}
    assert len({response.headers["x-request-id"] for response in answers}) == len(answers)


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("PUT", "/v1/runs", "GET, HEAD, OPTIONS, POST"),
        ("DELETE", f"/v1/runs/{UNKNOWN}", "GET, HEAD, OPTIONS"),
        ("GET", f"/v1/runs/{UNKNOWN}/cancel", "OPTIONS, POST"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
        ("TRACE", "/", "GET, HEAD, OPTIONS"),
        ("CONNECT", "/", "GET, HEAD, OPTIONS"),
        ("PROPFIND", "/v1/runs", "GET, HEAD, OPTIONS, POST"),
    ],
)
async def test_other_methods_are_refused_with_what_is_allowed(
    http: httpx2.AsyncClient, method: str, path: str, allow: str
) -> None:
    response = await http.request(method, path)
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == allow
    options = await http.options(path)
    assert (options.status_code, options.headers["allow"], options.content) == (204, allow, b"")
    assert not any(name.startswith("access-control") for name in options.headers)


async def test_store_away(app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await ask(http)
    open_stream = Exchange(app, http_scope("GET", f"/v1/runs/{run_id}/events", [STREAM]))
    await open_stream.until_sent(b"run.accepted")
    door.down = True
    for method, path in (("POST", "/v1/runs"), ("GET", f"/v1/runs/{run_id}"), ("POST", f"/v1/runs/{run_id}/cancel")):
        response = await http.request(method, path, json={"input": "a"})
        assert (response.status_code, response.headers["retry-after"]) == (503, "2")
        assert "secret" not in response.text
    resumed = await http.get(f"/v1/runs/{run_id}/events", headers=dict([STREAM]))
    assert (resumed.status_code, resumed.content) == (200, OPENING + COME_BACK)
    page = await http.get(f"/v1/runs/{run_id}/events", headers={"Accept": "application/json"})
    assert page.status_code == 503
    ready = await http.get("/readyz")
    assert (ready.status_code, ready.json()["status"], list(ready.json()["problems"])) == (503, "not_ready", ["store"])
    assert (await http.get("/healthz")).json() == {"status": "ok"}
    await open_stream.done()
    assert open_stream.text.endswith(b": store-unavailable\n\n" + COME_BACK)
    door.down = False
    assert (await http.get("/readyz")).json() == {"status": "ready", "problems": {}}


async def test_a_bug_is_a_500_that_tells_nothing(
    http: httpx2.AsyncClient, door: MemoryDoor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(run_id: str) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(door, "get", broken)
    response = await http.get(f"/v1/runs/{UNKNOWN}", headers={"x-request-id": "r-9"})
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "secret" not in response.text
    assert "r-9" in caplog.text
    assert "ZeroDivisionError" in caplog.text


async def test_first_page_and_request_ids(http: httpx2.AsyncClient) -> None:
    response = await http.get("/")
    assert "curl -N http://127.0.0.1:8000/v1/runs" in response.text
    assert response.headers["content-type"].startswith("text/plain")
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-request-id"] == "00000000-0000-4000-8000-000000000001"
