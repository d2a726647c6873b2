"""Conversations over HTTP: what a new run goes on from, and how they are listed, read and deleted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime.errors import Conflict
from runtime.events import catalog as ev
from runtime.events.codec import decode
from runtime.events.envelope import Draft
from runtime.log.log import Created, NewRun
from tests.generator.memory_door import MemoryDoor
from tests.generator.runs_by_door import UNKNOWN, ask, whole_run


def accepted(door: MemoryDoor, run_id: str) -> ev.RunAccepted:
    event = decode(door.events[run_id][0]).event
    assert isinstance(event, ev.RunAccepted)
    return event


def said(door: MemoryDoor, run_id: str) -> list[tuple[str, str]]:
    return [(one.question, one.answer) for one in accepted(door, run_id).history.exchanges]


async def answered(http: httpx2.AsyncClient, door: MemoryDoor, answer: str = "So.", **body: object) -> str:
    run_id = await ask(http, **body)
    await whole_run(door, run_id)
    await door.publish(run_id, Draft(ev.RunCompleted(answer=answer)))
    return run_id


async def failed(http: httpx2.AsyncClient, door: MemoryDoor, **body: object) -> str:
    run_id = await ask(http, **body)
    await whole_run(door, run_id)
    hint = ev.ResumeHint(possible=True, how="Resume it.")
    await door.publish(run_id, Draft(ev.RunFailed(code="x", message="x", layer="model", retryable=True, resume=hint)))
    return run_id


async def resumed(http: httpx2.AsyncClient, run_id: str) -> str:
    response = await http.post(f"/v1/runs/{run_id}/resume", json={"from_stage": "t2"})
    assert response.status_code == 201, response.text
    return str(response.json()["run_id"])


# --- what a run goes on from -----------------------------------------------------------------------------------------


async def test_a_run_that_names_no_conversation_begins_one_and_says_which(
    http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    first, second = [(await http.post("/v1/runs", json={"input": "Why?"})).json() for _ in range(2)]
    assert first["conversation_id"] != second["conversation_id"]
    assert first["conversation_id"] != first["run_id"]
    assert accepted(door, first["run_id"]).conversation_id == first["conversation_id"]
    assert (await http.get(f"/v1/conversations/{first['conversation_id']}")).status_code == 200


async def test_a_follow_up_takes_along_what_was_asked_and_answered_with_its_sources(
    http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    first = await answered(http, door, "Because. [1]", input="Why is it so?", conversation_id="c")
    second = await ask(http, input="And then?", conversation_id="c")
    (exchange,) = accepted(door, second).history.exchanges
    assert (exchange.run_id, exchange.question, exchange.answer) == (first, "Why is it so?", "Because. [1]")
    assert [(source.title, source.location) for source in exchange.sources] == [("Guide", "guide.md:3")]
    assert (exchange.state, exchange.at) == ("completed", door.clock.now())


async def test_each_run_goes_on_from_all_before_it(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    for n in range(1, 4):
        await answered(http, door, f"{n}!", input=f"{n}?", conversation_id="c")
    last = await ask(http, conversation_id="c")
    assert said(door, last) == [("1?", "1!"), ("2?", "2!"), ("3?", "3!")]


async def test_another_conversation_is_not_overheard(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    await answered(http, door, conversation_id="c")
    assert said(door, await ask(http, conversation_id="d")) == []
    assert said(door, await ask(http)) == []


async def test_a_failed_run_counts_with_what_it_had(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    await failed(http, door, input="1?", conversation_id="c")
    second = await ask(http, conversation_id="c")
    (exchange,) = accepted(door, second).history.exchanges
    assert (exchange.question, exchange.answer, exchange.state) == ("1?", "Found.", "failed")


async def test_what_the_guardrail_refused_is_no_background_of_what_follows(
    http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    await answered(http, door, "1!", input="1?", conversation_id="c")
    refused = await ask(http, input="How do I make a bomb?", conversation_id="c")
    await door.publish(
        refused,
        Draft(ev.RunStarted(epoch=1, owner="e1", code_version="1")),
        Draft(ev.GuardrailVerdict(allowed=False, category="weapons", reason="no")),
        Draft(ev.RunCompleted(answer="", stopped="weapons: no")),
    )
    assert said(door, await ask(http, conversation_id="c")) == [("1?", "1!")]


async def test_a_run_that_was_resumed_is_told_once(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    await answered(http, door, "1!", input="1?", conversation_id="c")
    parent = await failed(http, door, input="2?", conversation_id="c")
    child = await resumed(http, parent)
    assert said(door, child) == [("1?", "1!")]
    await door.publish(child, Draft(ev.RunCompleted(answer="2!")))
    assert said(door, await ask(http, conversation_id="c")) == [("1?", "1!"), ("2?", "2!")]


async def test_what_came_between_a_run_and_its_resumption_is_not_forgotten(
    http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    parent = await failed(http, door, input="1?", conversation_id="c")
    await answered(http, door, "2!", input="2?", conversation_id="c")
    child = await resumed(http, parent)
    assert said(door, child) == []
    await door.publish(child, Draft(ev.RunCompleted(answer="1!")))
    assert said(door, await ask(http, conversation_id="c")) == [("2?", "2!"), ("1?", "1!")]


async def test_a_titled_conversation_tells_its_runs_so(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    first = await answered(http, door, conversation_id="c")
    second = await ask(http, conversation_id="c")
    assert (accepted(door, first).title, accepted(door, second).title) == (None, "A title")
    assert (await http.get(f"/v1/runs/{second}")).json()["title"] == "A title"


async def test_a_follow_up_is_about_the_same_documents_unless_it_names_others(
    http: httpx2.AsyncClient, door: MemoryDoor, tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    await answered(http, door, conversation_id="c", documents=str(tmp_path / "one"))
    second = await answered(http, door, conversation_id="c")
    assert accepted(door, second).input.documents == str(tmp_path / "one")
    third = await answered(http, door, conversation_id="c", documents=str(tmp_path / "two"))
    assert accepted(door, third).input.documents == str(tmp_path / "two")
    (tmp_path / "two").rmdir()
    gone = await http.post("/v1/runs", json={"input": "And?", "conversation_id": "c"})
    assert (gone.status_code, gone.json()["code"]) == (422, "documents_not_found")


async def test_a_repeated_post_meets_its_run_also_when_that_is_the_newest(
    http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    await answered(http, door, conversation_id="c")
    body, key = {"input": "And?", "conversation_id": "c"}, {"Idempotency-Key": "k"}
    first = (await http.post("/v1/runs", json=body, headers=key)).json()
    assert (await http.post("/v1/runs", json=body, headers=key)).json() == first
    await door.publish(first["run_id"], Draft(ev.RunCompleted(answer="So.")))
    assert (await http.post("/v1/runs", json=body, headers=key)).json()["run_id"] == first["run_id"]


async def test_a_run_that_came_and_ended_in_between_is_looked_at_too(
    http: httpx2.AsyncClient, door: MemoryDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await answered(http, door, "1!", input="1?", conversation_id="c")
    create, raced = door.create, list[str]()

    async def outrun(new: NewRun) -> Created:
        if not raced:
            raced.append("x")
            raced.append(await answered(http, door, "2!", input="2?", conversation_id="c"))
        return await create(new)

    monkeypatch.setattr(door, "create", outrun)
    third = await ask(http, input="3?", conversation_id="c")
    assert said(door, third) == [("1?", "1!"), ("2?", "2!")]


async def test_a_conversation_that_never_holds_still_is_refused(
    http: httpx2.AsyncClient, door: MemoryDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def moved(new: NewRun) -> Created:
        raise Conflict("another run has come first in this conversation", "conversation_moved")

    monkeypatch.setattr(door, "create", moved)
    response = await http.post("/v1/runs", json={"input": "3?", "conversation_id": "c"})
    assert (response.status_code, response.json()["code"]) == (409, "conversation_moved")


# --- list, read, delete ----------------------------------------------------------------------------------------------


async def get(http: httpx2.AsyncClient, path: str) -> dict[str, Any]:
    response = await http.get(path)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_conversations_are_listed_newest_first_page_by_page(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    for n, conversation_id in enumerate(("a", "b", "c", "a")):
        await answered(http, door, input=f"{n}?", conversation_id=conversation_id)
    first = await get(http, "/v1/conversations?limit=2")
    assert [one["conversation_id"] for one in first["conversations"]] == ["a", "c"]
    second = await get(http, f"/v1/conversations?limit=2&before={first['next_before']}")
    assert [one["conversation_id"] for one in second["conversations"]] == ["b"]
    assert second["next_before"] is None
    newest = first["conversations"][0]
    assert (newest["title"], newest["question"], newest["run_count"]) == ("A title", "0?", 2)
    assert newest["links"] == {"self": "/v1/conversations/a"}


async def test_a_conversation_tells_what_was_asked_and_answered_and_what_it_cost(
    http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    first = await answered(http, door, "1!", input="1" * 300, conversation_id="c")
    second = await failed(http, door, input="2?", conversation_id="c")
    third = await ask(http, input="3?", conversation_id="c")
    for n, run_id in enumerate((first, second, third), start=1):
        door.runs[run_id] = replace(door.runs[run_id], spent=n * 1000, reserved=500 if n == 3 else 0)
    found = await get(http, "/v1/conversations/c")
    assert (found["title"], found["run_count"], found["next_before"]) == ("A title", 3, None)
    assert (found["cost_usd"], found["reserved_usd"]) == (0.006, 0.0005)
    assert [
        (run["run_id"], run["state"], run["question"], run["answer"], run["cost_usd"]) for run in found["runs"]
    ] == [
        (first, "completed", "1" * 300, "1!", 0.001),
        (second, "failed", "2?", None, 0.002),
        (third, "accepted", "3?", None, 0.003),
    ]
    assert found["runs"][0]["links"]["self"] == f"/v1/runs/{first}"


async def test_a_long_conversation_is_read_page_by_page_from_its_end(
    http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    for n in range(5):
        await answered(http, door, input=f"{n}?", conversation_id="c")
    path, pages, before = "/v1/conversations/c?limit=2", [], ""
    while True:
        page = await get(http, path + before)
        pages.append([run["question"] for run in page["runs"]])
        if page["next_before"] is None:
            break
        before = f"&before={page['next_before']}"
    assert pages == [["3?", "4?"], ["1?", "2?"], ["0?"]]


async def test_a_deleted_conversation_is_gone_with_its_runs(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await answered(http, door, conversation_id="c")
    gone = await http.delete("/v1/conversations/c")
    assert (gone.status_code, gone.content) == (204, b"")
    for path in ("/v1/conversations/c", f"/v1/runs/{run_id}", f"/v1/runs/{run_id}/events"):
        assert (await http.get(path)).status_code == 404
    assert (await http.delete("/v1/conversations/c")).status_code == 404
    again = await http.post("/v1/runs", json={"input": "And?", "conversation_id": "c"})
    assert (again.status_code, again.json()["code"]) == (409, "conversation_deleted")


async def test_a_busy_conversation_is_not_deleted(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    run_id = await ask(http, conversation_id="c")
    refused = await http.delete("/v1/conversations/c")
    assert (refused.status_code, refused.json()["code"]) == (409, "conversation_busy")
    assert (await http.get(f"/v1/runs/{run_id}")).status_code == 200


@pytest.mark.parametrize("name", ["c", "a%20b", "x" * 65, UNKNOWN, "%00", "é"])
async def test_what_is_not_there_or_somebody_elses_is_the_same_404(
    http: httpx2.AsyncClient, door: MemoryDoor, name: str
) -> None:
    run_id = await answered(http, door, conversation_id="c")
    door.runs[run_id] = replace(door.runs[run_id], tenant_id="other")
    unknown = await http.get("/v1/conversations/nothing")
    for response in (await http.get(f"/v1/conversations/{name}"), await http.delete(f"/v1/conversations/{name}")):
        assert (response.status_code, response.json()) == (404, unknown.json())


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "limit=1&limit=2", "before=0", "before=-1", "before=x", "before=1&before=2"],
)
async def test_malformed_pages_are_refused(http: httpx2.AsyncClient, door: MemoryDoor, query: str) -> None:
    await answered(http, door, conversation_id="c")
    for path in ("/v1/conversations", "/v1/conversations/c"):
        response = await http.get(f"{path}?{query}")
        assert (response.status_code, response.json()["code"]) == (400, "invalid_query")


async def test_a_store_that_is_away_is_503(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    door.down = True
    for response in (
        await http.get("/v1/conversations"),
        await http.get("/v1/conversations/c"),
        await http.delete("/v1/conversations/c"),
        await http.post("/v1/runs", json={"input": "And?", "conversation_id": "c"}),
    ):
        assert (response.status_code, response.json()["retryable"]) == (503, True)
