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

from runtime.client.cursor import Cursor, Received
from runtime.client.problems import problem
from runtime.client.reader import Reader, Unreachable, nothing_there
from runtime.client.reconnect import Reconnect
from runtime.clock import Clock, SystemClock
from runtime.events.envelope import Envelope
from runtime.ids import IdSource, new_id

READ_TIMEOUT_S = 45.0
"""Longest silence on a stream: three heartbeats of at most 15 s may be lost before the connection counts as dead."""


class HeadraceClient:
    """One server. Use as ``async with HeadraceClient(url) as client``; any number of streams at once."""

    def __init__(
        self,
        base_url: str,
        *,
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
            headers={"Accept-Encoding": "identity"},  # a compressor holds tokens back
            trust_env=not is_loopback(self.base_url),  # a proxy cannot reach this machine's loopback
        )
        self._reader = Reader(self._http, self.base_url, reconnect or Reconnect(), clock or SystemClock(), jitter)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; streams in use end with an error."""
        await self._http.aclose()

    async def create(self, question: str, **options: object) -> dict[str, Any]:
        """Start a run that goes on without readers. ``options`` are fields of the request, such as ``documents``, or
        ``conversation_id``: what was asked and answered there before is then known to it.

        Answers the run (``run_id`` and more). Raises InvalidRequest, Conflict, Busy, HeadraceError.
        """
        headers = {"Accept": "application/json", "Idempotency-Key": self._ids()}
        return await self._json("POST", "/v1/runs", json=_body(question, options), headers=headers)

    async def resume(self, run_id: str, **options: object) -> dict[str, Any]:
        """Go on from an ended run in a new one, which goes on without readers and carries over the completed steps.

        ``options`` are fields of the request: ``from_stage``, ``plan`` (``{"todos": [...]}``), ``budget_usd``,
        ``deadline_s``, ``on_disconnect``, ``grace_s``. Answers the new run. Raises NotFound, Conflict (``reason``
        ``run_unfinished`` or ``not_resumable``), InvalidRequest, Busy, HeadraceError.
        """
        headers = {"Accept": "application/json", "Idempotency-Key": self._ids()}
        return await self._json("POST", f"{_path(run_id)}/resume", json=_given(options), headers=headers)

    async def snapshot(self, run_id: str) -> dict[str, Any]:
        """The run's state now. Raises NotFound, HeadraceError."""
        return await self._json("GET", _path(run_id))

    async def runs(self, *, limit: int = 20) -> list[dict[str, Any]]:
        """The newest runs first. Raises HeadraceError."""
        answer = await self._json("GET", "/v1/runs", params={"limit": limit})
        return list(answer.get("runs", []))

    async def agents(self) -> list[dict[str, Any]]:
        """The agents there are. Raises HeadraceError."""
        return list((await self._json("GET", "/v1/agents")).get("agents", []))

    async def tools(self) -> list[dict[str, Any]]:
        """The tools agents may call. Raises HeadraceError."""
        return list((await self._json("GET", "/v1/tools")).get("tools", []))

    async def statistics(self, *, hours: int = 24) -> dict[str, Any]:
        """The report on the runs of the last ``hours``, 1 to 168. Raises InvalidRequest, HeadraceError."""
        return await self._json("GET", "/v1/statistics", params={"hours": hours})

    async def conversations(self, *, limit: int = 20, before: str | None = None) -> dict[str, Any]:
        """A page of ``conversations``, those with the newest runs first; its ``next_before`` is ``before`` of the next.

        Raises HeadraceError.
        """
        return await self._json("GET", "/v1/conversations", params=_given({"limit": limit, "before": before}))

    async def conversation(self, conversation_id: str, *, limit: int = 50, before: str | None = None) -> dict[str, Any]:
        """A conversation with its newest runs, in the order they were asked. Raises NotFound, HeadraceError."""
        return await self._json("GET", _talk(conversation_id), params=_given({"limit": limit, "before": before}))

    async def delete_conversation(self, conversation_id: str) -> None:
        """Delete it with all its runs and their text.

        Raises NotFound, Conflict (``reason`` ``conversation_busy``: a run of it is unfinished), HeadraceError.
        """
        await self._call("DELETE", _talk(conversation_id))

    async def cancel(self, run_id: str) -> dict[str, Any]:
        """Ask for the run's end; what was completed stays. Raises NotFound, Conflict (it is over), HeadraceError."""
        return await self._json("POST", f"{_path(run_id)}/cancel")

    async def say(self, run_id: str, **body: object) -> dict[str, Any]:
        """Approve, answer, steer or end a step: the fields of ``POST /v1/runs/{id}/input``, ``type`` first.

        Raises NotFound, Conflict (too late, or not what was asked), InvalidRequest, HeadraceError.
        """
        headers = {"Idempotency-Key": self._ids()}
        return await self._json("POST", f"{_path(run_id)}/input", json=_given(body), headers=headers)

    async def ready(self, *, timeout_s: float = 1.0) -> bool:
        """Whether a server that takes runs answers at this address."""
        try:
            response = await self._http.get("/readyz", timeout=timeout_s)
        except httpx2.TransportError:
            return False
        return response.status_code == 200 and b'"ready"' in response.content

    async def stream(self, question: str, **options: object) -> AsyncGenerator[Envelope, None]:
        """Start a run and read its events, live, to the end; a stream left early leaves the run to ``on_disconnect``.

        Raises InvalidRequest, Conflict, Busy before the first event; ``Unreachable`` when the server is gone for good.
        """
        async with aclosing(self.stream_raw(question, **options)) as events:
            async for received in events:
                if received.envelope is not None:
                    yield received.envelope

    async def follow(self, run_id: str, after: int = 0) -> AsyncGenerator[Envelope, None]:
        """The run's events with ``seq > after``, live, to the end. Raises NotFound, Unreachable."""
        async with aclosing(self.follow_raw(run_id, after)) as events:
            async for received in events:
                if received.envelope is not None:
                    yield received.envelope

    async def stream_raw(self, question: str, **options: object) -> AsyncGenerator[Received, None]:
        """As :meth:`stream`, with each event's JSON line as it came and with types this version does not know."""
        async with aclosing(self._created_raw("/v1/runs", _body(question, options))) as events:
            async for received in events:
                yield received

    async def resume_raw(self, run_id: str, **options: object) -> AsyncGenerator[Received, None]:
        """Resume as :meth:`resume` does, and read the new run as :meth:`stream_raw` does."""
        async with aclosing(self._created_raw(f"{_path(run_id)}/resume", _given(options))) as events:
            async for received in events:
                yield received

    async def _created_raw(self, path: str, body: dict[str, object]) -> AsyncGenerator[Received, None]:
        """The events of the run that a POST creates."""
        key = self._ids()  # a POST whose answer was lost is sent again and meets the same run
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
            async for received in events:
                yield received

    async def follow_raw(self, run_id: str, after: int = 0) -> AsyncGenerator[Received, None]:
        """As :meth:`follow`, with each event's JSON line as it came and with types this version does not know."""
        read = self._reader.read(Cursor(after), lambda cursor: self._events_request(run_id, cursor), lambda _: None)
        async with aclosing(read) as events:
            async for received in events:
                yield received

    def _events_request(self, run_id: str, cursor: Cursor) -> httpx2.Request:
        headers = {"Accept": "text/event-stream", **cursor.headers()}
        return self._http.build_request("GET", f"{_path(run_id)}/events", params=cursor.query(), headers=headers)

    async def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        """One plain call. Any: the options are httpx2's own, and the answer is any JSON object."""
        answer: dict[str, Any] = (await self._call(method, path, **options)).json()
        return answer

    async def _call(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """One plain call whose answer is a success. Any: as above."""
        try:
            response = await self._http.request(method, path, timeout=30.0, **options)
        except httpx2.ConnectError as error:
            raise nothing_there(self.base_url) from error
        except httpx2.TransportError as error:
            raise Unreachable(f"{self.base_url} did not answer: {type(error).__name__} {error}") from error
        if not response.is_success:
            raise problem(response.status_code, response.headers, response.content)
        return response


def is_loopback(url: str) -> bool:
    """Whether that address is this machine itself."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _path(run_id: str) -> str:
    return f"/v1/runs/{quote(run_id, safe='')}"


def _talk(conversation_id: str) -> str:
    return f"/v1/conversations/{quote(conversation_id, safe='')}"


def _body(question: str, options: dict[str, object]) -> dict[str, object]:
    return {"input": question, **_given(options)}


def _given(options: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in options.items() if value is not None}
