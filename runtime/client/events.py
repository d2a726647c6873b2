"""One event as a client gets it: its place in the run, and its data typed by its type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, get_args

import orjson
from pydantic import BaseModel, ConfigDict

from runtime.events.base import TERMINAL, Family
from runtime.events.catalog import Event
from runtime.events.codec import UnknownEvent, UnreadableEvent, parse_public
from runtime.events.envelope import Envelope

TERMINAL_TYPES: Final = frozenset(f"run.{status}" for status in TERMINAL)
"""The types of events that end a run."""


class UnknownData(BaseModel):
    """The data of a type, or of a shape, that this version does not know: all its fields as they came."""

    model_config = ConfigDict(frozen=True, extra="allow")


@dataclass(frozen=True, slots=True)
class RunEvent:
    """One event as it arrived."""

    seq: int
    """1, 2, 3 ... per run, without a gap."""
    epoch: int
    run_id: str
    family: Family
    type: str
    at: float
    """Seconds since the epoch, UTC."""
    data: Event | UnknownData
    """A class of :mod:`runtime.events.catalog`; ``match event.data: case TurnDelta(text=text): ...``."""
    line: str
    """The JSON exactly as the server sent it: the same for every reader."""
    stage: str | None = None
    agent: str | None = None
    turn: int | None = None
    attempt: int | None = None
    call: str | None = None

    @property
    def id(self) -> str:
        """The cursor to go on after it: ``<seq>.<epoch>``."""
        return f"{self.seq}.{self.epoch}"

    @property
    def terminal(self) -> bool:
        """Whether the run ended with it."""
        return self.type in TERMINAL_TYPES

    @property
    def known(self) -> bool:
        """Whether this version knows its type and shape."""
        return not isinstance(self.data, UnknownData)

    @property
    def envelope(self) -> Envelope | None:
        """The same for the folds of :mod:`runtime.events`; None when this version does not know the type."""
        if isinstance(self.data, UnknownData):
            return None
        return Envelope(
            seq=self.seq,
            epoch=self.epoch,
            run_id=self.run_id,
            at=self.at,
            event=self.data,
            stage=self.stage,
            agent=self.agent,
            turn=self.turn,
            attempt=self.attempt,
            call=self.call,
        )


def parse_event(line: str) -> RunEvent:
    """The event in one line of JSON. Raises ``ValueError`` when it is no event of any version."""
    event = _parsed(line)
    if type(event.seq) is not int or type(event.epoch) is not int:
        raise ValueError(f"this event has no place: {line[:200]!r}")
    return event


def _parsed(line: str) -> RunEvent:
    try:
        e = parse_public(line)
    except UnreadableEvent:
        raise
    except UnknownEvent:
        return _unknown(line)
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no event: {line[:200]!r}") from error
    place = {"stage": e.stage, "agent": e.agent, "turn": e.turn, "attempt": e.attempt, "call": e.call}
    family, kind = e.event.family, e.event.type
    return RunEvent(e.seq, e.epoch, e.run_id, family, kind, e.at, e.event, line, **place)  # type: ignore[arg-type]  # by name


def _unknown(line: str) -> RunEvent:
    """An event whose envelope was found good, and its data not known."""
    body = orjson.loads(line)
    place = {name: body.get(name) for name in ("stage", "agent", "turn", "attempt", "call")}
    family: Family = body["family"] if body["family"] in get_args(Family) else "system"
    data = UnknownData.model_validate(body["data"])
    return RunEvent(body["seq"], body["epoch"], body["run_id"], family, body["type"], body["at"], data, line, **place)
