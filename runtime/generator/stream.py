"""A response that is an event stream, from its first byte to its end, however it ends.

Two tasks: the *pump* takes batches from the door and sends them; the *watch* waits for the client to leave. Whichever
is first ends the other. The pump alone owns the door's generator and is cancelled at most once, so the generator is
closed exactly once, in its own task, undisturbed by cancellations that are delivered again (PROTOCOLS.md 5: this is why
it is no ``StreamingResponse``).

How it ends: after the run's last event cleanly; when the store is away or there are too many readers cleanly, with
``retry: 5000``, since an ``EventSource`` never comes back from a 503; for any other failure by breaking the connection,
because a clean end without a terminal event would pass for success.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import aclosing

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


class EventStream:
    """An ASGI response: headers and ``OPENING`` at once, then what ``follow`` gives, batch by batch.

    ``follow`` None, or too many streams: only say ``retry: 5000`` and end. ``lifetime_s`` None: for readers who take a clean
    end for the run's. Raises what broke the stream, after its headers are out.
    """

    def __init__(
        self,
        follow: Callable[[], Batches] | None,
        *,
        streams: OpenStreams,
        headers: Mapping[str, str] | None = None,
        view: View | None = None,
        send_deadline_s: float = SEND_DEADLINE_S,
        lifetime_s: float | None = LIFETIME_S,
    ) -> None:
        self._follow = follow
        self._lifetime_s = lifetime_s
        self._streams = streams
        self._view = view or View()
        self.headers = {**HEADERS, **(headers or {})}
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
        await self._send(send, OPENING)
        farewell = COME_BACK if follow is None else await self._relay(follow, send)
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
                    await self._send(send, _bytes_of(batch, self._view))
        except Busy:
            return COME_BACK
        except StoreUnavailable:
            return STORE_UNAVAILABLE + COME_BACK
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


def _bytes_of(batch: list[Stored] | None, view: View) -> bytes:
    """A batch on the wire; a comment for silence, another while the store is away."""
    if batch is None:
        return STORE_UNAVAILABLE
    if not view.open:
        batch = list(map(view.shown, batch))
    return b"".join(map(frame, batch)) if batch else HEARTBEAT


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
