"""Server-sent events, as bytes: frames, comments and cursors. Pure; ``stream`` does the sending.

A frame is ``id: <seq>.<epoch>``, ``event: <family>`` and one ``data:`` line. What users or models wrote stands only in
``data``, as JSON that escapes every line end, so no text can break a frame (SECURITY.md 1, "SSE framing").
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from runtime import __version__
from runtime.events.codec import public_json
from runtime.events.envelope import Stored
from runtime.generator.problems import Refusal

OPENING = f"retry: 2000\n: headrace {__version__}: the events of one run, resumable with Last-Event-ID\n\n".encode()
"""The first bytes of every stream, sent before any work: proxies and clients then know that it is open."""
HEARTBEAT = b": ping\n\n"
STORE_UNAVAILABLE = b": store-unavailable\n\n"
COME_BACK = b"retry: 5000\n\n"
"""Said before a clean end that is not the run's: an ``EventSource`` comes back after 5 s (PROTOCOLS.md 5)."""

HEADERS = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}
"""Against proxies that buffer, compress or cache."""

_CURSOR = re.compile(r"(0|[1-9][0-9]{0,14})(?:\.(0|[1-9][0-9]{0,8}))?")
"""15 digits: every such number is exact in JavaScript, and fits the stores' integers."""


class Cursor(NamedTuple):
    """The last event a reader has seen; ``seq`` 0 is the start. A position, never a permission."""

    seq: int
    epoch: int | None = None

    def __str__(self) -> str:
        return str(self.seq) if self.epoch is None else f"{self.seq}.{self.epoch}"


START = Cursor(0)


def frame(stored: Stored) -> bytes:
    """One event on the wire."""
    head = b"id: %d.%d\nevent: %s\ndata: " % (stored.seq, stored.epoch, stored.family.encode())
    return head + public_json(stored) + b"\n\n"


def cursor_of(stored: Stored) -> Cursor:
    """The cursor of a reader that has just seen ``stored``."""
    return Cursor(stored.seq, stored.epoch)


def read_cursor(headers: Sequence[str], queries: Sequence[str]) -> Cursor:
    """The cursor asked for by all ``Last-Event-ID`` headers and ``?after=`` values; the header wins.

    Raises ``Refusal`` 400 ``invalid_cursor`` for anything but ``<seq>``, ``<seq>.<epoch>`` or nothing, and for two.
    """
    given = headers or queries
    if len(given) > 1:
        raise _invalid("It is given twice.")
    text = given[0] if given else ""
    if text == "":
        return START
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise _invalid("It must be the id of an event, such as 17.1.")
    seq, epoch = int(match[1]), match[2]
    return START if seq == 0 else Cursor(seq, None if epoch is None else int(epoch))


def check_cursor(cursor: Cursor, at: Stored | None, head: int) -> None:
    """Hold ``cursor`` against the log: ``at`` is the first event with ``seq >= cursor.seq``, ``head`` the last number.

    Raises ``Refusal`` 409: ``cursor_ahead`` when there is no such event, ``cursor_mismatch`` when its epoch is another.
    """
    if cursor.seq == 0:
        return
    if at is None:
        detail = f"The cursor {cursor} is ahead of the log, whose last event is {head}; start again from the snapshot."
        raise Refusal(409, "cursor_ahead", detail, head=head)
    if at.seq == cursor.seq and cursor.epoch not in (None, at.epoch):
        detail = f"The cursor {cursor} is of another history of this run; start again from the snapshot."
        raise Refusal(409, "cursor_mismatch", detail)


def _invalid(why: str) -> Refusal:
    return Refusal(400, "invalid_cursor", f"The cursor (Last-Event-ID or ?after=) cannot be used. {why}")
