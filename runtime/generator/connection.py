"""One HTTP/1.1 connection: uvicorn's, with the deadlines and limits that uvicorn does not have.

uvicorn waits for ever for a request that trickles in: every byte resets its keep-alive timer, and there is none before the
first request (uvicorn #157). It keeps as many header bytes as a client cares to send, answers broken HTTP in plain text, and
writes that text into the middle of a response under way. This class is what both servers use: the one in this process, and
Ray Serve's proxy (``actors/proxy.py``).

The parser tells what a connection is doing: a *head* begins with its first byte and ends with its empty line; then comes the
*body*, as long as the head says. Each has one timer, and bytes do not reset it. After the last answer the connection *lingers*:
our side is closed and what still comes is thrown away, since closing at once would reset the connection and could take the
answer with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Final, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from runtime.generator.body import BODY_DEADLINE_S
from runtime.generator.edge import MAX_HEADER_BYTES, MAX_HEADERS, MAX_URL_BYTES
from runtime.generator.problems import Refusal, answer
from runtime.ids import new_id

HEAD_DEADLINE_S: Final = 10.0
"""For request line and headers, from the first byte; also for a new connection that sends nothing (SECURITY.md 1)."""
BODY_SPARE_S: Final = 2.0
"""The application's own deadline comes first, and answers; this one is for a body that nobody reads."""
LINGER_S: Final = 2.0
"""How long nothing must come or go until a connection that has ended is closed."""
LINGERS: Final = 5
"""So many times, for a client that goes on sending."""
MAX_HEAD_BYTES: Final = MAX_HEADER_BYTES + MAX_URL_BYTES + 4 * MAX_HEADERS + 1024
"""As received. ``edge`` counts more exactly; this one bounds memory while the head is still coming."""


class Connection(HttpToolsProtocol):
    """A connection of uvicorn's server: ``uvicorn.Config(http=Connection)``. Nothing is upgraded, websockets neither."""

    head_deadline_s = HEAD_DEADLINE_S
    body_deadline_s = BODY_DEADLINE_S + BODY_SPARE_S
    linger_s = LINGER_S

    _timer: asyncio.TimerHandle | None = None
    _answering: RequestResponseCycle | None = None
    """The request whose answer is being given, or was given last; ``cycle`` is the newest."""
    _in_head = _in_body = False
    _deaf = False
    """What still comes is thrown away."""
    _ended = False
    """Nothing more is sent, either."""
    _heard = False
    """Something came since it was last looked."""
    _head_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.ws_protocol_class = None
        self._arm(self.head_deadline_s, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._heard = True
            return
        if self._timer is None and not self._busy:
            self._arm(self.head_deadline_s, self._head_is_late)  # between requests; line ends alone begin no head
        if not self._in_body:
            self._head_bytes += len(data)
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # answered as if it had not asked
        except httptools.HttpParserError:
            self._refuse(400, "malformed_request", "This is not an HTTP/1.1 request that can be read.")
        if self._in_head and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(431, "headers_too_large", f"The request's head is longer than {MAX_HEAD_BYTES} bytes.")

    # What the parser calls

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._in_head, self._in_body = True, False
        self._arm(self.head_deadline_s, self._head_is_late)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # else a trailer, which nobody here reads
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._deaf or not self._acceptable():
            return
        self._in_head, self._in_body, self._head_bytes = False, True, 0
        self._arm(self.body_deadline_s, self._body_is_late)
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False  # the parser stops after it: what comes next cannot be read

    def on_body(self, body: bytes) -> None:
        if not self._deaf:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._deaf:
            self._in_body = False
            self._disarm()
            super().on_message_complete()

    # What the responses call

    def on_response_complete(self) -> None:
        if not self._ended:
            super().on_response_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        cycle.transport = cast(asyncio.Transport, _Transport(self.transport, self._end))
        super()._start_asgi_task(cycle, app)

    # Ours

    @property
    def _busy(self) -> bool:
        return self._answering is not None and not self._answering.response_complete

    def _acceptable(self) -> bool:
        """Refuse what the parser lets pass and two servers in a row could read differently, and what is not offered at all."""
        version = self.parser.get_http_version()
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        if self.parser.get_method() == b"CONNECT":
            self._refuse(405, "method_not_allowed", "This is not a proxy.", {"Allow": "GET, HEAD, OPTIONS"})
        elif version not in ("1.0", "1.1"):
            self._refuse(400, "malformed_request", "Only HTTP/1.1 is spoken here.")
        elif codings and (codings != [b"chunked"] or version == "1.0"):
            self._refuse(400, "malformed_request", "The only transfer encoding is 'chunked', in HTTP/1.1.")
        elif not _names_a_path(self.url):
            self._refuse(400, "malformed_request", "The request names no path that can be read.")
        return not self._deaf

    def _head_is_late(self) -> None:
        if self._in_head:
            words = f"The request's head did not arrive within {self.head_deadline_s:g} seconds."
            self._refuse(408, "head_timeout", words)
        else:
            self._end()  # nothing was asked, so there is nothing to answer

    def _body_is_late(self) -> None:
        self._refuse(408, "body_timeout", f"The body did not arrive within {self.body_deadline_s:g} seconds.")

    def _refuse(self, status: int, code: str, words: str, headers: dict[str, str] | None = None) -> None:
        """Answer the newest request in place of the application, as far as that can still be done, and end the connection."""
        if self._deaf:
            return
        if self._busy and not (self._in_body and self.cycle is self._answering):
            self._end_after_what_was_asked_before()
            return
        begun = self._in_body and self.cycle.response_started
        if self._in_body:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not begun:
            self.transport.write(wire(Refusal(status, code, words, headers=headers)))
        self._end()

    def _end_after_what_was_asked_before(self) -> None:
        self._deaf = True
        self._disarm()
        if self._in_body:
            self.pipeline.popleft()
        last = self.pipeline[0][0] if self.pipeline else self._answering
        assert last is not None  # busy
        last.keep_alive = False

    def _end(self) -> None:
        """No more answers: let the client read what it was sent, then close."""
        if self._ended or self.transport.is_closing():
            return
        self._deaf = self._ended = True
        self.flow.resume_reading()  # what comes is taken in, to be thrown away
        self._unset_keepalive_if_required()
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._linger(LINGERS, self.transport.get_write_buffer_size())
        else:
            self.transport.close()

    def _linger(self, times: int, unsent: int) -> None:
        self._heard = False
        self._arm(self.linger_s, lambda: self._close_if_quiet(times, unsent))

    def _close_if_quiet(self, times: int, unsent: int) -> None:
        left = self.transport.get_write_buffer_size()
        if left < unsent:
            self._linger(times, left)  # the client still takes in what it was sent
        elif self._heard and times > 1:
            self._linger(times - 1, left)
        else:
            self.transport.abort()

    def _arm(self, seconds: float, late: Callable[[], None]) -> None:
        self._disarm()
        self._timer = self.loop.call_later(seconds, late)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Transport:
    """What a response may do with its connection; it is ended, not closed."""

    def __init__(self, transport: asyncio.Transport, end: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = end


def wire(refusal: Refusal) -> bytes:
    """``refusal`` as the last response of a connection."""
    request_id = new_id()
    response = answer(refusal, path="", request_id=request_id)
    lines = [f"HTTP/1.1 {response.status_code} {HTTPStatus(response.status_code).phrase}".encode()]
    lines += [name + b": " + value for name, value in response.raw_headers]
    lines += [b"x-content-type-options: nosniff", b"x-request-id: " + request_id.encode(), b"connection: close"]
    return b"\r\n".join(lines) + b"\r\n\r\n" + bytes(response.body)


def _names_a_path(target: bytes) -> bool:
    try:
        parsed = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        return False
    return parsed.path is not None and parsed.fragment is None
