"""The one loop behind all streams: connect, read, and connect again exactly where it broke, until the run's end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import httpx2

from runtime.client.cursor import Cursor
from runtime.client.errors import ServerError, Unreachable, refused
from runtime.client.events import RunEvent
from runtime.client.reconnect import Reconnect
from runtime.client.sse import SseDecoder
from runtime.clock import Clock
from runtime.errors import Busy, HeadraceError

RequestFor = Callable[[Cursor], httpx2.Request]
"""Gives the request that brings what follows the cursor."""


def nothing_there(url: str) -> Unreachable:
    """The sentence for a refused connection, with its remedy."""
    return Unreachable(f"nothing answers at {url}; start it with `headrace serve`, or name another server with --url")


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads streams of one server. Time and chance are given, so that tests have neither."""

    http: httpx2.AsyncClient
    base_url: str
    reconnect: Reconnect
    clock: Clock
    jitter: Callable[[], float]

    async def read(
        self, cursor: Cursor, request_for: RequestFor, on_answer: Callable[[httpx2.Response], None]
    ) -> AsyncGenerator[RunEvent, None]:
        """What follows the cursor, each event once, to the run's end.

        Raises the caller's errors (NotFound, InvalidRequest, ...) at once, the retryable ones only when they meet the
        first connection, and :class:`Unreachable` when the policy gives up.
        """
        failures, met = 0, False
        while not cursor.ended:
            decoder, before, cause = SseDecoder(), cursor.seq, None
            try:
                async with _opened(self.http, request_for(cursor)) as response:
                    met = True
                    on_answer(response)
                    async with aclosing(_received(response, decoder, cursor)) as events:
                        async for event in events:
                            yield event
            except (httpx2.TransportError, HeadraceError) as error:
                if _refused(error) and not met:
                    raise nothing_there(self.base_url) from error
                if isinstance(error, HeadraceError) and not (_passing(error) and met):
                    raise
                cause = error  # also a POST whose answer was lost: its idempotency key makes repeating it safe
            failures = 1 if cursor.seq > before else failures + 1
            if not cursor.ended:
                await self._wait(failures, cursor, cause, decoder.retry_s)

    async def _wait(self, failures: int, cursor: Cursor, cause: Exception | None, retry_s: float | None) -> None:
        # A server that closes in good order says with ``retry:`` when to come back; a broken line is tried at once.
        asked_s = cause.retry_after_s if isinstance(cause, Busy) else retry_s if cause is None else None
        delay = self.reconnect.delay(failures, self.jitter(), asked_s)
        if delay is None:
            why = f"{type(cause).__name__}: {cause}" if cause else "the server closes the stream without an event"
            raise Unreachable(
                f"the stream from {self.base_url} broke after event {cursor.seq}, and it could not be continued in "
                f"{failures} attempts ({why}); the run itself may go on: follow it again from there"
            ) from cause
        await self.clock.sleep(delay)


def _passing(error: HeadraceError) -> bool:
    """Whether it may be gone the next time: also what a proxy says while the server behind it starts anew."""
    return error.retryable or isinstance(error, ServerError)


def _refused(error: Exception) -> bool:
    return isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)


@asynccontextmanager
async def _opened(http: httpx2.AsyncClient, request: httpx2.Request) -> AsyncIterator[httpx2.Response]:
    """The open stream. Raises the error in any answer but 200 and 204."""
    response = await http.send(request, stream=True)
    try:
        kind = response.headers.get("content-type", "")
        if response.status_code not in (200, 204):
            raise refused(response.status_code, response.headers, await response.aread())
        if response.status_code == 200 and not kind.startswith("text/event-stream"):
            raise HeadraceError(
                f"{request.url} answered {kind or 'no content type'}, not an event stream: no Headrace server"
            )
        yield response
    finally:
        await response.aclose()


async def _received(response: httpx2.Response, decoder: SseDecoder, cursor: Cursor) -> AsyncGenerator[RunEvent, None]:
    if response.status_code == 204:  # finished, and read to the end
        cursor.ended = True
        return
    async for chunk in response.aiter_raw():
        for frame in decoder.feed(chunk):
            event = cursor.take(frame)
            if event is not None:
                yield event
