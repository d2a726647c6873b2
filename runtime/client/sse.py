"""Server-sent events out of bytes, as they come: a decoder that does not care where the network cut them.

Lines are split as bytes and decoded whole, so a UTF-8 character cut in two by a packet is never seen in halves. An
event counts only when the empty line after it is in: what a broken connection leaves behind is dropped and sent again.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from runtime.errors import HeadraceError

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"
MAX_FRAME_BYTES = 64 * 1024 * 1024
"""More than any event can be; a server that never ends its line is not one of ours."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One complete event as the wire has it."""

    id: str
    """The last id seen, also when this event named none."""
    event: str
    data: str


class SseDecoder:
    """Bytes in, complete frames out. One per connection."""

    def __init__(self) -> None:
        self.retry_s: float | None = None
        """What the server last asked for as the time before a reconnect."""
        self._parts: list[bytes] = []
        self._size = 0
        self._started = False
        self._after_cr = False
        self._id = ""
        self._event = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that ``chunk`` completes. Raises ``HeadraceError`` when a frame grows beyond all bounds."""
        if self._after_cr and chunk[:1] == b"\n":  # the second half of a CRLF that was cut
            chunk = chunk[1:]
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        lines = _LINE_END.split(chunk)
        self._keep(lines[0])
        frames: list[Frame] = []
        for following in lines[1:]:
            frame = self._line(self._take())
            if frame is not None:
                frames.append(frame)
            self._keep(following)
        return frames

    def _keep(self, part: bytes) -> None:
        self._parts.append(part)
        self._size += len(part)
        if self._size > MAX_FRAME_BYTES:
            raise HeadraceError(
                f"the server sent an event of more than {MAX_FRAME_BYTES} bytes; this is no Headrace stream"
            )

    def _take(self) -> bytes:
        line = b"".join(self._parts)
        self._parts.clear()
        if not self._started:
            self._started = True
            line = line.removeprefix(_BOM)
        return line

    def _line(self, line: bytes) -> Frame | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode("utf-8", errors="replace")
        if name == b"data":
            self._data.append(text)
        elif name == b"event":
            self._event = text
        elif name == b"id" and "\0" not in text:
            self._id = text
        elif name == b"retry" and text.isascii() and text.isdigit():
            self.retry_s = int(text) / 1000
        return None

    def _dispatch(self) -> Frame | None:
        frame = Frame(self._id, self._event or "message", "\n".join(self._data)) if self._data else None
        self._event = ""
        self._data = []
        self._size = 0
        return frame
