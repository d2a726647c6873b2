"""Where a reader stands in a run's log, and what an arriving frame means for it. Pure: no socket, no clock."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from runtime.client.sse import Frame
from runtime.errors import HeadraceError
from runtime.events.catalog import RunCancelled, RunCompleted, RunExpired, RunFailed
from runtime.events.codec import UnknownEvent, parse_public
from runtime.events.envelope import Envelope


class Gap(HeadraceError):
    """An event's number is not the next one: the connection is given up and the missing ones asked for again."""

    code = "gap"
    retryable = True


@dataclass(frozen=True, slots=True)
class Received:
    """One event as it arrived."""

    seq: int
    line: str
    """The JSON exactly as the server sent it: the same for every reader."""
    envelope: Envelope | None
    """None when this version does not know the event's type."""

    @property
    def terminal(self) -> bool:
        """Whether the run ended with it."""
        known = self.envelope is not None
        return known and isinstance(self.envelope.event, RunCompleted | RunCancelled | RunFailed | RunExpired)  # type: ignore[union-attr]


class Cursor:
    """The reader's place: which event was last taken in, and how to ask for what follows."""

    def __init__(self, after: int = 0) -> None:
        self.seq = after
        self.last_id: str | None = None
        """``<seq>.<epoch>`` of the last complete event; None until one came."""
        self.ended = False

    def take(self, frame: Frame) -> Received | None:
        """The event in ``frame``, or None for one that is known already or is no event of a run.

        Raises :class:`Gap` when events before it are missing, ``HeadraceError`` when it is no JSON of ours.
        """
        seq = _sequence(frame)
        if seq is None or seq <= self.seq:
            return None
        if seq != self.seq + 1:
            raise Gap(f"event {self.seq + 1} is missing: the server went on with {seq}")
        received = Received(seq, frame.data, _envelope(frame))
        self.seq, self.last_id, self.ended = seq, frame.id, received.terminal
        return received

    def headers(self) -> dict[str, str]:
        """What to send so that the server goes on after the last event."""
        return {} if self.last_id is None else {"Last-Event-ID": self.last_id}

    def query(self) -> dict[str, int]:
        """The same for a reader who names only a number."""
        return {"after": self.seq} if self.last_id is None and self.seq else {}


def _sequence(frame: Frame) -> int | None:
    digits = frame.id.partition(".")[0]
    return int(digits) if digits.isascii() and digits.isdigit() else None


def _envelope(frame: Frame) -> Envelope | None:
    try:
        return parse_public(frame.data)
    except UnknownEvent:
        return None
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise HeadraceError(f"event {frame.id} is not what a Headrace server sends: {error!r}") from error
