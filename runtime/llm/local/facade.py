"""The Messages API over HTTP, as far as an agent needs it: ``POST /v1/messages``, streaming or not.

Headers are sent when the engine has accepted the prompt, so that a prompt that is too long is a plain 400; from then on
errors are events. A client that goes away stops its job, also while it waits or its prompt is being read.
"""

from __future__ import annotations

import asyncio
import hmac
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from runtime.errors import ModelError, ModelOverloaded, ModelRequestRejected, ModelUnauthorized
from runtime.ids import IdSource
from runtime.llm.local.desk import Desk
from runtime.llm.local.engine import End, Job, Piece, Prefill, Token
from runtime.llm.local.grammar import Form
from runtime.llm.local.turn import Event, Turn
from runtime.llm.local.wire import MessagesRequest, read

MAX_BODY = 4 * 1024 * 1024
"""Bytes; far more than fits any local context."""
_TYPES = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 413: "request_too_large"}


class _EventStream(StreamingResponse):
    """Server-sent events that stop their job however they end.

    Starlette cancels the response of a client that has gone, at any await, and leaves the body's generator to the
    garbage collector: ``stop`` is set without awaiting anything.
    """

    def __init__(self, body: AsyncGenerator[bytes, None], stop: threading.Event) -> None:
        super().__init__(body, media_type="text/event-stream", headers={"cache-control": "no-cache"})
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stop.set()


class ClientGone(Exception):
    """The client closed the connection: nobody is left to answer."""


@dataclass(frozen=True, slots=True)
class Facade:
    """What the application needs."""

    desk: Desk
    api_key: str
    model: str
    """The one model served; other names are 404."""
    form: Callable[[MessagesRequest], Form]
    job: Callable[[MessagesRequest, Form], Job]
    new_id: IdSource

    def app(self) -> Starlette:
        """The ASGI application."""
        routes = [Route("/v1/messages", self._messages, methods=["POST"])]
        return Starlette(routes=routes, exception_handlers={ModelError: _failed, HTTPException: _refused})

    async def _messages(self, http: Request) -> Response:
        self._authorize(http)
        request = read(await _body(http))
        if request.model != self.model:
            raise HTTPException(404, f"model: {request.model!r} is not served here, only {self.model!r}")
        form = self.form(request)
        turn = Turn(f"msg_{self.new_id()}", self.model, form, request.max_tokens, request.stop_sequences)
        stop = threading.Event()
        pieces = _while_connected(http, self.desk.run(self.job(request, form), stop))
        try:
            first = await anext(pieces)
            if request.stream:
                return _EventStream(_sse(turn, first, pieces), stop)
            async with aclosing(_events(turn, first, pieces)) as events:
                async for _ in events:
                    pass
        except ClientGone:
            return Response(status_code=499)
        return _json(200, turn.message())

    def _authorize(self, http: Request) -> None:
        bearer = http.headers.get("authorization", "").removeprefix("Bearer ")
        given = http.headers.get("x-api-key") or bearer
        if not hmac.compare_digest(given.encode(), self.api_key.encode()):
            raise ModelUnauthorized("invalid x-api-key")


async def _events(turn: Turn, first: Piece, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Event, None]:
    """All events of a turn, from the piece already read to the last."""
    async with aclosing(pieces):
        for event in turn.begin(first.total if isinstance(first, Prefill) else 0):
            yield event
        async for piece in pieces:
            for event in _told(turn, piece):
                yield event
            if turn.stop_sequence is not None:
                break
        if turn.stop_sequence is not None:
            for event in turn.finish():
                yield event


def _told(turn: Turn, piece: Piece) -> list[Event]:
    match piece:
        case Prefill():
            return [{"type": "ping"}]
        case Token():
            return turn.feed(piece.text)
        case End():
            return turn.finish(piece)


async def _sse(turn: Turn, first: Piece, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[bytes, None]:
    try:
        async with aclosing(_events(turn, first, pieces)) as events:
            async for event in events:
                yield _frame(event)
    except ModelError as error:
        yield _frame(_shape(_status(error), error.message))
    except ClientGone:
        return


async def _while_connected(http: Request, pieces: AsyncGenerator[Piece, None]) -> AsyncGenerator[Piece, None]:
    """``pieces``, until the client goes away: then :class:`ClientGone`, and the job is told to stop."""
    gone = asyncio.ensure_future(_disconnected(http))
    upcoming: asyncio.Future[Piece] | None = None
    try:
        while True:
            upcoming = asyncio.ensure_future(anext(pieces))
            await asyncio.wait({upcoming, gone}, return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                raise ClientGone
            try:
                piece = upcoming.result()
            except StopAsyncIteration:
                return
            yield piece
    finally:
        gone.cancel()
        if upcoming is not None and not upcoming.done():
            upcoming.cancel()
            await asyncio.wait({upcoming})  # a generator cannot be closed while it is being read
        await pieces.aclose()


async def _disconnected(http: Request) -> None:
    while (await http.receive())["type"] != "http.disconnect":
        pass


async def _body(http: Request) -> bytes:
    body = bytearray()
    async for part in http.stream():
        body += part
        if len(body) > MAX_BODY:
            raise HTTPException(413, f"the body is larger than {MAX_BODY} bytes")
    return bytes(body)


def _status(error: ModelError) -> int:
    match error:
        case ModelRequestRejected():
            return 400
        case ModelUnauthorized():
            return 401
        case ModelOverloaded():
            return 529
        case _:
            return 500


def _shape(status: int, message: str) -> Event:
    kind = "overloaded_error" if status == 529 else _TYPES.get(status, "api_error" if status >= 500 else _TYPES[400])
    return {"type": "error", "error": {"type": kind, "message": message}}


async def _failed(http: Request, error: Exception) -> Response:
    assert isinstance(error, ModelError)
    status = _status(error)
    return _json(status, _shape(status, error.message))


async def _refused(http: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json(error.status_code, _shape(error.status_code, error.detail))


def _json(status: int, content: Event) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _frame(event: Event) -> bytes:
    return b"".join((b"event: ", event["type"].encode(), b"\ndata: ", orjson.dumps(event), b"\n\n"))
