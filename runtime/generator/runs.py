"""The handlers of ``/v1/runs``: a request in, a response out, through the door."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from runtime import failpoints
from runtime.errors import Busy, Conflict, NotFound, StoreUnavailable
from runtime.events.codec import UnknownEvent, public_json
from runtime.events.envelope import Stored
from runtime.generator.accept import JSON, NDJSON, SSE
from runtime.generator.admission import idempotency_key
from runtime.generator.asking import Asking, ask, require_room, tell, wanted
from runtime.generator.body import parse_json, read_body, validate
from runtime.generator.contract import CancelAccepted, InputAccepted, RunAcceptedBody, RunList, RunSummary
from runtime.generator.directory import seen_by
from runtime.generator.ndjson import Lines
from runtime.generator.principal import principal_of
from runtime.generator.query import limit_of
from runtime.generator.requests import CreateRun, PersonInput, ResumeRun
from runtime.generator.respond import NO_STORE, as_json
from runtime.generator.resume import fork
from runtime.generator.say import name_of
from runtime.generator.snapshot import links_of, read_state, snapshot_of
from runtime.generator.sse import Cursor, check_cursor, cursor_of, read_cursor
from runtime.generator.stream import EventStream, Framing, Native
from runtime.ids import is_run_id
from runtime.log.log import TERMINAL_TYPES, Run
from runtime.stream.view import View
from runtime.telemetry import logger

MAX_PAGE = 1000
"""Events in one JSON page."""
MAX_LIST = 200
"""Runs in one list."""


_log = logger("generator.runs")


class RunRoutes(Asking):
    """What can be asked about runs. Raises the errors of ``runtime.errors`` and ``Refusal``."""

    async def create(self, request: Request) -> ASGIApp:
        """``POST /v1/runs``: the stream, or 202, as ``Accept`` wishes."""
        streaming = wanted(request, (JSON, SSE)) == SSE
        key = idempotency_key(request.headers.getlist("idempotency-key"))
        raw = await read_body(request, max_bytes=self._settings.max_body_bytes)
        body = validate(CreateRun, parse_json(raw))
        if streaming:
            require_room(self._streams, request.scope)
        run = await ask(
            self._door,
            self._settings,
            body,
            clock=self._clock,
            new_id=self._new_id,
            tenant_id=principal_of(request).tenant_id,
            key=key,
            default="cancel" if streaming else "continue",
        )
        return await self._answered(request, run, streaming, 202)

    async def resume(self, request: Request) -> ASGIApp:
        """``POST /v1/runs/{run_id}/resume``: a new run that goes on from an ended one; the stream, or 201."""
        streaming = wanted(request, (JSON, SSE)) == SSE
        key = idempotency_key(request.headers.getlist("idempotency-key"))
        run = await self._run(request)
        body = await self._resume_body(request)
        if not run.terminal:
            raise Conflict("The run is not over; cancel it first, or follow it.", "run_unfinished")
        if streaming:
            require_room(self._streams, request.scope)
        try:
            state, _ = await read_state(self._door, run.run_id, strict=True)
        except UnknownEvent as error:
            raise Conflict("A newer version wrote this run; resume it with that.", "not_resumable") from error
        new = fork(
            state,
            body,
            agents=await asyncio.to_thread(self._team),
            tenant_id=run.tenant_id,
            run_id=self._new_id(),
            conversation_id=run.conversation_id or self._new_id(),
            now=self._clock.now(),
            default="cancel" if streaming else "continue",
            key=key,
            share=self._settings.limits_of(run.tenant_id),
        )
        created = await self._door.create(new)
        return await self._answered(request, created.run, streaming, 201, resumed_from=run.run_id)

    async def list(self, request: Request) -> ASGIApp:
        """``GET /v1/runs``: the newest first."""
        limit = limit_of(request, default=50, most=MAX_LIST)
        runs = await self._door.recent(tenant_id=principal_of(request).tenant_id, limit=limit)
        return as_json(RunList(runs=[_summary(run) for run in runs]))

    async def show(self, request: Request) -> ASGIApp:
        """``GET /v1/runs/{run_id}``: the snapshot."""
        run = await self._run(request)
        state, cursor = await read_state(self._door, run.run_id)
        return as_json(snapshot_of(run, state, cursor, now=self._clock.now()))

    async def events(self, request: Request) -> ASGIApp:
        """``GET /v1/runs/{run_id}/events``: the stream, or a page; 204 when finished and read to the end."""
        form = wanted(request, (SSE, JSON, NDJSON))
        limit = limit_of(request, default=MAX_PAGE, most=MAX_PAGE)
        try:
            run = await self._run(request)
            cursor = read_cursor(request.headers.getlist("last-event-id"), request.query_params.getlist("after"))
            await self._check(run, cursor)
        except (Busy, StoreUnavailable) as error:
            if form != SSE:
                raise
            _log.warning("a reader was asked to come back: %r", error)  # a 503 would end an EventSource for good
            return EventStream(None, streams=self._streams)
        if run.terminal and cursor.seq >= run.last_seq:
            return Response(status_code=204)
        if form == JSON:
            return await self._page(request, run, cursor, limit)
        if form == NDJSON:
            require_room(self._streams, request.scope)
            return await self._stream(request, run.run_id, cursor.seq, framing=Lines)
        if self._streams.full_for(request.scope):
            return EventStream(None, streams=self._streams)
        return await self._stream(request, run.run_id, cursor.seq)

    async def cancel(self, request: Request) -> ASGIApp:
        """``POST /v1/runs/{run_id}/cancel``: 202, also the second time."""
        run = await self._run(request)
        await self._door.cancel(run.run_id, "user")
        return as_json(CancelAccepted(run_id=run.run_id, links=links_of(run.run_id)), 202)

    async def say(self, request: Request) -> ASGIApp:
        """``POST /v1/runs/{run_id}/input``: 202 when it is recorded."""
        key = idempotency_key(request.headers.getlist("idempotency-key"))
        run = await self._run(request)
        body = validate(PersonInput, parse_json(await read_body(request, max_bytes=self._settings.max_body_bytes)))
        agents = await asyncio.to_thread(self._team)
        said = await tell(
            self._door,
            run.run_id,
            body,
            clock=self._clock,
            agents=agents,
            name=name_of(key, self._new_id()),
            by=principal_of(request).subject,
        )
        return as_json(InputAccepted(run_id=run.run_id, name=said.name, links=links_of(run.run_id)), 202)

    async def _run(self, request: Request) -> Run:
        """The run in the path. Whatever is wrong with the id, the answer is the same."""
        run_id = request.path_params["run_id"]
        run = await self._door.get(run_id) if is_run_id(run_id) else None
        if run is None or run.tenant_id != principal_of(request).tenant_id:
            raise NotFound("no such run")
        return run

    async def _resume_body(self, request: Request) -> ResumeRun:
        """What is wished for; no body at all wishes for nothing."""
        headers = request.headers
        if headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers:
            return ResumeRun()
        return validate(ResumeRun, parse_json(await read_body(request, max_bytes=self._settings.max_body_bytes)))

    async def _answered(
        self, request: Request, run: Run, streaming: bool, status: int, *, resumed_from: str | None = None
    ) -> ASGIApp:
        """The stream of a run that was created or met, or the run with ``status``."""
        failpoints.hit("accept.replying")
        headers = {"Location": links_of(run.run_id).self, "X-Run-Id": run.run_id}
        if streaming:
            return await self._stream(request, run.run_id, 0, headers)
        return as_json(_accepted(run, resumed_from), status, headers)

    async def _check(self, run: Run, cursor: Cursor) -> None:
        if cursor.seq > 0:
            found = await self._door.page(run.run_id, after=cursor.seq - 1, limit=1)
            check_cursor(cursor, found[0] if found else None, run.last_seq)

    async def _page(self, request: Request, run: Run, cursor: Cursor, limit: int) -> Response:
        events = await self._door.page(run.run_id, after=cursor.seq, limit=limit)
        view = await self._viewed(request)
        return Response(_page_json(events, cursor, view), media_type=JSON, headers=NO_STORE)

    async def _viewed(self, request: Request) -> View:
        """What whoever asks is shown."""
        return (await seen_by(request, self._directory)).view

    async def _stream(
        self,
        request: Request,
        run_id: str,
        after: int,
        headers: dict[str, str] | None = None,
        framing: Callable[[View], Framing] = Native,
    ) -> EventStream:
        follow = functools.partial(self._door.follow, run_id, after=after, idle_s=self._settings.heartbeat_s)
        return EventStream(follow, streams=self._streams, headers=headers, framing=framing(await self._viewed(request)))


def _page_json(events: list[Stored], cursor: Cursor, view: View) -> bytes:
    """An ``EventPage``, with the events' bytes as they stand in the log, but for what the viewer may not see."""
    page = {
        "events": [orjson.Fragment(public_json(view.shown(stored))) for stored in events],
        "next_after": str(cursor_of(events[-1]) if events else cursor),
        "finished": bool(events) and events[-1].type in TERMINAL_TYPES,
    }
    return orjson.dumps(page)


def _accepted(run: Run, resumed_from: str | None) -> RunAcceptedBody:
    return RunAcceptedBody(
        run_id=run.run_id,
        state=run.status,
        created_at=run.created_at,
        conversation_id=run.conversation_id,
        resumed_from=resumed_from,
        on_disconnect=run.on_disconnect,
        links=links_of(run.run_id, ended=run.terminal),
    )


def _summary(run: Run) -> RunSummary:
    return RunSummary(
        run_id=run.run_id,
        state=run.status,
        question=run.question,
        conversation_id=run.conversation_id,
        created_at=run.created_at,
        links=links_of(run.run_id, ended=run.terminal),
    )
