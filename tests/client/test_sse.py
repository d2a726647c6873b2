"""The decoder: what arrives does not depend on where the network cut it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.client.sse import Frame, SseDecoder

STREAM = (
    "retry: 2000\n: headrace\n\n"
    'id: 1.1\nevent: status\ndata: {"a":"grüße 🌊"}\n\n'
    ": ping\n\n"
    "id: 2.1\r\nevent: token\r\ndata: eins\r\ndata: zwei\r\n\r\n"
    "data:no space\rid: 3.1\r\r"
    "event: error\n\n"
    "data\n\n"
    "id: 4.1\nevent: status\ndata: never finished"
).encode()
FRAMES = [
    Frame("1.1", "status", '{"a":"grüße 🌊"}'),
    Frame("2.1", "token", "eins\nzwei"),
    Frame("3.1", "message", "no space"),
    Frame("3.1", "message", ""),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
@settings(max_examples=150, deadline=None)
def test_frames_are_the_same_however_the_bytes_are_cut(cuts: list[int]) -> None:
    decoder, frames, at = SseDecoder(), [], 0
    for cut in [*sorted(cuts), len(STREAM)]:
        frames += decoder.feed(STREAM[at:cut])
        at = cut
    assert frames == FRAMES
    assert decoder.retry_s == 2.0


def test_single_bytes_give_the_same_frames() -> None:
    decoder = SseDecoder()
    assert [f for i in range(len(STREAM)) for f in decoder.feed(STREAM[i : i + 1])] == FRAMES


def test_a_byte_order_mark_is_passed_over() -> None:
    assert SseDecoder().feed(b"\xef\xbb\xbfdata: x\n\n") == [Frame("", "message", "x")]


def test_an_id_with_nul_is_ignored_and_so_is_a_retry_that_is_no_number() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"id: a\0b\nretry: soon\ndata: x\n\n") == [Frame("", "message", "x")]
    assert decoder.retry_s is None
