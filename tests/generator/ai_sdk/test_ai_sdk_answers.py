"""What people answer in a chat: where each response begins and ends, and what is refused."""

from __future__ import annotations

import httpx2
import pytest
from starlette.applications import Starlette

from runtime.events import catalog as ev
from runtime.events.codec import decode
from runtime.events.fold import fold_all
from runtime.events.messages import ToolUseBlock
from tests.generator.ai_sdk.chats import (
    BEGUN,
    CHAT,
    SENT,
    Body,
    answered,
    approval,
    asking,
    begin,
    post,
    resume,
    work,
)
from tests.generator.ai_sdk.client_rules import chunks_in, read_all
from tests.generator.ai_sdk.logs import asks_for, delta, says_yes, turned, waits
from tests.generator.ai_sdk.test_ai_sdk_projection import USE
from tests.generator.memory_door import MemoryDoor


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
