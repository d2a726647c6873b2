"""One event of every type with every field set, made from the types themselves: a new type or field is covered at once."""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from runtime.events.catalog import Event
from runtime.events.envelope import Envelope
from runtime.events.plan import Plan, Todo

EVENT_TYPES: tuple[type[Any], ...] = get_args(Event)


def sample(kind: type[Any], **given: Any) -> Any:
    """An instance of a model with no field at its default, unless a literal leaves no choice."""
    fields = kind.model_fields.items()
    return kind(**{name: given[name] if name in given else _field(field, name) for name, field in fields})


def every_event() -> list[Any]:
    return [sample(kind) for kind in EVENT_TYPES]


def by_type(event: Any) -> str:
    return str(event.type)


def envelope(event: Any, seq: int = 7, *, stage: str | None = None, agent: str | None = None, **more: Any) -> Envelope:
    return Envelope(seq, more.pop("epoch", 1), "run", 1000.0 + seq, event, stage, agent, **more)


def numbered(*events: Any, **place: Any) -> list[Envelope]:
    """Events as they stand in a log, from 1 on; an envelope keeps its place and is only renumbered."""
    return [
        Envelope(i, e.epoch, "run", 1000.0 + i, e.event, e.stage, e.agent, e.turn, e.attempt, e.call)
        if isinstance(e, Envelope)
        else envelope(e, i, **place)
        for i, e in enumerate(events, start=1)
    ]


def _field(field: Any, name: str) -> Any:
    if get_origin(field.annotation) is Literal:
        return next((word for word in get_args(field.annotation) if word != field.default), field.default)
    return _value(field.annotation, name)


def _value(kind: Any, name: str) -> Any:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _value(arguments[0], name)
    if origin in (Union, types.UnionType):
        return _value(next(a for a in arguments if a is not type(None)), name)
    if origin is Literal:
        return arguments[-1]
    if origin is tuple:
        members = get_args(get_args(arguments[0])[0]) if get_origin(arguments[0]) is Annotated else ()
        return tuple(_value(member, name) for member in members or (arguments[0],))
    if origin is dict:
        return {"key": _value(arguments[1], name)}
    return _plain(kind, name)


def _plain(kind: Any, name: str) -> Any:
    if kind is Plan:
        first = Todo(id="one", title="First", agent="research")
        return Plan(todos=(first, Todo(id="two", title="Second", agent="writing", depends_on=("one",))))
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return sample(kind)
    plain: dict[Any, Any] = {
        str: f"a {name}: é “–” \n 😀",
        int: 3,
        float: 2.5,
        bool: True,
        Any: [None, {"deep": [1.5]}],
    }
    return plain[kind]
