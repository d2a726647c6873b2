"""``POST /v1/runs/{id}/input``: what people say is recorded once, and only where it fits."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from runtime.events.catalog import (
    ApprovalRequested,
    GuardrailVerdict,
    PlanCommitted,
    RunCompleted,
    RunStarted,
    RunWaiting,
    StageCompleted,
    StageDispatched,
    StageStarted,
)
from runtime.events.envelope import Draft
from runtime.events.plan import Plan, Todo
from tests.generator.memory_door import MemoryDoor

PLAN = Plan(todos=(Todo(id="find", title="Find", agent="research"), Todo(id="write", title="Write", agent="writing")))
HASH = "a" * 64


def requested(approval: str, kind: str, **more: Any) -> ApprovalRequested:
    return ApprovalRequested(approval=approval, kind=kind, what="May I?", arguments_hash=HASH, expires_at=9e9, **more)  # type: ignore[arg-type]


@pytest.fixture
async def run_id(http: httpx2.AsyncClient, door: MemoryDoor) -> str:
    """A run that waits for its plan's approval, a call's, and an answer."""
    run_id = str((await http.post("/v1/runs", json={"input": "Why?", "approve_plan": True})).json()["run_id"])
    await door.publish(
        run_id,
        Draft(RunStarted(epoch=1, owner="e", code_version="1")),
        Draft(GuardrailVerdict(allowed=True, category="none", reason="")),
        Draft(PlanCommitted(plan=PLAN)),
        Draft(requested("plan", "plan")),
        Draft(StageDispatched(dispatch=1, lease_s=1.0), "find", "research"),
        Draft(StageStarted(index=1, of=2, title="Find", todo="find"), "find", "research"),
        Draft(requested("find.c1", "tool", call_id="c1", name="send", arguments={"to": "a"}), "find", "research"),
        Draft(requested("find.1", "question", options=("yes", "no")), "find", "research"),
        Draft(RunWaiting(reason="people", approvals=("plan", "find.c1", "find.1"))),
    )
    return run_id


async def said(http: httpx2.AsyncClient, run_id: str, key: str | None = None, **body: object) -> httpx2.Response:
    headers = {"Idempotency-Key": key} if key else {}
    return await http.post(f"/v1/runs/{run_id}/input", json=body, headers=headers)


def approve(name: str = "find.c1", hash_: str = HASH, **more: object) -> dict[str, object]:
    return {"type": "approve", "approval": name, "arguments_hash": hash_, **more}


async def test_the_snapshot_says_what_is_asked_and_then_what_was_answered(
    http: httpx2.AsyncClient, run_id: str
) -> None:
    before = (await http.get(f"/v1/runs/{run_id}")).json()
    assert [(a["approval"], a["open"], a["approved"]) for a in before["approvals"]] == [
        ("plan", True, None), ("find.c1", True, None), ("find.1", True, None),
    ]  # fmt: skip
    assert before["approvals"][1]["arguments"] == {"to": "a"}
    assert before["links"]["input"] == f"/v1/runs/{run_id}/input"
    assert (await said(http, run_id, type="answer", approval="find.1", text="yes")).status_code == 202
    after = (await http.get(f"/v1/runs/{run_id}")).json()["approvals"][2]
    assert (after["open"], after["approved"], after["text"]) == (False, True, "yes")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (approve(), 202, None),
        (approve(approved=False, text="no"), 202, None),
        (approve(hash_="b" * 64), 409, "arguments_changed"),
        (approve("find.c9"), 409, "not_asked"),
        (approve("plan", plan={"todos": [{"id": "x", "title": "X", "agent": "writing"}]}), 202, None),
        (approve("plan", plan={"todos": [{"id": "x", "title": "X", "agent": "nobody"}]}), 422, "validation_failed"),
        (approve("plan", plan={"todos": []}), 422, "validation_failed"),
        (approve("find.c1", plan={"todos": [{"id": "x", "title": "X", "agent": "writing"}]}), 422, "validation_failed"),
        (approve(approved="yes"), 422, "validation_failed"),
        ({"type": "answer", "approval": "find.c1", "text": "yes"}, 409, "not_asked"),
        ({"type": "answer", "approval": "find.1", "text": " "}, 422, "validation_failed"),
        ({"type": "message", "text": "Keep it short."}, 202, None),
        ({"type": "message", "text": "Keep it short.", "stage": "find"}, 202, None),
        ({"type": "message", "text": "Keep it short.", "stage": "nowhere"}, 422, "validation_failed"),
        ({"type": "message", "text": ""}, 422, "validation_failed"),
        ({"type": "cancel_stage", "stage": "write"}, 202, None),
        ({"type": "cancel_stage"}, 422, "validation_failed"),
        ({"type": "sing"}, 422, "validation_failed"),
        ({"text": "no type"}, 422, "validation_failed"),
        ({"type": "message", "text": "x", "by": "somebody else"}, 422, "validation_failed"),
    ],
)
async def test_what_may_be_said(
    http: httpx2.AsyncClient, run_id: str, body: dict[str, object], status: int, code: str | None
) -> None:
    answer = await said(http, run_id, **body)
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text


async def test_an_answer_is_given_once(http: httpx2.AsyncClient, run_id: str) -> None:
    assert (await said(http, run_id, **approve())).status_code == 202
    again = await said(http, run_id, **approve(approved=False))
    assert (again.status_code, again.json()["code"]) == (409, "already_answered")


async def test_of_two_answers_at_once_one_counts_and_the_other_is_told(
    http: httpx2.AsyncClient, door: MemoryDoor, run_id: str
) -> None:
    answers = await asyncio.gather(*(said(http, run_id, **approve(text=str(n))) for n in range(5)))
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409]
    assert [e.type for e in door.events[run_id]].count("approval.given") == 1


async def test_a_message_sent_again_with_its_key_is_recorded_once(
    http: httpx2.AsyncClient, door: MemoryDoor, run_id: str
) -> None:
    first, second = [await said(http, run_id, "k", type="message", text="Short.") for _ in range(2)]
    assert (first.status_code, first.json()) == (second.status_code, second.json())
    other = await said(http, run_id, "k", type="message", text="Long.")
    assert (other.status_code, other.json()["code"]) == (409, "already_answered")
    assert [e.type for e in door.events[run_id]].count("input.received") == 1


async def test_nothing_is_said_to_a_step_that_is_over_or_a_run_that_has_ended(
    http: httpx2.AsyncClient, door: MemoryDoor, run_id: str
) -> None:
    done = StageCompleted(index=1, of=2, title="Find", todo="find", output="o", summary="o", context="o")
    await door.publish(run_id, Draft(done, "find", "research"))
    for body in ({"type": "message", "text": "x", "stage": "find"}, {"type": "cancel_stage", "stage": "find"}):
        assert (await said(http, run_id, **body)).json()["code"] == "stage_finished"
    assert (await said(http, run_id, **approve())).json()["code"] == "not_asked"
    await door.publish(run_id, Draft(RunCompleted(answer="a")))
    assert (await said(http, run_id, type="message", text="x")).json()["code"] == "run_finished"


async def test_a_run_that_is_not_there_is_not_found_and_an_absent_store_is_told(
    http: httpx2.AsyncClient, door: MemoryDoor, run_id: str
) -> None:
    assert (await said(http, "11111111-1111-4111-8111-111111111111", type="message", text="x")).status_code == 404
    door.down = True
    assert (await said(http, run_id, type="message", text="x")).status_code == 503
