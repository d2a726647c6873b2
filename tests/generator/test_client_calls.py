"""The client against the whole API: every operation, answers that are lost on the way, refusals as errors with their codes."""

from __future__ import annotations

import inspect
import pickle
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from runtime import errors as base
from runtime.client import HeadraceClient, HeadraceSyncClient, RunView
from runtime.client import errors as ours
from runtime.client.reconnect import Reconnect
from runtime.clock import ManualClock
from runtime.events import catalog as ev
from runtime.events.envelope import Draft
from tests.generator.memory_door import MemoryDoor
from tests.generator.runs_by_door import UNKNOWN, whole_run

OTHERS = ("/v1/ag-ui", "/v1/ai-sdk", "/v1/keys")
"""For clients of other protocols, and for administrators: ``headrace keys``."""
BASE = "http://127.0.0.1:8000"


class Line(httpx2.AsyncBaseTransport):
    """The way to the app. ``fate``: what becomes of the next requests: an answer in the app's place, or, once the app has
    had the request, an error in its answer's place; afterwards all goes well."""

    def __init__(self, app: Starlette) -> None:
        self._app = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        self.fate: list[Exception | httpx2.Response] = []
        self.requests: list[httpx2.Request] = []

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        fate = self.fate.pop(0) if self.fate else None
        if isinstance(fate, httpx2.Response):
            return fate
        if isinstance(fate, httpx2.ConnectError):
            raise fate
        response = await self._app.handle_async_request(request)
        if fate is not None:
            await response.aread()
            raise fate
        return response


@pytest.fixture
def line(app: Starlette) -> Line:
    return Line(app)


@pytest.fixture
async def client(line: Line) -> AsyncIterator[HeadraceClient]:
    async with HeadraceClient(BASE, transport=line, clock=ManualClock(), jitter=lambda: 0.5) as client:
        yield client


LOST = httpx2.ReadError("cut")
PROXY = httpx2.Response(500, text="Internal Server Error")
AWAY = httpx2.Response(503, json={"code": "store_unavailable", "detail": "away"}, headers={"retry-after": "3"})


async def run_of(client: HeadraceClient) -> str:
    return str((await client.create("Why?"))["run_id"])


async def finished(client: HeadraceClient, door: MemoryDoor) -> str:
    run_id = await run_of(client)
    await whole_run(door, run_id)
    await door.publish(run_id, Draft(ev.RunCompleted(answer="Because.")))
    return run_id


@pytest.mark.parametrize("fate", [[LOST], [LOST, httpx2.ConnectError("down"), LOST], [PROXY, AWAY]])
async def test_a_run_whose_answer_was_lost_is_asked_for_again_and_made_once(
    client: HeadraceClient, line: Line, door: MemoryDoor, fate: list[Any]
) -> None:
    line.fate = list(fate)
    created = await client.create("Why?", metadata={"n": "1"})
    assert list(door.runs) == [created["run_id"]]
    assert len(line.requests) == len(fate) + 1
    assert len({request.headers["idempotency-key"] for request in line.requests}) == 1
    assert len({request.content for request in line.requests}) == 1


async def test_a_key_of_the_callers_own_meets_the_same_run_later(client: HeadraceClient, door: MemoryDoor) -> None:
    first, second = [await client.create("Why?", idempotency_key="order-17") for _ in range(2)]
    assert first["run_id"] == second["run_id"]
    await door.publish(first["run_id"], Draft(ev.RunCompleted(answer="Because.")))
    events = [event async for event in client.stream("Why?", idempotency_key="order-17")]
    assert {event.run_id for event in events} == {first["run_id"]}
    with pytest.raises(ours.BadRequest, match="another body"):
        await client.create("Something else?", idempotency_key="order-17")
    assert (await client.create("Why?"))["run_id"] != first["run_id"]


async def test_what_was_said_is_sent_again_with_its_key(client: HeadraceClient, line: Line, door: MemoryDoor) -> None:
    run_id = await run_of(client)
    line.fate = [LOST]
    await client.message(run_id, "Be short.")
    said = [e for e in door.events[run_id] if e.type == "input.received"]
    assert len(said) == 1


async def test_it_does_not_wait_for_a_server_that_was_never_there_nor_for_ever(
    client: HeadraceClient, line: Line
) -> None:
    line.fate = [httpx2.ConnectError("refused")]
    with pytest.raises(ours.Unreachable, match="headrace serve"):
        await client.create("Why?")
    assert len(line.requests) == 1
    line.fate = [LOST] * 20
    with pytest.raises(ours.Unreachable, match="did not answer"):
        await client.create("Why?")
    assert len(line.requests) == 1 + Reconnect().attempts


async def test_what_would_last_is_the_callers_to_decide_about(client: HeadraceClient, line: Line) -> None:
    full = {"code": "too_many_runs", "detail": "You have as many runs as you may."}
    line.fate = [httpx2.Response(429, json=full, headers={"retry-after": "60"})]
    with pytest.raises(ours.TryLater) as caught:
        await client.create("Why?")
    assert (caught.value.code, caught.value.retry_after, caught.value.retry_after_s) == ("too_many_runs", 60, 60)
    assert len(line.requests) == 1


async def test_a_call_without_a_key_is_not_sent_twice(client: HeadraceClient, line: Line, door: MemoryDoor) -> None:
    run_id = await run_of(client)
    line.fate = [LOST]
    with pytest.raises(ours.Unreachable):
        await client.cancel(run_id)
    assert len(line.requests) == 2


@pytest.mark.parametrize(
    ("status", "code", "kind", "also"),
    [
        (400, "invalid_query", ours.BadRequest, base.InvalidRequest),
        (401, "unauthorized", ours.NotAuthenticated, base.CallerError),
        (403, "forbidden", ours.NotAllowed, base.CallerError),
        (404, "not_found", ours.Missing, base.NotFound),
        (409, "cursor_ahead", ours.Refused, base.Conflict),
        (410, "gone", ours.Refused, base.Conflict),
        (413, "too_large", ours.BadRequest, base.InvalidRequest),
        (422, "validation_failed", ours.BadRequest, base.InvalidRequest),
        (429, "rate_limited", ours.TryLater, base.Busy),
        (503, "store_unavailable", ours.TryLater, base.Busy),
        (500, "internal", ours.ServerError, base.HeadraceError),
    ],
)
async def test_refusals_are_errors_with_the_servers_words(
    client: HeadraceClient, line: Line, status: int, code: str, kind: type[ours.ApiError], also: type[Exception]
) -> None:
    body = {"code": code, "detail": "because", "request_id": "q1", "errors": [{"pointer": "/a", "detail": "wrong"}]}
    line.fate = [httpx2.Response(status, json=body)]
    with pytest.raises(also) as caught:
        await client.snapshot(UNKNOWN)
    error = caught.value
    assert type(error) is kind
    assert isinstance(error, ours.ApiError)
    assert (error.status, error.code, error.request_id) == (status, code, "q1")
    assert (error.message.removesuffix(" Set HEADRACE_API_KEY, or give the client an api_key."), error.errors) == (
        "because; /a: wrong",
        (("/a", "wrong"),),
    )
    assert ("HEADRACE_API_KEY" in error.message) == (status == 401)
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), vars(back)) == (kind, vars(error))


async def test_an_answer_of_somebody_else_still_becomes_an_error(client: HeadraceClient, line: Line) -> None:
    line.fate = [httpx2.Response(502, text="<html>"), httpx2.Response(404, json=[1])]
    with pytest.raises(ours.ServerError, match="HTTP 502") as caught:
        await client.snapshot(UNKNOWN)
    assert (caught.value.code, caught.value.retryable, caught.value.retry_after) == ("server_error", True, None)
    with pytest.raises(ours.Missing, match="HTTP 404"):
        await client.snapshot(UNKNOWN)


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    drawn = [line.split("── ")[1].split()[0] for line in (ours.__doc__ or "").splitlines() if "── " in line]
    made = [
        name
        for name, kind in vars(ours).items()
        if inspect.isclass(kind) and issubclass(kind, Exception) and kind.__module__ == ours.__name__
    ]
    assert drawn == made
    codes = [getattr(ours, name).code for name in made]
    assert len(set(codes)) == len(codes)
    assert not {base.by_code(code) for code in ("not_found", "conflict", "busy", "invalid_request")} & {
        getattr(ours, name) for name in made
    }


async def test_the_key_is_sent_with_every_request(
    app: Starlette, door: MemoryDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_API_KEY", "from-the-environment")
    for given, sent in (("mine", "Bearer mine"), (None, "Bearer from-the-environment"), ("", None)):
        line = Line(app)
        async with HeadraceClient(BASE, transport=line, api_key=given) as client:
            run_id = await finished(client, door)
            assert [event async for event in client.follow(run_id)]
            assert "mine" not in repr(vars(client))
        assert {request.headers.get("authorization") for request in line.requests} == {sent}


async def test_pages_go_on_where_they_say_and_end(client: HeadraceClient, door: MemoryDoor) -> None:
    run_id = await finished(client, door)
    page = await client.events(run_id, limit=4)
    seen = list(page.events)
    while not page.finished:
        page = await client.events(run_id, after=page.next_after, limit=4)
        seen += page.events
    live = [event async for event in client.follow(run_id)]
    assert seen == live
    assert (await client.events(run_id, after=page.next_after)).events == ()
    assert (await client.events(run_id, after=page.next_after)).finished
    rest = [event async for event in client.follow(run_id, after=live[2].id)]
    assert rest == live[3:]
    with pytest.raises(ours.Refused) as caught:
        await client.events(run_id, after=999)
    assert caught.value.code == "cursor_ahead"
    with pytest.raises(ValueError, match="no event's number"):
        await anext(client.follow(run_id, after="x"))


async def test_a_question_and_its_end_in_one_call(client: HeadraceClient, line: Line, door: MemoryDoor) -> None:
    run_id = (await client.create("Why?", idempotency_key="k"))["run_id"]
    await whole_run(door, run_id)
    await door.publish(run_id, Draft(ev.RunCompleted(answer="Because.")))
    view = await client.ask("Why?", idempotency_key="k")
    assert (view.answer, view.state, view.title, view.over) == ("Because.", "completed", "A title", True)
    assert view.stages["t1"].output == "Found."
    assert view == await client.view(run_id)
    assert isinstance(view, RunView)


async def test_people(client: HeadraceClient, door: MemoryDoor) -> None:
    run_id = await run_of(client)
    await whole_run(door, run_id)
    plan = ev.ApprovalRequested(approval="plan", kind="plan", what="?", arguments_hash="h1", expires_at=1.0)
    question = ev.ApprovalRequested(approval="q", kind="question", what="?", arguments_hash="h2", expires_at=1.0)
    await door.publish(run_id, Draft(plan), Draft(question))
    with pytest.raises(ours.Refused) as caught:
        await client.approve(run_id, "plan", "other")
    assert caught.value.code == caught.value.reason == "arguments_changed"
    await client.approve(run_id, "plan", "h1", approved=False, text="too dear")
    await client.answer(run_id, "q", "Europe")
    await client.message(run_id, "Be short.", stage="t2")
    await client.cancel_stage(run_id, "t2", text="enough")
    view = await client.view(run_id)
    given = {name: a.given and (a.given.approved, a.given.text) for name, a in view.run.approvals.items()}
    assert given == {"plan": (False, "too dear"), "q": (True, "Europe")}
    assert [(s.received.kind, s.stage) for s in view.run.said] == [("message", "t2"), ("cancel_stage", "t2")]


async def test_every_operation_of_the_api_has_a_method(client: HeadraceClient, line: Line, door: MemoryDoor) -> None:
    run_id = await finished(client, door)
    conversation = (await client.snapshot(run_id))["conversation_id"]
    other = (await client.resume(run_id, from_stage="t1"))["run_id"]
    await door.publish(other, Draft(ev.RunCompleted(answer="Again.")))
    await client.cancel(await run_of(client))
    await client.say(await run_of(client), type="message", text="Hello.")
    assert [event async for event in client.follow(run_id)]
    assert (await client.runs(limit=2))[0]["state"]
    assert conversation in {c["conversation_id"] for c in (await client.conversations())["conversations"]}
    assert (await client.conversation(conversation))["runs"]
    await client.delete_conversation(conversation)
    assert isinstance(await client.agents(), list)
    assert isinstance(await client.tools(), list)
    assert (await client.statistics(hours=1))["runs"] > 0
    await client.ready()
    called = {(request.method, request.url.path.replace(run_id, "{run_id}")) for request in line.requests}
    document = (await client._http.get("/openapi.json")).json()
    paths = {
        p: methods for p, methods in document["paths"].items() if p.startswith("/v1/") and not p.startswith(OTHERS)
    }
    known = {(m.upper(), p) for p, methods in paths.items() for m in methods}
    missing = {(m, p) for m, p in known if not any(m == cm and _fits(p, cp) for cm, cp in called)}
    assert missing == set()


def _fits(template: str, path: str) -> bool:
    parts, given = template.split("/"), path.split("/")
    return len(parts) == len(given) and all(a == b or a.startswith("{") for a, b in zip(parts, given, strict=True))


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type[object]) -> dict[str, list[str]]:
        return {
            name: [str(p).replace("'", "") for p in inspect.signature(function).parameters.values()]
            for name, function in vars(kind).items()
            if not name.startswith("_") and inspect.isfunction(function)
        }

    asynchronous, synchronous = methods(HeadraceClient), methods(HeadraceSyncClient)
    assert asynchronous.pop("aclose") == synchronous.pop("close")
    assert synchronous == asynchronous
