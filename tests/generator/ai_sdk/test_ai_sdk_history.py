"""The messages of a chat, as a page that is loaded gets them."""

from __future__ import annotations

import httpx2
from starlette.applications import Starlette

from runtime.generator.protocols.ai_sdk.history import MAX_TURNS
from runtime.ids import is_run_id
from tests.generator.ai_sdk.chats import (
    ANSWERED,
    ASKING,
    CHAT,
    begin,
    said,
    work,
)
from tests.generator.memory_door import MemoryDoor


async def test_history_comes_in_pages_the_newest_first(
    app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    runs = []
    for n in range(3):
        exchange, run_id = await begin(app, door, said(f"Q{n}?", id=f"m{n}"))
        await work(door, run_id, *ANSWERED)
        await exchange.done()
        runs.append(run_id)
    page = (await http.get(f"{CHAT}/c1/messages?limit=2")).json()
    assert [m["id"] for m in page["messages"]] == ["m1", runs[1], "m2", runs[2]]
    assert page["next_before"] == runs[1]
    older = (await http.get(f"{CHAT}/c1/messages?limit=2&before={page['next_before']}")).json()
    assert [m["id"] for m in older["messages"]] == ["m0", runs[0]]
    assert older["next_before"] is None
    for bad in ("limit=0", "limit=51", "before=x"):
        assert (await http.get(f"{CHAT}/c1/messages?{bad}")).status_code == 400


async def test_a_run_under_way_is_not_in_the_history_and_one_that_asks_is(
    app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    exchange, run_id = await begin(app, door)
    assert [m["role"] for m in (await http.get(f"{CHAT}/c1/messages")).json()["messages"]] == ["user"]
    await work(door, run_id, *ASKING)
    await exchange.done()
    asked = (await http.get(f"{CHAT}/c1/messages")).json()["messages"][1]
    (tool,) = [part for part in asked["parts"] if part["type"] == "dynamic-tool"]
    assert (asked["id"], tool["state"], tool["approval"]["id"]) == (run_id, "approval-requested", "a:1.c1#h")
    assert is_run_id(asked["id"])


async def test_runs_of_the_native_api_are_in_the_history_too(http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    answer = await http.post("/v1/runs", json={"input": "Natively?", "conversation_id": "c1"})
    run_id = answer.json()["run_id"]
    await work(door, run_id, *ANSWERED)
    shown = (await http.get(f"{CHAT}/c1/messages")).json()["messages"]
    assert [m["id"] for m in shown] == [f"{run_id}-question", run_id]
    assert shown[0]["parts"] == [{"type": "text", "text": "Natively?"}]


def test_a_page_of_messages_is_within_what_is_looked_through() -> None:
    assert MAX_TURNS >= 50
