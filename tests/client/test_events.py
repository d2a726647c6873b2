"""One event as a client gets it."""

from __future__ import annotations

import json

import pytest
from pydantic import ValidationError

from runtime.client.events import TERMINAL_TYPES, UnknownData, parse_event
from runtime.events import catalog as ev
from runtime.events.codec import encode, parse_public, public_json
from runtime.events.envelope import Draft, Stored
from runtime.log import log
from tests.events.samples import by_type, every_event

PLACE = {"stage": "find", "agent": "research", "turn": 2, "attempt": 3, "call": "2.c1"}


def line_of(event: ev.Event) -> str:
    record = encode(Draft(event, **PLACE), "r1", 1000.5)  # type: ignore[arg-type]  # by name
    return public_json(Stored(7, 2, record.type, record.family, record.stage, record.body)).decode()


@pytest.mark.parametrize("event", every_event(), ids=by_type)
def test_data_is_typed_by_type(event: ev.Event) -> None:
    line = line_of(event)
    got = parse_event(line)
    assert got.data == event
    assert type(got.data) is type(event)
    assert (got.type, got.family, got.id, got.line) == (event.type, event.family, "7.2", line)
    assert (got.run_id, got.at, got.known, got.terminal) == ("r1", 1000.5, True, event.type in log.TERMINAL_TYPES)
    assert {name: getattr(got, name) for name in PLACE} == PLACE
    assert got.envelope == parse_public(line)


def other(**changes: object) -> str:
    body = {
        "seq": 1,
        "epoch": 0,
        "run_id": "r1",
        "family": "object",
        "type": "plan.admired",
        "at": 1,
        "data": {"by": ["x"]},
    }
    return json.dumps({**body, **changes})


def test_a_type_of_a_later_version_keeps_all_its_fields() -> None:
    event = parse_event(other(stage="find"))
    assert isinstance(event.data, UnknownData)
    assert event.data.model_dump() == {"by": ["x"]}
    assert (event.type, event.family, event.stage, event.known, event.envelope) == (
        "plan.admired",
        "object",
        "find",
        False,
        None,
    )
    assert parse_event(other(family="smell")).family == "system"
    with pytest.raises(ValidationError):
        event.data.by = []  # type: ignore[attr-defined]


def test_a_known_type_in_an_unknown_shape_is_unknown_but_may_end_the_run() -> None:
    event = parse_event(other(type="run.completed", data={"reply": "x"}))
    assert (event.known, event.terminal) == (False, True)


def test_terminal_types_are_those_of_the_log() -> None:
    assert set(log.TERMINAL_TYPES) == TERMINAL_TYPES


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "[]",
        "null",
        '"x"',
        other(data=None),
        other(data=[]),
        other(seq=None),
        other(epoch=1.5),
        other(at="now"),
        other(type=None),
    ],
)
def test_what_is_no_event_is_an_error(line: str) -> None:
    with pytest.raises(ValueError):
        parse_event(line)
