"""Events survive the way to bytes and back, whatever text is in them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from runtime.events import catalog as ev
from runtime.events.codec import UnknownEvent, decode, encode, parse_public, public_json
from runtime.events.envelope import Draft, Record, Stored
from runtime.events.messages import TextBlock, ToolUseBlock, Usage
from tests.events.samples import EVENT_TYPES, by_type, every_event

FULL = {"stage": "two", "agent": "writing", "turn": 3, "attempt": 2}


def stored(record: Record, seq: int = 12, epoch: int = 4) -> Stored:
    return Stored(seq, epoch, record.type, record.family, record.stage, record.body)


def around(event: Any, **place: Any) -> Any:
    return decode(stored(encode(Draft(event, **place), "run-1", 5.25))).event


def test_the_samples_leave_no_field_at_its_default() -> None:
    for event in every_event():
        for name, field in type(event).model_fields.items():
            if name not in ("type", "replace", "schema_version") and not field.is_required():
                assert getattr(event, name) != field.default, f"{event.type}.{name}"


@pytest.mark.parametrize("event", every_event(), ids=by_type)
def test_every_event_type_survives_the_round_trip(event: Any) -> None:
    record = encode(Draft(event, **FULL), "run-1", 5.25)
    assert (record.type, record.family, record.stage) == (event.type, event.family, "two")
    back = decode(stored(record))
    assert (back.event, type(back.event)) == (event, type(event))
    assert (back.seq, back.epoch, back.run_id, back.at) == (12, 4, "run-1", 5.25)
    assert {name: getattr(back, name) for name in FULL} == FULL


@pytest.mark.parametrize("event", every_event(), ids=by_type)
def test_every_event_type_survives_the_form_clients_get(event: Any) -> None:
    line = public_json(stored(encode(Draft(event, **FULL), "run-1", 5.25)))
    assert (
        parse_public(line) == parse_public(line.decode()) == decode(stored(encode(Draft(event, **FULL), "run-1", 5.25)))
    )


def test_the_form_clients_get_is_one_line_with_the_numbers_first() -> None:
    line = public_json(stored(encode(Draft(ev.TurnDelta(text="a\nb\r\u2028c")), "run-1", 5.25)))
    assert line.startswith(b'{"seq":12,"epoch":4,"run_id":"run-1","family":"token","type":"turn.delta"')
    assert b"\n" not in line
    assert b"\r" not in line
    assert orjson.loads(line)["data"]["text"] == "a\nb\r\u2028c"


def test_places_that_do_not_apply_are_left_out_and_read_back_as_none() -> None:
    record = encode(Draft(ev.TitleSet(title="T")), "run-1", 5.25)
    assert set(orjson.loads(record.body)) == {"run_id", "family", "type", "at", "data"}
    back = decode(stored(record))
    assert (back.stage, back.agent, back.turn, back.attempt) == (None, None, None, None)


def test_the_call_a_delegates_event_belongs_to_survives_and_a_log_without_it_is_read() -> None:
    inside = encode(Draft(ev.TurnDelta(text="x"), "s", "a", 1, 1, "1.c1"), "r", 1.0)
    assert decode(stored(inside)).call == "1.c1"
    plain = encode(Draft(ev.TurnDelta(text="x"), "s", "a", 1, 1), "r", 1.0)
    assert b"call" not in plain.body
    assert decode(stored(plain)).call is None


def test_the_same_event_is_always_the_same_bytes() -> None:
    for event in every_event():
        assert encode(Draft(event), "r", 1.0) == encode(Draft(event.model_copy(deep=True)), "r", 1.0)


@pytest.mark.parametrize("bad", ["\x00", chr(0xD800), chr(0xDFFF), "a\udc00\x00b"])
def test_text_no_store_can_hold_is_replaced_wherever_it_stands(bad: str) -> None:
    mended = "".join("\ufffd" if c == "\x00" or 0xD800 <= ord(c) <= 0xDFFF else c for c in bad)
    assert around(ev.TurnDelta(text=bad)) == ev.TurnDelta(text=mended)
    assert around(ev.Custom(name="n", value={bad: [bad, {"x": bad}]})).value == {mended: [mended, {"x": mended}]}
    block = ToolUseBlock(id="c", name="t", input={"q": bad})
    turn = ev.TurnCompleted(content=(TextBlock(text=bad), block), stop_reason="end_turn", usage=Usage(), model="m")
    assert around(turn).content == (TextBlock(text=mended), ToolUseBlock(id="c", name="t", input={"q": mended}))
    encode(Draft(turn), "r", 1.0).body.decode("utf-8")  # and the bytes are UTF-8


def test_text_that_only_speaks_of_nul_is_left_alone() -> None:
    words = "write \\u0000 in JSON, or \\ud800"
    assert around(ev.TurnDelta(text=words)) == ev.TurnDelta(text=words)


def test_surrogate_pairs_are_characters_and_stay() -> None:
    assert around(ev.TurnDelta(text="😀")).text == "😀"


@pytest.mark.parametrize(
    "body",
    [
        b'{"run_id":"r","family":"object","type":"from.tomorrow","at":1.0,"data":{"x":1}}',
        b'{"run_id":"r","family":"token","type":"turn.delta","at":1.0,"data":{"text":5}}',
        b'{"run_id":"r","family":"token","type":"turn.delta","at":1.0,"data":{}}',
    ],
)
def test_a_type_or_shape_of_another_version_is_an_unknown_event_not_a_crash(body: bytes) -> None:
    one = Stored(3, 1, "from.tomorrow", "object", None, body)
    with pytest.raises(UnknownEvent, match="event 3 of type"):
        decode(one)
    with pytest.raises(UnknownEvent):
        parse_public(public_json(one))


def test_fields_a_later_version_added_are_ignored() -> None:
    body = b'{"run_id":"r","family":"object","type":"title.set","at":1.0,"new":1,"data":{"title":"T","colour":"red"}}'
    assert decode(Stored(1, 1, "title.set", "object", None, body)).event == ev.TitleSet(title="T")


def test_every_event_is_frozen_and_says_its_type_and_family() -> None:
    families = {"token", "object", "status", "error", "system"}
    assert len({kind.model_fields["type"].default for kind in EVENT_TYPES}) == len(EVENT_TYPES)
    for event in every_event():
        assert event.family in families
        with pytest.raises(ValueError, match="frozen"):
            event.type = "other"
