import json

import pytest

from runtime.events.catalog import TurnDelta
from runtime.events.codec import encode, parse_public
from runtime.events.envelope import Draft, Stored
from runtime.generator.problems import Refusal
from runtime.generator.sse import COME_BACK, HEARTBEAT, OPENING, START, Cursor, check_cursor, frame, read_cursor

RUN = "11111111-1111-4111-8111-111111111111"


def delta(text: str, *, seq: int = 7, epoch: int = 2) -> Stored:
    record = encode(Draft(TurnDelta(text=text), stage="s1", agent="writing", turn=1, attempt=1), RUN, 1.5)
    return Stored(seq, epoch, record.type, record.family, record.stage, record.body)


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        "two\nlines",
        "dos\r\nlines",
        "old\rmac",
        "data: not a field",
        "\n\nevent: error\nid: 999\ndata: {}\n\n",
        "id: 5",
        "\u2028 and \u2029",
        "emoji 🏞 and Ünïcode",
        'quotes " and \\',
        "\x85 next line \x0b \x0c",
        "",
    ],
)
def test_frame_is_four_lines_whatever_the_model_says(text: str) -> None:
    raw = frame(delta(text))
    lines = raw.split(b"\n")
    assert b"\r" not in raw
    assert lines[0] == b"id: 7.2"
    assert lines[1] == b"event: token"
    assert lines[2].startswith(b'data: {"seq":7,"epoch":2,')
    assert lines[3:] == [b"", b""]
    assert json.loads(lines[2].removeprefix(b"data: "))["data"]["text"] == text
    assert parse_public(lines[2].removeprefix(b"data: ")).event == TurnDelta(text=text)


def test_nul_and_surrogates_of_a_model_reach_the_client_as_replacement_characters() -> None:
    line = frame(delta("a\x00b\ud800c")).split(b"\n")[2]
    assert json.loads(line.removeprefix(b"data: "))["data"]["text"] == "a\ufffdb\ufffdc"


def test_constants_are_whole_blocks() -> None:
    assert OPENING.startswith(b"retry: 2000\n: headrace")
    for block in (OPENING, HEARTBEAT, COME_BACK):
        assert block.endswith(b"\n\n")
        assert block.count(b"\n\n") == 1


@pytest.mark.parametrize(
    ("text", "cursor"),
    [
        ("", START),
        ("0", START),
        ("0.0", START),
        ("0.3", START),
        ("1", Cursor(1)),
        ("17.1", Cursor(17, 1)),
        ("17.0", Cursor(17, 0)),
        ("999999999999999.999999999", Cursor(999999999999999, 999999999)),
    ],
)
def test_cursors_that_are_understood(text: str, cursor: Cursor) -> None:
    assert read_cursor([text], []) == cursor
    assert read_cursor([], [text]) == cursor


def test_no_cursor_is_the_start_and_the_header_wins() -> None:
    assert read_cursor([], []) == START
    assert read_cursor(["5.1"], ["9.1"]) == Cursor(5, 1)
    assert read_cursor(["5.1"], ["nonsense"]) == Cursor(5, 1)
    assert read_cursor([""], ["9.1"]) == START


@pytest.mark.parametrize(
    "text",
    ["-1", "+1", "1e9", "1.", ".1", "1.2.3", "1.5e3", "٣", "³", "9" * 400, "1\x00", "1\n", " 1", "1 ", "01", "0x1"]
    + ["nan", "inf", "None", "1.-1", "1_000", "1,5", "' OR 1=1--", "1.0000000001", "1.01", "x" * 3000],
)
def test_anything_else_is_an_invalid_cursor(text: str) -> None:
    for headers, queries in (([text], []), ([], [text])):
        with pytest.raises(Refusal) as caught:
            read_cursor(headers, queries)
        assert (caught.value.status, caught.value.code) == (400, "invalid_cursor")


def test_two_cursors_of_a_kind_are_invalid() -> None:
    for headers, queries in ((["1", "1"], []), ([], ["1", "2"])):
        with pytest.raises(Refusal) as caught:
            read_cursor(headers, queries)
        assert caught.value.code == "invalid_cursor"


def test_cursor_is_held_against_the_log() -> None:
    check_cursor(START, None, 0)
    check_cursor(Cursor(7), delta("x"), 9)
    check_cursor(Cursor(7, 2), delta("x"), 9)
    check_cursor(Cursor(6, 1), delta("x"), 9)  # event 6 is no more; nothing to compare with
    with pytest.raises(Refusal) as mismatch:
        check_cursor(Cursor(7, 1), delta("x"), 9)
    assert (mismatch.value.status, mismatch.value.code) == (409, "cursor_mismatch")
    with pytest.raises(Refusal) as ahead:
        check_cursor(Cursor(12, 1), None, 9)
    assert (ahead.value.status, ahead.value.code, ahead.value.head) == (409, "cursor_ahead", 9)
