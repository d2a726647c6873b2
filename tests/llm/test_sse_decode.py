"""The decoder gives the same events however the bytes are cut."""

from __future__ import annotations

import pytest

from runtime.errors import ModelProtocolError
from runtime.llm.sse_decode import ServerSentEvent, SseDecoder

STREAM = (
    "event: ping\ndata: {}\n\n: comment\nevent: a\ndata: höhe 🌊 日本\ndata: second\nid: 7\n\ndata:no space\n\n"
).encode()
EVENTS = [
    ServerSentEvent("ping", b"{}"),
    ServerSentEvent("a", "höhe 🌊 日本\nsecond".encode()),
    ServerSentEvent("", b"no space"),
]


def decode(*pieces: bytes, bound: int = 1000) -> list[ServerSentEvent]:
    decoder = SseDecoder(bound)
    return [event for piece in pieces for event in decoder.feed(piece)]


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_events_are_the_same_wherever_the_bytes_are_cut(line_end: bytes) -> None:
    stream = STREAM.replace(b"\n", line_end)
    assert decode(stream) == EVENTS
    assert decode(*(stream[i : i + 1] for i in range(len(stream)))) == EVENTS
    for cut in range(len(stream)):
        assert decode(stream[:cut], stream[cut:]) == EVENTS


def test_a_byte_order_mark_is_skipped() -> None:
    assert decode(b"\xef\xbb\xbfdata: x\n\n") == [ServerSentEvent("", b"x")]


def test_an_event_without_its_blank_line_is_none() -> None:
    assert decode(b"event: a\ndata: x\n") == []


def test_an_event_without_data_is_none_and_its_name_does_not_stick() -> None:
    assert decode(b"event: a\n\ndata: x\n\n") == [ServerSentEvent("", b"x")]


def test_a_line_that_never_ends_is_refused() -> None:
    with pytest.raises(ModelProtocolError, match="1000 bytes"):
        decode(b"data: " + b"x" * 600, b"x" * 600)


def test_an_event_of_endless_lines_is_refused() -> None:
    with pytest.raises(ModelProtocolError, match="1000 bytes"):
        decode(*[b"data: " + b"x" * 100 + b"\n"] * 20)
