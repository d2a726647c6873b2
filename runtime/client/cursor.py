"""Where a reader stands in a run's log, and what an arriving frame means for it. Pure: no socket, no clock."""

from __future__ import annotations

import re

from runtime.client.errors import Gap
from runtime.client.events import RunEvent, parse_event
from runtime.client.sse import Frame
from runtime.errors import HeadraceError

_CURSOR = re.compile(r"([0-9]{1,15})(\.[0-9]{1,9})?")


class Cursor:
    """The reader's place: which event was last taken in, and how to ask for what follows.

    ``after`` is the number of an event, or its id, ``<seq>.<epoch>``. Raises ``ValueError`` when it is neither.
    """

    def __init__(self, after: int | str = 0) -> None:
        match = _CURSOR.fullmatch(str(after))
        if match is None:
            raise ValueError(f"{after!r} is no event's number or id, such as 17 or 17.1")
        self.seq = int(match[1])
        self.last_id: str | None = str(after) if match[2] and self.seq else None
        """``<seq>.<epoch>`` of the last complete event; None when only its number is known, or none came."""
        self.ended = False

    def take(self, frame: Frame) -> RunEvent | None:
        """The event in ``frame``, or None for one that is known already or is no event of a run.

        Raises :class:`Gap` when events before it are missing, ``HeadraceError`` when it is no JSON of ours.
        """
        seq = _sequence(frame)
        if seq is None or seq <= self.seq:
            return None
        if seq != self.seq + 1:
            raise Gap(f"event {self.seq + 1} is missing: the server went on with {seq}")
        try:
            event = parse_event(frame.data)
        except ValueError as error:
            raise HeadraceError(f"event {frame.id} is not what a Headrace server sends: {error}") from error
        self.seq, self.last_id, self.ended = seq, frame.id, event.terminal
        return event

    def headers(self) -> dict[str, str]:
        """What to send so that the server goes on after the last event."""
        return {} if self.last_id is None else {"Last-Event-ID": self.last_id}

    def query(self) -> dict[str, int]:
        """The same for a reader who names only a number."""
        return {"after": self.seq} if self.last_id is None and self.seq else {}


def _sequence(frame: Frame) -> int | None:
    digits = frame.id.partition(".")[0]
    return int(digits) if digits.isascii() and digits.isdigit() else None
