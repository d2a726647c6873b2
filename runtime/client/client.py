"""The asynchronous client. Readers see every event once, in order, however often the connection breaks."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx2
import orjson

from runtime.client.calls import Calls, credentials
from runtime.client.cursor import Cursor
from runtime.client.events import RunEvent, parse_event
from runtime.client.fold import reduce
from runtime.client.pages import EventPage
from runtime.client.reader import Reader
from runtime.client.reconnect import Reconnect
from runtime.client.view import RunView
from runtime.clock import Clock, SystemClock
from runtime.ids import IdSource, new_id

READ_TIMEOUT_S = 45.0
"""Longest silence on a stream: three heartbeats of at most 15 s may be lost before the connection counts as dead."""


class HeadraceClient:
    """One server. Use as ``async with HeadraceClient(url) as client``; any number of streams at once.

    ``api_key``: sent as a bearer token; None: that of ``HEADRACE_API_KEY``, if it is set. ``options`` of the methods are
    fields of the request (docs/http.md); those that are None are left out. A POST whose answer was lost is sent again with
    its ``idempotency_key``, and meets what the first one did; give one of your own to repeat it after a restart of yours.

    All methods raise :mod:`runtime.client.errors`: ``ApiError`` as the server says, ``Unreachable``.
    """

    def __init__(
        self,
        base_url: str,
        *,
        api_key: str | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        reconnect: Reconnect | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
        clock: Clock | None = None,
        jitter: Callable[[], float] = random.random,
        ids: IdSource = new_id,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._ids = ids
        self._http = httpx2.AsyncClient(
            base_url=self.base_url,
            transport=transport,
            timeout=httpx2.Timeout(30.0, connect=5.0, read=read_timeout_s),
            limits=httpx2.Limits(max_connections=None, max_keepalive_connections=8),
            headers={"Accept-Encoding": "identity", **credentials(api_key)},  # a compressor holds tokens back
            trust_env=not is_loopback(self.base_url),  # a proxy cannot reach this machine's loopback
        )
        reconnect, clock = reconnect or Reconnect(), clock or SystemClock()
        self._reader = Reader(self._http, self.base_url, reconnect, clock, jitter)
        self._calls = Calls(self._http, self.base_url, reconnect, clock, jitter)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; streams in use end with an error."""
        await self._http.aclose()

    # Runs.

    async def create(self, question: str, *, idempotency_key: str | None = None, **options: object) -> dict[str, Any]:
        """Start a run that goes on without readers; the answer has its ``run_id``. ``options``: ``documents``,
        ``conversation_id`` (what was asked and answered there is then known to it), ``budget_usd`` and more.
        """
        body, key = _body(question, options), idempotency_key or self._ids()
        return await self._calls.json("POST", "/v1/runs", key=key, json=body)

    async def stream(
        self, question: str, *, idempotency_key: str | None = None, **options: object
    ) -> AsyncGenerator[RunEvent, None]:
        """Start a run and read its events, live, to the end; a stream left early leaves the run to ``on_disconnect``."""
        body, key = _body(question, options), idempotency_key or self._ids()
        async with aclosing(self._created("/v1/runs", body, key)) as events:
            async for event in events:
                yield event

    async def ask(self, question: str, *, idempotency_key: str | None = None, **options: object) -> RunView:
        """Start a run, wait for its end, and give all of it: ``.answer``, ``.stages``, ``.error``."""
        view = RunView()
        async with aclosing(self.stream(question, idempotency_key=idempotency_key, **options)) as events:
            async for event in events:
                view = reduce(view, event)
        return view

    async def follow(self, run_id: str, after: int | str = 0) -> AsyncGenerator[RunEvent, None]:
        """The run's events after that number or id (``17`` or ``17.1``), live, to the end."""
        read = self._reader.read(Cursor(after), lambda cursor: self._events_request(run_id, cursor), lambda _: None)
        async with aclosing(read) as events:
            async for event in events:
                yield event

    async def events(self, run_id: str, *, after: int | str = 0, limit: int = 1000) -> EventPage:
        """A page of what there is after that number or id, at once."""
        response = await self._calls.send(
            "GET",
            f"{_run(run_id)}/events",
            params={"after": str(after), "limit": limit},
            headers={"Accept": "application/json"},
        )
        if response.status_code == 204:  # finished, and read to the end
            return EventPage((), str(after), True)
        page = orjson.loads(response.content)
        events = tuple(parse_event(orjson.dumps(event).decode()) for event in page["events"])
        return EventPage(events, page["next_after"], page["finished"])

    async def view(self, run_id: str) -> RunView:
        """All that the run's events say so far."""
        view, page = RunView(), await self.events(run_id)
        while page.events:
            for event in page.events:
                view = reduce(view, event)
            page = await self.events(run_id, after=page.next_after)
        return view

    async def snapshot(self, run_id: str) -> dict[str, Any]:
        """The run's state now, tokens left out."""
        return await self._calls.json("GET", _run(run_id))

    async def runs(self, *, limit: int = 20) -> list[dict[str, Any]]:
        """The newest runs first."""
        answer = await self._calls.json("GET", "/v1/runs", params={"limit": limit})
        return list(answer.get("runs", []))

    async def cancel(self, run_id: str) -> dict[str, Any]:
        """Ask for the run's end; what was completed stays. ``Refused`` when it is over."""
        return await self._calls.json("POST", f"{_run(run_id)}/cancel")

    async def resume(self, run_id: str, *, idempotency_key: str | None = None, **options: object) -> dict[str, Any]:
        """Go on from an ended run in a new one, which goes on without readers and carries over the completed steps.

        ``options``: ``from_stage``, ``plan`` (``{"todos": [...]}``), ``budget_usd`` and more. ``Refused`` with ``code``
        ``run_unfinished`` or ``not_resumable`` when it cannot be.
        """
        key = idempotency_key or self._ids()
        return await self._calls.json("POST", f"{_run(run_id)}/resume", key=key, json=_given(options))

    async def resume_stream(
        self, run_id: str, *, idempotency_key: str | None = None, **options: object
    ) -> AsyncGenerator[RunEvent, None]:
        """Resume as :meth:`resume` does, and read the new run as :meth:`stream` does."""
        key = idempotency_key or self._ids()
        async with aclosing(self._created(f"{_run(run_id)}/resume", _given(options), key)) as events:
            async for event in events:
                yield event

    # People.

    async def say(self, run_id: str, *, idempotency_key: str | None = None, **body: object) -> dict[str, Any]:
        """The fields of ``POST /v1/runs/{id}/input``, ``type`` first; the methods below say each of them in a word.

        ``Refused`` when it is too late, or not what was asked.
        """
        key = idempotency_key or self._ids()
        return await self._calls.json("POST", f"{_run(run_id)}/input", key=key, json=_given(body))

    async def approve(
        self,
        run_id: str,
        approval: str,
        arguments_hash: str,
        *,
        approved: bool = True,
        text: str = "",
        plan: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Say yes or no to exactly what ``approval.requested`` asked; ``plan`` is done instead of the one asked about.

        ``plan``: ``{"todos": [...]}``; Any: it is JSON.
        """
        what: dict[str, Any] = {
            "approval": approval,
            "arguments_hash": arguments_hash,
            "approved": approved,
            "text": text,
        }
        return await self.say(run_id, type="approve", **what, plan=plan)

    async def answer(self, run_id: str, approval: str, text: str) -> dict[str, Any]:
        """Answer a question."""
        return await self.say(run_id, type="answer", approval=approval, text=text)

    async def message(self, run_id: str, text: str, *, stage: str | None = None) -> dict[str, Any]:
        """Tell the agents something: those of one step, or of every step from now on."""
        return await self.say(run_id, type="message", text=text, stage=stage)

    async def cancel_stage(self, run_id: str, stage: str, *, text: str = "") -> dict[str, Any]:
        """End one step; the run goes on."""
        return await self.say(run_id, type="cancel_stage", stage=stage, text=text)

    # Conversations, agents, tools.

    async def statistics(self, *, hours: int = 24) -> dict[str, Any]:
        """The report on the runs of the last ``hours``, 1 to 168."""
        return await self._calls.json("GET", "/v1/statistics", params={"hours": hours})

    async def conversations(self, *, limit: int = 20, before: str | None = None) -> dict[str, Any]:
        """A page of ``conversations``, those with the newest runs first; its ``next_before`` is ``before`` of the next."""
        return await self._calls.json("GET", "/v1/conversations", params=_given({"limit": limit, "before": before}))

    async def conversation(self, conversation_id: str, *, limit: int = 50, before: str | None = None) -> dict[str, Any]:
        """A conversation with its newest runs, in the order they were asked."""
        params = _given({"limit": limit, "before": before})
        return await self._calls.json("GET", _talk(conversation_id), params=params)

    async def delete_conversation(self, conversation_id: str) -> None:
        """Delete it with all its runs and their text. ``Refused`` while a run of it is unfinished."""
        await self._calls.send("DELETE", _talk(conversation_id))

    async def agents(self) -> list[dict[str, Any]]:
        """The agents there are."""
        return list((await self._calls.json("GET", "/v1/agents")).get("agents", []))

    async def tools(self) -> list[dict[str, Any]]:
        """The tools agents may call, as far as this key may see them."""
        return list((await self._calls.json("GET", "/v1/tools")).get("tools", []))

    async def ready(self, *, timeout_s: float = 1.0) -> bool:
        """Whether a server that takes runs answers at this address."""
        try:
            response = await self._http.get("/readyz", timeout=timeout_s)
        except httpx2.TransportError:
            return False
        return response.status_code == 200 and b'"ready"' in response.content

    async def _created(self, path: str, body: dict[str, object], key: str) -> AsyncGenerator[RunEvent, None]:
        """The events of the run that a POST creates. One whose answer was lost is sent again and meets the same run."""
        known: list[str] = []

        def request(cursor: Cursor) -> httpx2.Request:
            if known:
                return self._events_request(known[0], cursor)
            headers = {"Accept": "text/event-stream", "Idempotency-Key": key}
            return self._http.build_request("POST", path, json=body, headers=headers)

        def answered(response: httpx2.Response) -> None:
            if not known and response.headers.get("x-run-id"):
                known.append(response.headers["x-run-id"])

        async with aclosing(self._reader.read(Cursor(), request, answered)) as events:
            async for event in events:
                yield event

    def _events_request(self, run_id: str, cursor: Cursor) -> httpx2.Request:
        headers = {"Accept": "text/event-stream", **cursor.headers()}
        return self._http.build_request("GET", f"{_run(run_id)}/events", params=cursor.query(), headers=headers)


def is_loopback(url: str) -> bool:
    """Whether that address is this machine itself."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _run(run_id: str) -> str:
    return f"/v1/runs/{quote(run_id, safe='')}"


def _talk(conversation_id: str) -> str:
    return f"/v1/conversations/{quote(conversation_id, safe='')}"


def _body(question: str, options: dict[str, object]) -> dict[str, object]:
    return {"input": question, **_given(options)}


def _given(options: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}
