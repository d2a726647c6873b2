"""``/v1/ai-sdk/chat`` over a door in memory: what is taken, what is refused, and where each response begins and ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.datastructures import Headers

from runtime.clock import ManualClock
from runtime.config import Settings
from runtime.errors import StoreUnavailable
from runtime.events import catalog as ev
from runtime.events.codec import decode
from runtime.events.envelope import Draft
from runtime.events.fold import fold_all
from runtime.events.messages import ToolUseBlock
from runtime.generator.app import build_app
from runtime.generator.principal import SCOPES, Principal
from runtime.generator.protocols.ai_sdk.history import MAX_TURNS
from runtime.ids import is_run_id
from tests.generator.ai_sdk.client_rules import chunks_in, read_all
from tests.generator.ai_sdk.logs import asks_for, at, completed, delta, done, says_yes, started, turned, waits
from tests.generator.ai_sdk.test_ai_sdk_projection import CALLED, USE
from tests.generator.driver import Exchange, http_scope
from tests.generator.memory_door import MemoryDoor
from tests.generator.runs_by_door import JSON, UNKNOWN, ids, team

CHAT = "/v1/ai-sdk/chat"
Body = dict[str, Any]


def said(text: str = "Why?", *, id: str = "m1", chat: str = "c1", **more: Any) -> Body:
    """What the transport posts for a person's message."""
    message = {"id": id, "role": "user", "parts": [{"type": "text", "text": text}]}
    return {"id": chat, "messages": [message], "trigger": "submit-message", **more}


def answered(run_id: str, *parts: Body, chat: str = "c1", **more: Any) -> Body:
    """What it posts to go on in an assistant's message."""
    message = {"id": run_id, "role": "assistant", "parts": [{"type": "step-start"}, *parts]}
    return {"id": chat, "messages": [message], "trigger": "submit-message", "messageId": run_id, **more}


def approval(approved: bool = True, *, id: str = "a:1.c1#h", **more: Any) -> Body:
    judged = {"id": id, "approved": approved, **more}
    return {"type": "dynamic-tool", "toolCallId": id, "state": "approval-responded", "approval": judged}


def post(app: Starlette, body: Body, headers: tuple[tuple[str, str], ...] = ()) -> Exchange:
    return Exchange(app, http_scope("POST", CHAT, [JSON, *headers]), json.dumps(body).encode())


def resume(app: Starlette, chat: str = "c1") -> Exchange:
    return Exchange(app, http_scope("GET", f"{CHAT}/{chat}/stream"))


async def begin(app: Starlette, door: MemoryDoor, body: Body | None = None) -> tuple[Exchange, str]:
    exchange = post(app, body or said())
    await exchange.until_sent(b'"start-step"')
    return exchange, exchange.headers["x-run-id"]


async def work(door: MemoryDoor, run_id: str, *drafts: Draft | ev.Event) -> None:
    await door.publish(run_id, *(one if isinstance(one, Draft) else Draft(one) for one in drafts))


PLAN = ev.PlanCommitted.model_validate({"plan": {"todos": [{"id": "a", "title": "A", "agent": "research"}]}})
BEGUN = (ev.RunStarted(epoch=1, owner="e", code_version="0"), PLAN, started())
ANSWERED = (*BEGUN, delta("Because."), turned("Because."), done("Because."), completed("Because.", ("a", "Because.")))
ASKING = (*BEGUN, turned("", "a", USE), asks_for(), waits("a:1.c1"))
SENT = (
    ev.RunStarted(epoch=2, owner="e", code_version="0"),
    at(CALLED),
    at(ev.ToolCompleted(call_id="c1", name="send", result="sent")),
    turned("Sent.", turn=2),
    done("Sent."),
    completed("Sent.", ("a", "Sent.")),
)


# --- asking ----------------------------------------------------------------------------------------------------------


async def test_a_message_is_a_run_of_the_chat_and_its_answer_a_stream(app: Starlette, door: MemoryDoor) -> None:
    exchange, run_id = await begin(app, door)
    headers = exchange.headers
    assert exchange.status == 200
    assert headers["x-vercel-ai-ui-message-stream"] == "v1"
    assert headers["content-type"].startswith("text/event-stream")
    assert (headers["cache-control"], headers["x-accel-buffering"]) == ("no-cache, no-transform", "no")
    assert headers["location"] == f"/v1/runs/{run_id}"
    assert exchange.text.startswith(b": headrace ")
    run = door.runs[run_id]
    assert (run.conversation_id, run.on_disconnect, run.grace_s) == ("c1", "cancel", 30.0)
    assert door.readers[run_id] == 1
    await exchange.until_sent(b": ping\n\n")
    await work(door, run_id, *ANSWERED)
    await exchange.done()
    chunks, is_done = chunks_in(exchange.text)
    client = read_all(chunks)
    assert is_done
    assert (client.message_id, client.finish_reason) == (run_id, "stop")
    assert [text for text, _ in client.texts] == ["Because."]
    assert exchange.ended


async def test_options_of_the_transports_body_are_the_runs(
    app: Starlette, door: MemoryDoor, settings: Settings
) -> None:
    options = {
        "documents": str(settings.data_dir), "approve_plan": True, "budget_usd": 0.5, "deadline_s": 60, "grace_s": 5,
        "on_disconnect": "continue", "metadata": {"k": "v"}, "ai_sdk": 7,
    }  # fmt: skip
    _, run_id = await begin(app, door, said(**options))
    run, event = door.runs[run_id], decode(door.events[run_id][0]).event
    assert isinstance(event, ev.RunAccepted)
    assert (run.on_disconnect, run.grace_s, run.budget) == ("continue", 5.0, 500_000)
    assert (event.approve_plan, event.limits.deadline_s, event.input.documents) == (True, 60, str(settings.data_dir))
    assert event.input.metadata == {"k": "v", "ai-sdk.message": "m1", "ai-sdk.version": "7"}


async def test_files_and_texts_of_a_message_are_the_question(app: Starlette, door: MemoryDoor) -> None:
    parts = [
        {"type": "file", "mediaType": "text/plain", "url": "data:text/plain;base64,aGVsbG8=", "filename": "a.txt"},
        {"type": "file", "mediaType": "image/png", "url": "https://example.org/a.png"},
        {"type": "text", "text": "What is"},
        {"type": "text", "text": "this?"},
        {"type": "data-cursor", "data": 3},
    ]
    body = said()
    body["messages"][0]["parts"] = parts
    _, run_id = await begin(app, door, body)
    event = decode(door.events[run_id][0]).event
    assert isinstance(event, ev.RunAccepted)
    assert event.input.question == "What is\n\nthis?"
    assert [(a.type, a.name, a.data, a.url) for a in event.input.attachments] == [
        ("text", "a.txt", "aGVsbG8=", None),
        ("image", "", None, "https://example.org/a.png"),
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "not a chat"}, "1 to 64 letters, digits"),
        ({"id": "x" * 65}, "1 to 64 letters, digits"),
        ({"messages": []}, "at least 1 item"),
        ({"messages": [{"id": "m", "role": "system", "parts": []}]}, "the last message must be a user's"),
        ({"messages": [{"role": "user", "parts": [{"type": "text", "text": "a"}]}]}, "with an id"),
        ({"messages": [{"id": "m", "role": "user", "parts": [{"type": "text", "text": " "}]}]}, "must not be blank"),
        ({"messages": [{"id": "m", "role": "user", "parts": [{"type": "tool-x"}]}]}, "no 'tool-x'"),
        ({"messages": [{"id": "m", "role": "user", "parts": [{"type": "file", "url": "x"}]}]}, "a mediaType and a url"),
        ({"messages": [{"id": "m", "role": "robot", "parts": []}]}, "role"),
        ({"trigger": "other"}, "trigger"),
        ({"tenant_id": "b"}, "tenant_id"),
        ({"ai_sdk": 4}, "ai_sdk"),
        ({"budget_usd": "5"}, "budget_usd"),
        ({"metadata": {"ai-sdk.version": "7"}}, "are taken"),
    ],
)  # fmt: skip
async def test_what_cannot_be_answered_is_told(
    http: httpx2.AsyncClient, door: MemoryDoor, change: Body, words: str
) -> None:
    response = await http.post(CHAT, json={**said(), **change})
    assert (response.status_code, response.json()["code"]) == (422, "validation_failed")
    assert words in response.json()["detail"]
    assert not door.runs


async def test_the_same_message_again_is_the_same_run(app: Starlette, door: MemoryDoor) -> None:
    first, run_id = await begin(app, door)
    again, same = await begin(app, door)
    assert run_id == same
    await work(door, run_id, *ANSWERED)
    await first.done()
    await again.done()
    assert chunks_in(first.text) == chunks_in(again.text)
    third = post(app, said())
    await third.done()
    assert chunks_in(third.text) == chunks_in(first.text)
    assert len(door.runs) == 1


async def test_another_message_while_one_is_answered_is_refused(
    app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    exchange, _ = await begin(app, door)
    response = await http.post(CHAT, json=said("And?", id="m2"))
    assert (response.status_code, response.json()["code"]) == (409, "conversation_busy")
    await exchange.leave()


async def test_an_answer_made_anew_stands_in_the_place_of_the_first(
    app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    order = []
    for body in (said("One?"), said("Two?", id="m2"), said("Two?", id="m2", trigger="regenerate-message")):
        exchange, run_id = await begin(app, door, body)
        if body["trigger"] == "regenerate-message":
            again, same = await begin(app, door, body)  # while it runs: a click too many
            assert same == run_id
            await again.leave()
        await work(door, run_id, *ANSWERED)
        await exchange.done()
        order.append(run_id)
    accepted = decode(door.events[order[2]][0]).event
    assert isinstance(accepted, ev.RunAccepted)
    assert [exchange.question for exchange in accepted.history.exchanges] == ["One?"]
    shown = (await http.get(f"{CHAT}/c1/messages")).json()["messages"]
    assert [m["id"] for m in shown] == ["m1", order[0], "m2", order[2]]
    exchange, run_id = await begin(app, door, said("Two?", id="m2", trigger="regenerate-message"))
    assert run_id not in order
    await exchange.leave()


async def test_an_edited_message_begins_again_from_there(
    app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    for body in (said("One?"), said("Two?", id="m2"), said("Uno?", id="m1", messageId="m1")):
        exchange, run_id = await begin(app, door, body)
        await work(door, run_id, *ANSWERED)
        await exchange.done()
    accepted = decode(door.events[run_id][0]).event
    assert isinstance(accepted, ev.RunAccepted)
    assert accepted.history.exchanges == ()
    shown = (await http.get(f"{CHAT}/c1/messages")).json()["messages"]
    assert [m["id"] for m in shown] == ["m1", run_id]
    assert shown[0]["parts"] == [{"type": "text", "text": "Uno?"}]


# --- reading on ------------------------------------------------------------------------------------------------------


async def test_a_reader_who_left_is_gone_and_one_who_resumes_is_there(app: Starlette, door: MemoryDoor) -> None:
    exchange, run_id = await begin(app, door)
    await work(door, run_id, *BEGUN, delta("Be"))
    await exchange.until_sent(b'"Be"')
    await exchange.leave()
    assert door.readers[run_id] == 0
    other = resume(app)
    await other.until_sent(b'"Be"')
    assert door.readers[run_id] == 1
    assert other.headers["x-vercel-ai-ui-message-stream"] == "v1"
    await work(door, run_id, delta("cause."), turned("Because."), completed("Because.", ("a", "Because.")))
    await other.done()
    late = resume(app)
    await late.done()
    assert chunks_in(late.text) == chunks_in(other.text)
    assert chunks_in(other.text)[0][: len(chunks_in(exchange.text)[0])] == chunks_in(exchange.text)[0]


async def test_a_chat_that_nobody_knows_has_nothing_to_resume(http: httpx2.AsyncClient) -> None:
    response = await http.get(f"{CHAT}/c9/stream")
    assert (response.status_code, response.content) == (204, b"")
    assert (await http.get(f"{CHAT}/c9/messages")).json() == {"messages": [], "next_before": None}
    assert (await http.post(f"{CHAT}/c9/stop")).status_code == 404


@pytest.mark.parametrize(("method", "path"), [("GET", "stream"), ("GET", "messages"), ("POST", "stop")])
async def test_what_can_be_no_chat_is_refused(http: httpx2.AsyncClient, method: str, path: str) -> None:
    response = await http.request(method, f"{CHAT}/not%20a%20chat/{path}")
    assert (response.status_code, response.json()["code"]) == (422, "validation_failed")
    assert "1 to 64 letters" in response.json()["detail"]


async def test_no_stream_is_opened_beyond_the_limit(app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    exchanges = [(await begin(app, door, said(chat=f"c{n}", id=f"m{n}")))[0] for n in range(3)]
    for response in (await http.post(CHAT, json=said(chat="c4")), await http.get(f"{CHAT}/c1/stream")):
        assert (response.status_code, response.json()["code"]) == (429, "too_many_streams")
        assert response.headers["retry-after"] == "5"
    assert len(door.runs) == 3
    for exchange in exchanges:
        await exchange.leave()


async def test_a_run_with_too_many_readers_says_so_as_an_error(app: Starlette, door: MemoryDoor) -> None:
    door.max_readers = 1
    exchange, _ = await begin(app, door)
    other = resume(app)
    await other.done()
    chunks, is_done = chunks_in(other.text)
    assert [chunk["type"] for chunk in chunks] == ["error"]
    assert is_done
    await exchange.leave()


async def test_a_store_that_stays_away_ends_the_stream_with_an_error(app: Starlette, door: MemoryDoor) -> None:
    async def follow(run_id: str, *, after: int, idle_s: float) -> AsyncIterator[Any]:
        yield door.events[run_id]
        yield None
        raise StoreUnavailable("sqlite: secret")

    door.follow = follow  # type: ignore[method-assign,assignment]
    exchange = post(app, said())
    await exchange.done()
    assert b": store-unavailable" in exchange.text
    chunks, is_done = chunks_in(exchange.text)
    assert chunks[-1]["type"] == "error"
    assert "secret" not in chunks[-1]["errorText"]
    assert is_done


async def test_stop_cancels_the_chats_run(app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    exchange, run_id = await begin(app, door)
    response = await http.post(f"{CHAT}/c1/stop", json={"activeStreamId": "x"})
    assert (response.status_code, response.json()["run_id"]) == (202, run_id)
    assert door.runs[run_id].cancel_requested
    await work(door, run_id, ev.RunCancelled(reason="user"))
    await exchange.done()
    chunks, is_done = chunks_in(exchange.text)
    assert (chunks[-1], is_done) == ({"type": "abort", "reason": "user"}, True)


# --- answering -------------------------------------------------------------------------------------------------------


async def asking(app: Starlette, door: MemoryDoor) -> tuple[Exchange, str]:
    exchange, run_id = await begin(app, door)
    await work(door, run_id, *ASKING)
    await exchange.done()
    return exchange, run_id


async def test_a_run_that_asks_ends_its_response_and_an_answer_opens_the_next(app: Starlette, door: MemoryDoor) -> None:
    first, run_id = await asking(app, door)
    chunks, is_done = chunks_in(first.text)
    assert (chunks[-1]["finishReason"], is_done) == ("tool-calls", True)
    second = post(app, answered(run_id, approval(reason="go")))
    await second.until_sent(b'"start-step"')
    state = fold_all([decode(stored) for stored in door.events[run_id]])
    given = state.approvals["a:1.c1"].given
    assert given is not None
    assert (given.approved, given.text, given.arguments_hash) == (True, "go", "h")
    await work(door, run_id, *SENT)
    await second.done()
    more, is_done = chunks_in(second.text)
    assert is_done
    assert [chunk["type"] for chunk in more[:2]] == ["start", "start-step"]
    assert more[0]["messageId"] == chunks[0]["messageId"] == run_id
    whole = resume(app)
    await whole.done()
    assert chunks_in(whole.text)[0] == [*chunks, *more]
    read_all([*chunks, *more])


async def test_an_answer_sent_again_gets_the_same_response(app: Starlette, door: MemoryDoor) -> None:
    _, run_id = await asking(app, door)
    second = post(app, answered(run_id, approval()))
    await second.until_sent(b'"start-step"')
    await second.leave()
    await work(door, run_id, *SENT)
    third = post(app, answered(run_id, approval()))
    await third.done()
    events = [stored.type for stored in door.events[run_id]]
    assert events.count("approval.given") == 1
    assert chunks_in(third.text)[0][0]["type"] == "start"
    assert chunks_in(third.text)[0][-1]["finishReason"] == "stop"


async def test_a_run_that_waits_is_resumed_up_to_its_question(app: Starlette, door: MemoryDoor) -> None:
    first, run_id = await asking(app, door)
    page = resume(app)
    await page.done()
    assert chunks_in(page.text) == chunks_in(first.text)
    await work(door, run_id, says_yes("a:1.c1"))
    page = resume(app)  # it has been answered: it will go on, and so does the reader
    await page.until_sent(b'"approvalId"')
    assert not page.task.done()
    await work(door, run_id, *SENT)
    await page.done()
    assert chunks_in(page.text)[0][-1]["finishReason"] == "stop"


async def test_an_answer_while_others_still_speak_goes_on_in_the_middle(app: Starlette, door: MemoryDoor) -> None:
    exchange, run_id = await begin(app, door)
    await work(door, run_id, *BEGUN, delta("left ", "b"), turned("", "a", USE), asks_for())
    await exchange.until_sent(b"tool-approval-request")
    await exchange.leave()
    second = post(app, answered(run_id, approval()))
    await second.until_sent(b'"start"')
    finish = (delta("right", "b"), turned("left right", "b"), *SENT[1:])
    await work(door, run_id, *finish)
    await second.done()
    chunks, is_done = chunks_in(second.text)
    assert is_done
    assert [chunk["type"] for chunk in chunks[:2]] == ["start", "text-start"]
    assert next(c["delta"] for c in chunks if c["type"] == "text-delta") == "right"
    assert chunks[-1]["type"] == "finish"


@pytest.mark.parametrize(
    ("parts", "more", "code"),
    [
        ((), {}, "nothing_answered"),
        ((approval(id="a:9.c9"),), {}, "not_asked"),
        ((approval(id="a:1.c1#another"),), {}, "arguments_changed"),
        ((), {"answers": [{"approval": "a:1.c1", "arguments_hash": "another"}]}, "arguments_changed"),
    ],
)
async def test_what_answers_nothing_is_refused(
    app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor, parts: tuple[Body, ...], more: Body, code: str
) -> None:
    _, run_id = await asking(app, door)
    before = len(door.events[run_id])
    response = await http.post(CHAT, json=answered(run_id, *parts, **more))
    assert (response.status_code, response.json()["code"]) == (409, code)
    assert len(door.events[run_id]) == before


async def test_an_answer_to_another_question_is_refused(
    app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    exchange, run_id = await begin(app, door)
    use = ToolUseBlock(id="q1", name="ask_person", input={"question": "Send it?"})
    await work(door, run_id, *BEGUN, turned("", "a", use), asks_for("q1", kind="question"), waits("a:1.q1"))
    await exchange.done()

    def part(question: str) -> Body:
        shown = {"toolCallId": "a:1.q1", "toolName": "ask_person", "input": {"question": question, "options": []}}
        return {"type": "dynamic-tool", "state": "output-available", "output": "yes", **shown}

    response = await http.post(CHAT, json=answered(run_id, part("Burn it?")))
    assert (response.status_code, response.json()["code"]) == (409, "arguments_changed")
    second = post(app, answered(run_id, part("Send it?")))
    await second.until_sent(b'"start-step"')
    given = fold_all([decode(stored) for stored in door.events[run_id]]).approvals["a:1.q1"].given
    assert given is not None
    assert given.text == "yes"
    await second.leave()


async def test_of_several_answers_either_all_are_written_or_none(
    app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    exchange, run_id = await begin(app, door)
    await work(door, run_id, *BEGUN, turned("", "a", USE), asks_for(), asks_for("c2", stage="b"), waits("a:1.c1"))
    await exchange.done()
    nobody_asks_any_more = approval(id="b:1.c2")  # the plan has no step b
    response = await http.post(CHAT, json=answered(run_id, approval(), nobody_asks_any_more))
    assert (response.status_code, response.json()["code"]) == (409, "not_asked")
    assert "approval.given" not in [stored.type for stored in door.events[run_id]]


async def test_an_answer_that_another_person_has_given_otherwise_is_refused(
    app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor
) -> None:
    _, run_id = await asking(app, door)
    await work(door, run_id, says_yes("a:1.c1", approved=False))
    response = await http.post(CHAT, json=answered(run_id, approval()))
    assert (response.status_code, response.json()["code"]) == (409, "already_answered")


async def test_a_plan_may_be_changed_by_its_answer(app: Starlette, door: MemoryDoor) -> None:
    exchange, run_id = await begin(app, door)
    asked = ev.ApprovalRequested(approval="plan", kind="plan", what="?", arguments_hash="h", expires_at=9e9)
    await work(door, run_id, *BEGUN[:2], asked, waits("plan"))
    await exchange.done()
    plan = {"todos": [{"id": "z", "title": "Z", "agent": "writing"}]}
    second = post(app, answered(run_id, answers=[{"approval": "plan", "plan": plan}]))
    await second.until_sent(b'"start-step"')
    given = fold_all([decode(stored) for stored in door.events[run_id]]).approvals["plan"].given
    assert given is not None
    assert given.plan is not None
    assert given.plan.todos[0].id == "z"
    await second.leave()


# --- whose it is -----------------------------------------------------------------------------------------------------


class ByHeader:
    """``X-Tenant`` says who asks."""

    async def __call__(self, headers: Headers) -> Principal:
        return Principal(headers.get("x-tenant", "a"), "somebody", SCOPES)


async def test_a_tenant_meets_nothing_of_anothers_chats(door: MemoryDoor, settings: Settings) -> None:
    app = build_app(door, settings, clock=ManualClock(), new_id=ids().__next__, team=team, authenticate=ByHeader())
    exchange = post(app, said(), (("X-Tenant", "a"),))
    await exchange.until_sent(b'"start-step"')
    run_id = exchange.headers["x-run-id"]
    await work(door, run_id, *ASKING)
    await exchange.done()
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers={"X-Tenant": "b"}) as b:
        assert (await b.get(f"{CHAT}/c1/stream")).status_code == 204
        assert (await b.get(f"{CHAT}/c1/messages")).json()["messages"] == []
        theirs = await b.post(CHAT, json=answered(run_id, approval()))
        nobodys = await b.post(CHAT, json=answered(UNKNOWN, approval()))
        assert theirs.status_code == 404
        assert theirs.content == nobodys.content
        assert (await b.post(f"{CHAT}/c1/stop")).content == (await b.post(f"{CHAT}/c9/stop")).content
    assert "approval.given" not in [stored.type for stored in door.events[run_id]]


async def test_an_answer_belongs_to_its_chat(app: Starlette, http: httpx2.AsyncClient, door: MemoryDoor) -> None:
    _, run_id = await asking(app, door)
    response = await http.post(CHAT, json=answered(run_id, approval(), chat="c2"))
    assert response.status_code == 404


# --- history ---------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize(("method", "path"), [("POST", CHAT), ("GET", f"{CHAT}/c1/stream")])
async def test_only_a_stream_can_be_answered(http: httpx2.AsyncClient, method: str, path: str) -> None:
    headers = {"Accept": "application/xml", "Content-Type": "application/json"}
    response = await http.request(method, path, headers=headers, content=json.dumps(said()))
    assert (response.status_code, response.json()["code"]) == (406, "not_acceptable")


async def test_a_head_request_opens_nothing_for_long(app: Starlette, door: MemoryDoor) -> None:
    exchange, _ = await begin(app, door)
    head = Exchange(app, http_scope("HEAD", f"{CHAT}/c1/stream"))
    async with asyncio.timeout(5):
        await head.done()
    assert (head.status, head.text) == (200, b"")
    await exchange.leave()
