"""Server-sent events out of bytes that arrive in any pieces.

Follows the event stream format of the HTML standard as far as the Messages API uses it: ``event`` and ``data`` fields,
comments skipped, lines ended by LF, CRLF or CR. Bytes are never decoded before an event is whole, so a UTF-8 sequence
may be split anywhere; whoever parses ``data`` learns of bad UTF-8. An event whose closing blank line never came is not
an event. https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from typing import NamedTuple

from runtime.errors import ModelProtocolError

MAX_EVENT_BYTES = 4 * 1024 * 1024
"""Of one line, and of one event's data: far above any block the API sends in one event, far below what hurts."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    """One event: its name, empty when the server gave none, and its data lines joined by LF."""

    event: str
    data: bytes


class SseDecoder:
    """Takes the pieces of one stream, in order, and gives the events they complete."""

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        self._rest = b""
        self._ends_with_cr = False
        self._started = False
        self._event = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """The events that ``piece`` completes. Raises :class:`ModelProtocolError` when one grows past the bound."""
        *lines, self._rest = (self._rest + self._with_lf(piece)).split(b"\n")
        if not self._started and lines:
            self._started = True
            lines[0] = lines[0].removeprefix(_BYTE_ORDER_MARK)
        self._check(len(self._rest))
        events = (self._line(line) for line in lines)
        return [event for event in events if event is not None]

    def _with_lf(self, piece: bytes) -> bytes:
        # A CR at the end of a piece ended its line already; an LF that opens the next piece belongs to that CR.
        if self._ends_with_cr and piece.startswith(b"\n"):
            piece = piece[1:]
            self._ends_with_cr = False
        if piece:
            self._ends_with_cr = piece.endswith(b"\r")
        if b"\r" in piece:
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return piece

    def _line(self, line: bytes) -> ServerSentEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(value) + 1
            self._check(self._size)
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        event = ServerSentEvent(self._event, b"\n".join(self._data)) if self._data else None
        self._event, self._data, self._size = "", [], 0
        return event

    def _check(self, size: int) -> None:
        if size > self._max:
            raise ModelProtocolError(f"the model's provider sent an event of more than {self._max} bytes")
