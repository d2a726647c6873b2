"""A response that is an event stream, from its first byte to its end, however it ends.

Two tasks: the *pump* takes batches from the door and sends them; the *watch* waits for the client to leave. Whichever
is first ends the other. The pump alone owns the door's generator and is cancelled at most once, so the generator is
closed exactly once, in its own task, undisturbed by cancellations that are delivered again (PROTOCOLS.md 5: this is why
it is no ``StreamingResponse``).

How it ends: after the run's last event cleanly; when the store is away, there are too many readers, or its time is over, with
``retry: 5000``, since an ``EventSource`` never comes back from a 503; for any other failure by breaking the connection,
because a clean end without a terminal event would pass for success.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing
from typing import Protocol

from starlette.types import Message, Receive, Scope, Send

from runtime import failpoints
from runtime.errors import Busy, StoreUnavailable
from runtime.events.envelope import Stored
from runtime.generator.edge import request_id_of
from runtime.generator.principal import Principal
from runtime.generator.sse import COME_BACK, HEADERS, HEARTBEAT, OPENING, STORE_UNAVAILABLE, frame
from runtime.generator.tenure import LIFETIME_S, Batches, Tenures
from runtime.log.log import TERMINAL_TYPES
from runtime.stream.view import View
from runtime.telemetry import logger

SEND_DEADLINE_S = 30.0
"""A reader that does not drain for so long is dropped; it can resume (PROTOCOLS.md 5, "Slow consumers")."""

_log = logger("generator.stream")


class ReaderTooSlow(Exception):
    """A send did not drain in time: the connection is broken off."""


class OpenStreams:
    """The streams open in this process, as the tasks that pump them; ``limit`` is ``settings.max_streams``.

    ``each``: how many one principal may have open. ``tenures`` None: they last as long as their runs.
    """

    def __init__(self, limit: int, *, each: int | None = None, tenures: Tenures | None = None) -> None:
        self._limit = limit
        self._each = each
        self._tenures = tenures
        self._pumps: set[asyncio.Task[None]] = set()
        self._of: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """How many are open."""
        return len(self._pumps)

    def full_for(self, scope: Scope) -> bool:
        """True when whoever makes the request of ``scope`` should open no more."""
        mine = self._of[_credential(scope)] if _credential(scope) else 0
        return len(self._pumps) >= self._limit or (self._each is not None and mine >= self._each)

    def start(self, pump: asyncio.Task[None], scope: Scope) -> None:
        """Count ``pump`` until it is done, and keep it alive till then."""
        credential = _credential(scope)
        self._pumps.add(pump)
        self._of[credential] += 1

        def done(_: asyncio.Task[None]) -> None:
            self._pumps.discard(pump)
            self._of[credential] -= 1
            if not self._of[credential]:
                del self._of[credential]

        pump.add_done_callback(done)

    def bounded(self, batches: Batches, scope: Scope, lifetime_s: float | None) -> Batches:
        """``batches``, as long as the stream may last; see ``tenure``."""
        return batches if self._tenures is None else self._tenures.bounded(batches, scope, lifetime_s)


class Framing(Protocol):
    """How one reader is told what happens: the bytes of a protocol. One for each stream, since it may remember."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the response."""
        ...

    @property
    def opening(self) -> bytes:
        """The first bytes, before any event."""
        ...

    @property
    def over(self) -> bool:
        """True when the reader has been told all, though the run may go on: the stream is ended."""
        ...

    def bytes_of(self, batch: list[Stored] | None) -> bytes:
        """A batch of ``Door.follow``: events, nothing (a silence), or None (the store is away)."""
        ...

    def farewell(self, error: Busy | StoreUnavailable | None) -> bytes:
        """The last bytes when it cannot be followed any more; None: not even begun."""
        ...


class Native:
    """The native stream: each event a frame with its cursor, see ``sse``."""

    headers: Mapping[str, str] = HEADERS
    opening = OPENING
    over = False

    def __init__(self, view: View | None = None) -> None:
        self._view = view or View()

    def bytes_of(self, batch: list[Stored] | None) -> bytes:
        """Frames; a comment for silence, another while the store is away."""
        if batch is None:
            return STORE_UNAVAILABLE
        if not self._view.open:
            batch = list(map(self._view.shown, batch))
        return b"".join(map(frame, batch)) if batch else HEARTBEAT

    def farewell(self, error: Busy | StoreUnavailable | None) -> bytes:
        """Come back later: an ``EventSource`` does."""
        return STORE_UNAVAILABLE + COME_BACK if isinstance(error, StoreUnavailable) else COME_BACK


class EventStream:
    """An ASGI response: headers and opening at once, then what ``follow`` gives, batch by batch, as ``framing`` has it.

    ``follow`` None, or too many streams: only say farewell and end. Raises what broke the stream, after its headers are out.
    """

    def __init__(
        self,
        follow: Callable[[], Batches] | None,
        *,
        streams: OpenStreams,
        headers: Mapping[str, str] | None = None,
        framing: Framing | None = None,
        send_deadline_s: float = SEND_DEADLINE_S,
    ) -> None:
        self._follow = follow
        self._streams = streams
        self._framing: Framing = framing or Native()
        self.headers = {**self._framing.headers, **(headers or {})}
        # readers of other protocols take a clean end for the run's
        self._lifetime_s = LIFETIME_S if isinstance(self._framing, Native) else None
        self._send_deadline_s = send_deadline_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head_only = scope["method"] == "HEAD"
        follow = None if self._follow is None or self._streams.full_for(scope) else self._bounded(self._follow, scope)
        pump = asyncio.create_task(self._head(send) if head_only else self._pump(follow, send))
        self._streams.start(pump, scope)
        watch = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({pump, watch}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watch.cancel()
            pump.cancel()
            await asyncio.wait({pump, watch})
        _raise_failure(pump, watch, request_id_of(scope))

    async def _head(self, send: Send) -> None:
        await self._start(send)
        await self._send(send, b"", more=False)

    def _bounded(self, follow: Callable[[], Batches], scope: Scope) -> Callable[[], Batches]:
        return lambda: self._streams.bounded(follow(), scope, self._lifetime_s)

    async def _pump(self, follow: Callable[[], Batches] | None, send: Send) -> None:
        await self._start(send)
        await self._send(send, self._framing.opening)
        farewell = self._framing.farewell(None) if follow is None else await self._relay(follow, send)
        if farewell:
            await self._send(send, farewell)
        await self._send(send, b"", more=False)

    async def _relay(self, follow: Callable[[], Batches], send: Send) -> bytes:
        """Send every batch; gives what is to be said before the end."""
        try:
            async with aclosing(follow()) as batches:
                async for batch in batches:
                    if batch and batch[-1].type in TERMINAL_TYPES:
                        failpoints.hit("run.shown")
                    await self._send(send, self._framing.bytes_of(batch))
                    if self._framing.over:
                        break
        except (Busy, StoreUnavailable) as error:
            return self._framing.farewell(error)
        return b""

    async def _start(self, send: Send) -> None:
        headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        await self._timed(send, {"type": "http.response.start", "status": 200, "headers": headers})

    async def _send(self, send: Send, body: bytes, *, more: bool = True) -> None:
        await self._timed(send, {"type": "http.response.body", "body": body, "more_body": more})

    async def _timed(self, send: Send, message: Message) -> None:
        try:
            async with asyncio.timeout(self._send_deadline_s):
                await send(message)
        except TimeoutError as error:
            raise ReaderTooSlow(f"nothing was read for {self._send_deadline_s:g} s") from error


def _credential(scope: Scope) -> str:
    """What the streams of a principal are counted by; empty in development mode, where they are not."""
    principal: Principal | None = scope.get("state", {}).get("principal")
    return "" if principal is None else principal.credential


async def _gone(receive: Receive) -> None:
    """Wait until the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _raise_failure(pump: asyncio.Task[None], watch: asyncio.Task[None], request_id: str) -> None:
    """Raise what ended the stream, if it was a failure; the server then breaks the connection."""
    for task in (pump, watch):
        if task.cancelled():
            continue
        error = task.exception()
        if error is not None:
            _log.warning("request %s: stream broken off: %r", request_id, error)
            raise error
