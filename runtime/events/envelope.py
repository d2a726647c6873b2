"""What stands around an event: where in the run it happened, and, once the hub has taken it, its place in the log.

``Record`` and ``Stored`` cross processes once per token and are named tuples, which pickle three times as fast.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from runtime.events.catalog import Event, Family


@dataclass(frozen=True, slots=True)
class Draft:
    """An event on its way to the log: everything but its number."""

    event: Event
    stage: str | None = None
    """The todo's id; None for the run itself and for planning."""
    agent: str | None = None
    turn: int | None = None
    """1, 2, 3 ... per stage, or per planning agent."""
    attempt: int | None = None
    """1, 2, 3 ... per turn; a withdrawn attempt's text is dropped by clients."""
    call: str | None = None
    """In a delegate's work: the call it answers, see :func:`runtime.events.calls.call_path`; None: the stage's own agent."""


class Money(NamedTuple):
    """What a record does to its run's account, in millionths of a US dollar; the log moves both in the record's transaction."""

    reserve: int = 0
    """Held back for a model call about to be made; below 0: given back."""
    spend: int = 0
    """Spent for good."""


class Record(NamedTuple):
    """A draft in its travelling form: encoded once, with the routing fields beside the bytes."""

    type: str
    family: Family
    stage: str | None
    body: bytes
    """JSON object without ``seq`` and ``epoch``; the hub's numbers are set beside it."""
    money: Money | None = None


class Stored(NamedTuple):
    """A record with its place: what the log holds and doors send."""

    seq: int
    epoch: int
    type: str
    family: Family
    stage: str | None
    body: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A decoded event with everything known about it."""

    seq: int
    epoch: int
    run_id: str
    at: float
    """Seconds since the epoch, UTC, when the publisher made it."""
    event: Event
    stage: str | None = None
    agent: str | None = None
    turn: int | None = None
    attempt: int | None = None
    call: str | None = None
