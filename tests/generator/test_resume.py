"""``POST /v1/runs/{id}/resume`` and budgets at the door: what is asked, what is created, what is refused."""

import asyncio
import json
from typing import Any

import httpx2
import orjson
import pytest
from starlette.applications import Starlette

from runtime.config import Settings, load
from runtime.errors import ConfigurationError
from runtime.events import catalog as ev
from runtime.events.codec import decode
from runtime.events.envelope import Draft, Stored
from runtime.generator.app import build_app
from runtime.generator.contract import RunSnapshot
from tests.checker import check_run
from tests.generator.driver import Exchange, http_scope
from tests.generator.memory_door import MemoryDoor
from tests.generator.runs_by_door import JSON, STREAM, UNKNOWN, ask, team, whole_run

FAILED = ev.RunFailed(
    code="overloaded",
    message="529",
    layer="model",
    retryable=True,
    resume=ev.ResumeHint(possible=True, how="Resume it."),
)


async def failed_run(http: httpx2.AsyncClient, door: MemoryDoor, **body: object) -> str:
    """A run whose first step is completed and whose second is not."""
    run_id = await ask(http, **body)
    await whole_run(door, run_id)
    await door.publish(run_id, Draft(FAILED))
    return run_id


async def resume(http: httpx2.AsyncClient, run_id: str, **body: object) -> str:
    response = await http.post(f"/v1/runs/{run_id}/resume", json=body)
    assert response.status_code == 201, response.text
    return str(response.json()["run_id"])


def accepted(door: MemoryDoor, run_id: str) -> ev.RunAccepted:
    event = decode(door.events[run_id][0]).event
    assert isinstance(event, ev.RunAccepted)
    return event


def two_steps(**changes: object) -> dict[str, Any]:
    """The parent's plan; ``changes`` are of its second step."""
    first = {"id": "t1", "title": "Find", "agent": "research", "depends_on": []}
    return {"todos": [first, {"id": "t2", "title": "Write", "agent": "writing", "depends_on": [], **changes}]}


# --- what is created -------------------------------------------------------------------------------------------------


async def test_a_resumed_run_is_created_with_all_it_carries_over(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    parent = await failed_run(http, door, metadata={"k": "v"}, conversation_id="c1", deadline_s=60, grace_s=7)
    response = await http.post(f"/v1/runs/{parent}/resume", json={})
    body = response.json()
    child = body["run_id"]
    assert (response.status_code, response.headers["location"]) == (201, f"/v1/runs/{child}")
    assert (body["resumed_from"], body["state"], body["on_disconnect"]) == (parent, "accepted", "continue")
    envelopes = check_run(door.events[child], ended=False)
    assert [(e.event.type, e.stage) for e in envelopes] == [
        ("run.accepted", None),
        ("title.set", None),
        ("guardrail.verdict", None),
        ("plan.committed", None),
        ("citation.added", "t1"),
        ("stage.completed", "t1"),
    ]
    first = accepted(door, child)
    assert (first.resumed_from, first.conversation_id, first.grace_s) == (parent, "c1", 7)
    assert first.input == accepted(door, parent).input
    assert first.limits.deadline_s == 60


async def test_its_snapshot_stands_alone_when_the_parent_is_gone(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    parent = await failed_run(http, door)
    child = await resume(http, parent)
    del door.runs[parent], door.events[parent]
    body = RunSnapshot.model_validate_json((await http.get(f"/v1/runs/{child}")).content)
    assert body.resumed_from == parent
    assert [(todo.id, todo.status) for todo in body.plan or ()] == [("t1", "completed"), ("t2", "pending")]
    assert [(o.text, o.carried_from, o.citations[0].quote) for o in body.outputs] == [("Found.", parent, "So it is.")]
    assert (body.title, body.usage.output_tokens, body.resume, body.links.resume) == ("A title", 0, None, None)
    await door.publish(child, Draft(ev.RunStarted(epoch=1, owner="e", code_version="1")), Draft(FAILED))
    assert await resume(http, child) in door.runs


async def test_a_resume_without_a_body_wishes_for_nothing(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    parent = await failed_run(http, door)
    assert (await http.post(f"/v1/runs/{parent}/resume")).status_code == 201


async def test_wishes_take_the_place_of_what_was(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    parent = await failed_run(http, door, budget_usd=1, deadline_s=60)
    first = await resume(http, parent)
    same = accepted(door, first)
    await door.publish(first, Draft(ev.RunCancelled(reason="user")))
    assert (same.limits.budget_usd, same.limits.deadline_s, same.grace_s) == (1, 60, 30)
    wishes = {"budget_usd": 2.5, "deadline_s": 5, "on_disconnect": "cancel", "grace_s": 0}
    other = await resume(http, parent, **wishes)
    limits = accepted(door, other).limits
    assert (limits.budget_usd, limits.deadline_s, door.runs[other].grace_s) == (2.5, 5, 0)
    assert (door.runs[other].on_disconnect, door.runs[other].budget) == ("cancel", 2_500_000)


async def test_from_stage_and_an_edited_plan(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    parent = await failed_run(http, door)
    again = await resume(http, parent, from_stage="t1")
    assert "stage.completed" not in [stored.type for stored in door.events[again]]
    await door.publish(again, Draft(ev.RunCancelled(reason="user")))
    edited = await resume(http, parent, plan=two_steps(title="Write more", depends_on=["t1"]))
    plan = (await http.get(f"/v1/runs/{edited}")).json()["plan"]
    assert [(todo["title"], todo["status"]) for todo in plan] == [("Find", "completed"), ("Write more", "pending")]


async def test_a_completed_run_is_resumed_from_a_step(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await ask(http)
    await whole_run(door, run_id)
    second = ev.StageCompleted(index=2, of=2, title="Write", todo="t2", output="W.", summary="s", context="c")
    await door.publish(run_id, Draft(second, stage="t2"), Draft(ev.RunCompleted(answer="W.")))
    refused = await http.post(f"/v1/runs/{run_id}/resume", json={})
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/from_stage")
    child = await resume(http, run_id, from_stage="t2")
    assert [s.stage for s in door.events[child] if s.type == "stage.completed"] == ["t1"]


async def test_a_streaming_resume_is_a_stream_of_the_new_run(app: Starlette, door: MemoryDoor) -> None:
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as http:
        parent = await failed_run(http, door)
    exchange = Exchange(app, http_scope("POST", f"/v1/runs/{parent}/resume", [JSON, STREAM]), b"{}")
    await exchange.until_sent(b"stage.completed")
    child = exchange.headers["x-run-id"]
    assert (exchange.status, exchange.headers["location"]) == (200, f"/v1/runs/{child}")
    assert door.runs[child].on_disconnect == "cancel"
    await door.publish(child, Draft(ev.RunStarted(epoch=1, owner="e", code_version="1")), Draft(FAILED))
    await exchange.done()
    assert exchange.ended


# --- idempotency -----------------------------------------------------------------------------------------------------


async def test_fifty_resumes_with_one_key_are_one_run(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    parent = await failed_run(http, door)
    key = {"Idempotency-Key": "k"}
    answers = await asyncio.gather(
        *(http.post(f"/v1/runs/{parent}/resume", json={"from_stage": "t2"}, headers=key) for _ in range(50))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert len(door.runs) == 2


async def test_a_key_names_one_resume_of_one_run(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    one, two = await failed_run(http, door), await failed_run(http, door)
    key = {"Idempotency-Key": "k"}
    assert (await http.post(f"/v1/runs/{one}/resume", json={}, headers=key)).status_code == 201
    assert (await http.post(f"/v1/runs/{two}/resume", json={}, headers=key)).status_code == 422
    assert (await http.post(f"/v1/runs/{one}/resume", json={"deadline_s": 9}, headers=key)).status_code == 422
    assert (await http.post("/v1/runs", json={"input": "Why?"}, headers=key)).status_code == 422
    assert (await http.post(f"/v1/runs/{one}/resume", json={}, headers={"Idempotency-Key": ""})).status_code == 400


# --- what is refused -------------------------------------------------------------------------------------------------


async def test_a_running_run_is_not_resumed(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await ask(http)
    for _ in range(2):
        response = await http.post(f"/v1/runs/{run_id}/resume", json={})
        assert (response.status_code, response.json()["code"]) == (409, "run_unfinished")
        await whole_run(door, run_id)
    assert len(door.runs) == 1


async def test_a_request_the_guardrail_refused_is_not_resumed(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await ask(http)
    verdict = ev.GuardrailVerdict(allowed=False, category="malware", reason="it harms")
    await door.publish(run_id, Draft(verdict), Draft(ev.RunCancelled(reason="user")))
    for body in ({}, {"plan": two_steps()}):
        response = await http.post(f"/v1/runs/{run_id}/resume", json=body)
        assert (response.status_code, response.json()["code"]) == (409, "not_resumable")
        assert "it harms" in response.json()["detail"]
    told = (await http.get(f"/v1/runs/{run_id}")).json()["resume"]
    assert (told["possible"], told["href"]) == (False, None)


async def test_a_log_of_a_newer_version_is_not_carried_over(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await failed_run(http, door)
    body = orjson.dumps({"run_id": run_id, "family": "object", "type": "from.tomorrow", "at": 1.0, "data": {}})
    door.events[run_id].insert(-1, Stored(3, 1, "from.tomorrow", "object", None, body))
    response = await http.post(f"/v1/runs/{run_id}/resume", json={})
    assert (response.status_code, response.json()["code"]) == (409, "not_resumable")
    assert (await http.get(f"/v1/runs/{run_id}")).status_code == 200


async def test_a_busy_conversation_is_a_conflict(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    parent = await failed_run(http, door, conversation_id="c1")
    await ask(http, conversation_id="c1")
    response = await http.post(f"/v1/runs/{parent}/resume", json={})
    assert (response.status_code, response.json()["code"]) == (409, "conversation_busy")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"from_stage": "t3"}, "/from_stage"),
        ({"from_stage": "a b"}, "/from_stage"),
        ({"from_stage": 1}, "/from_stage"),
        ({"plan": two_steps(agent="poet")}, "/plan/todos/1/agent"),
        ({"plan": two_steps(agent="planner")}, "/plan/todos/1/agent"),
        ({"plan": two_steps(id="t1")}, "/plan"),
        ({"plan": two_steps(depends_on=["t9"])}, "/plan"),
        ({"plan": two_steps(depends_on=["t2"])}, "/plan"),
        ({"plan": two_steps(title="")}, "/plan/todos/1/title"),
        ({"plan": two_steps(status="pending")}, "/plan/todos/1/status"),
        ({"plan": {"todos": []}}, "/plan/todos"),
        ({"plan": two_steps()["todos"]}, "/plan"),
        ({"budget_usd": 0}, "/budget_usd"),
        ({"deadline_s": 0}, "/deadline_s"),
        ({"grace_s": -1}, "/grace_s"),
        ({"on_disconnect": "detach"}, "/on_disconnect"),
        ({"input": "another question"}, "/input"),
        ({"resumed_from": UNKNOWN}, "/resumed_from"),
    ],
)
async def test_wishes_that_do_not_fit_are_pointed_at(
    http: httpx2.AsyncClient, door: MemoryDoor, body: dict[str, object], pointer: str
) -> None:
    parent = await failed_run(http, door)
    response = await http.post(f"/v1/runs/{parent}/resume", json=body)
    assert (response.status_code, response.json()["code"]) == (422, "validation_failed")
    assert [error["pointer"] for error in response.json()["errors"]] == [pointer]
    assert len(door.runs) == 1


@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 422),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b" " * 5000, {}, 413),
        (b"{}", {"Accept": "application/xml"}, 406),
    ],
)
async def test_bodies_are_read_as_strictly_as_elsewhere(
    http: httpx2.AsyncClient, door: MemoryDoor, content: bytes, headers: dict[str, str], status: int
) -> None:
    parent = await failed_run(http, door)
    response = await http.post(f"/v1/runs/{parent}/resume", content=content, headers={**dict([JSON]), **headers})
    assert response.status_code == status
    assert len(door.runs) == 1


async def test_no_stream_is_promised_when_too_many_are_open(
    app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    parent = await failed_run(http, door)
    run_ids = [await ask(http) for _ in range(3)]
    readers = [Exchange(app, http_scope("GET", f"/v1/runs/{run_id}/events", [STREAM])) for run_id in run_ids]
    for reader in readers:
        await reader.until_sent(b"run.accepted")
    response = await http.post(f"/v1/runs/{parent}/resume", headers=dict([STREAM]))
    assert (response.status_code, response.json()["code"]) == (429, "too_many_streams")
    assert len(door.runs) == 4
    await asyncio.gather(*(reader.leave() for reader in readers))


# --- the hint --------------------------------------------------------------------------------------------------------


async def test_the_snapshot_of_what_did_not_complete_says_how_to_go_on(
    http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    hint = ev.ResumeHint(possible=True, how="Resume it.")
    ends = (FAILED, ev.RunExpired(message="too long", resume=hint), ev.RunCancelled(reason="user"))
    for end in ends:
        run_id = await ask(http)
        await whole_run(door, run_id)
        assert (await http.get(f"/v1/runs/{run_id}")).json()["links"]["resume"] is None
        await door.publish(run_id, Draft(end))
        told = (await http.get(f"/v1/runs/{run_id}")).json()
        assert told["resume"]["href"] == told["links"]["resume"] == f"/v1/runs/{run_id}/resume"
        assert (told["resume"]["possible"], told["resume"]["from_stage"]) == (True, "t2")
        assert (await http.post(told["resume"]["href"])).status_code == 201


# --- budgets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usd", "micro"), [(1, 1_000_000), (1.001, 1_001_000), (0.1 + 0.2, 300_000), (0.0000019, 1), (1000, 10**9)]
)
async def test_a_budget_is_kept_with_the_run_rounded_down(
    http: httpx2.AsyncClient, door: MemoryDoor, usd: float, micro: int
) -> None:
    run_id = await ask(http, budget_usd=usd)
    assert (door.runs[run_id].budget, door.runs[run_id].day_budget) == (micro, None)
    assert accepted(door, run_id).limits.budget_usd == usd
    shown = (await http.get(f"/v1/runs/{run_id}")).json()["budget"]
    assert shown == {"limit_usd": micro / 1e6, "reserved_usd": 0.0, "spent_usd": 0.0}


@pytest.mark.parametrize("usd", ["0", "-1", "1000.01", "1e300", '"1"', "true", "[]"])
async def test_budgets_that_are_none_are_refused(http: httpx2.AsyncClient, door: MemoryDoor, usd: str) -> None:
    body = f'{{"input": "Why?", "budget_usd": {usd}}}'.encode()
    response = await http.post("/v1/runs", content=body, headers=dict([JSON]))
    assert (response.status_code, response.json()["errors"][0]["pointer"]) == (422, "/budget_usd")
    assert not door.runs


async def test_without_a_budget_there_is_no_limit(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await ask(http)
    assert door.runs[run_id].budget is None
    assert json.loads(door.events[run_id][0].body)["data"]["limits"]["budget_usd"] is None
    assert (await http.get(f"/v1/runs/{run_id}")).json()["budget"]["limit_usd"] is None


async def test_the_tenants_day_is_what_the_settings_say(door: MemoryDoor, settings: Settings) -> None:
    limited = settings.model_copy(update={"tenant_daily_budget_usd": 0.5})
    app = build_app(door, limited, clock=door.clock, new_id=lambda: UNKNOWN, team=team)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://localhost") as http:
        await ask(http)
        assert door.runs[UNKNOWN].day_budget == 500_000
        await whole_run(door, UNKNOWN)
        await door.publish(UNKNOWN, Draft(FAILED))
        child = UNKNOWN.replace("9", "8")
        other = build_app(door, limited, clock=door.clock, new_id=lambda: child, team=team)
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=other), base_url="http://localhost") as again:
            await resume(again, UNKNOWN)
        assert door.runs[child].day_budget == 500_000


@pytest.mark.parametrize("usd", [0, -1, float("nan"), float("inf"), "much"])
def test_a_tenants_day_that_is_no_amount_is_told_at_the_start(usd: object) -> None:
    with pytest.raises(ConfigurationError, match="tenant_daily_budget_usd"):
        load(tenant_daily_budget_usd=usd)
