"""Posts and reads chats over a door in memory, as a transport does."""

from __future__ import annotations

import json
from typing import Any

from starlette.applications import Starlette

from runtime.events import catalog as ev
from runtime.events.envelope import Draft
from tests.generator.ai_sdk.logs import asks_for, at, completed, delta, done, started, turned, waits
from tests.generator.ai_sdk.test_ai_sdk_projection import CALLED, USE
from tests.generator.driver import Exchange, http_scope
from tests.generator.memory_door import MemoryDoor
from tests.generator.runs_by_door import JSON

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


async def asking(app: Starlette, door: MemoryDoor) -> tuple[Exchange, str]:
    exchange, run_id = await begin(app, door)
    await work(door, run_id, *ASKING)
    await exchange.done()
    return exchange, run_id
