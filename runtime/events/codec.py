"""Events to bytes and back. JSON only, one line, encoded once: the hub and the doors move bytes.

Text that no store or client can hold (lone surrogates, NUL) becomes U+FFFD here, the one place where model and tool
output turns into bytes (SECURITY.md 1).
"""

from __future__ import annotations

import re
from math import ceil
from types import NoneType
from typing import Any

import orjson
from pydantic import ValidationError

from runtime.events.catalog import EVENT, Event, TurnCompleted, TurnDelta, TurnFailed, TurnStarted, TurnSuperseded
from runtime.events.envelope import Draft, Envelope, Money, Record, Stored

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class UnknownEvent(ValueError):
    """A type or shape this version does not know. Clients skip it; an executor must not go on past it."""


class UnreadableEvent(UnknownEvent):
    """Bytes that are no event of any version: the store was written to by something else than Headrace."""


def encode(draft: Draft, run_id: str, at: float) -> Record:
    """The record of ``draft``; ``at`` is seconds since the epoch."""
    event = draft.event
    data = _delta(event) if isinstance(event, TurnDelta) else fields_of(event)
    body: dict[str, Any] = {"run_id": run_id, "family": event.family, "type": event.type, "at": at}
    if draft.stage is not None:
        body["stage"] = draft.stage
    if draft.agent is not None:
        body["agent"] = draft.agent
    if draft.turn is not None:
        body["turn"] = draft.turn
    if draft.attempt is not None:
        body["attempt"] = draft.attempt
    if draft.call is not None:
        body["call"] = draft.call
    body["data"] = data
    try:
        raw = orjson.dumps(body)
    except TypeError:  # a lone surrogate: not UTF-8
        raw = orjson.dumps(_clean(body))
    if b"\\u0000" in raw:
        raw = orjson.dumps(_clean(body))
    return Record(event.type, event.family, draft.stage, raw, money_of(event))


def money_of(event: Event) -> Money | None:
    """What ``event`` moves on the budgets; None for most, and for calls that cost nothing."""
    match event:
        case TurnStarted(reserved_cost_usd=reserved):
            money = Money(reserve=micro_usd(reserved))
        case TurnCompleted(released_cost_usd=released, usage=usage):
            money = Money(-micro_usd(released), micro_usd(usage.cost_usd))
        case TurnSuperseded() | TurnFailed():
            money = Money(-micro_usd(event.released_cost_usd), micro_usd(event.spent_cost_usd))
        case _:
            return None
    return money if any(money) else None


def micro_usd(usd: float) -> int:
    """Millionths of a US dollar, rounded up: a budget is never exceeded by rounding."""
    return ceil(round(usd * 1_000_000, 3))


def decode(stored: Stored) -> Envelope:
    """The event in a stored record.

    Raises :class:`UnknownEvent` for a type or shape this version does not know, :class:`UnreadableEvent` for what is none.
    """
    try:
        body = orjson.loads(stored.body)
        place = {name: body.get(name) for name in _PLACE}
        named = {"type": body["type"], **body["data"]}
        run_id, at = body["run_id"], body["at"]
    except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
        raise UnreadableEvent(f"event {stored.seq} is no event: {_short(error)}") from error
    wrong = [name for name, kind in _PLACE.items() if not isinstance(place[name], kind)]
    if wrong or not isinstance(run_id, str) or not isinstance(named["type"], str) or type(at) not in (int, float):
        raise UnreadableEvent(f"event {stored.seq} does not say what it is or where it belongs")
    try:
        event = EVENT.validate_python(named)
    except ValidationError as error:
        raise UnknownEvent(f"event {stored.seq} of type {_short(body['type'])}: {_short(error)}") from error
    return Envelope(seq=stored.seq, epoch=stored.epoch, run_id=run_id, at=at, event=event, **place)


_PLACE = {
    "stage": (str, NoneType),
    "agent": (str, NoneType),
    "turn": (int, NoneType),
    "attempt": (int, NoneType),
    "call": (str, NoneType),
}
"""Where in its run an event belongs, and of what type each part is."""


def _short(what: object) -> str:
    """At most 300 characters of it, for logs and people: a body may be megabytes long."""
    words = what if isinstance(what, str) else repr(what) if not isinstance(what, Exception) else str(what)
    return words if len(words) <= 300 else words[:300] + " ..."


def public_json(stored: Stored) -> bytes:
    """The event as clients get it: one line of JSON, ``seq`` and ``epoch`` first."""
    return b'{"seq":%d,"epoch":%d,' % (stored.seq, stored.epoch) + stored.body[1:]


def parse_public(data: bytes | str) -> Envelope:
    """The event in a line of :func:`public_json`. Raises what :func:`decode` raises, and what no such line causes:
    ``orjson.JSONDecodeError``, ``KeyError``, ``TypeError``."""
    body = orjson.loads(data)
    raw = data.encode() if isinstance(data, str) else data
    return decode(Stored(body["seq"], body["epoch"], body["type"], body["family"], body.get("stage"), raw))


def fields_of(event: Event) -> dict[str, Any]:
    """What stands in ``data``: JSON values, ``type`` left out; Any because they are any JSON value."""
    try:
        return event.model_dump(exclude={"type"}, mode="json")
    except UnicodeEncodeError:  # a lone surrogate in a key: pydantic cannot name it
        clean = type(event).model_validate(_clean(event.model_dump()))
        return clean.model_dump(exclude={"type"}, mode="json")


def _delta(event: TurnDelta) -> dict[str, Any]:
    """A token's fields by hand: they come by the thousand, and a text needs two of the four."""
    data: dict[str, Any] = {"kind": event.kind, "text": event.text}
    if event.call_id is not None:
        data["call_id"] = event.call_id
    if event.name is not None:
        data["name"] = event.name
    return data


def _clean(value: Any) -> Any:
    """``value`` with every character no store can hold replaced; Any because it is any JSON value."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value
