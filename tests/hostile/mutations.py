"""Valid requests with bytes changed; the same seed gives the same bytes."""

from __future__ import annotations

import random
from collections.abc import Iterator

from tests.hostile.case import CONVERSATION, ENDED, INPUT, RESUME, RUNS, WAITING
from tests.hostile.raw import post, request

JSON, SSE = ("Accept", "application/json"), ("Accept", "text/event-stream")

VALID = [
    request("GET", "/"),
    request("GET", "/readyz"),
    request("GET", "/v1/runs?limit=3", [JSON]),
    request("GET", f"/v1/runs/{ENDED}"),
    request("GET", f"/v1/runs/{ENDED}/events?after=2&limit=5", [JSON]),
    request("GET", f"/v1/runs/{ENDED}/events", [SSE, ("Last-Event-ID", "3.1")]),
    request("GET", f"/v1/conversations/{CONVERSATION}?limit=2"),
    request("GET", "/v1/tools"),
    post(f"/v1/runs/{WAITING}/cancel", b"{}"),
    post(RUNS, b'{"input":"Why?","metadata":{"k":"v"},"budget_usd":0.5,"grace_s":1.5}', ("Idempotency-Key", "key-1")),
    post(RUNS, b'{"input":"Wh\\u00fc?","conversation_id":"a-b_c","deadline_s":60}', SSE),
    post(RESUME, b'{"plan":{"todos":[{"id":"a","title":"T","agent":"writing","depends_on":[]}]}}'),
    post(INPUT, b'{"type":"message","text":"Keep it short.","stage":"write"}'),
    request("POST", RUNS, [("Content-Type", "application/json"), ("Transfer-Encoding", "chunked")])
    + b'8\r\n{"input"\r\n6\r\n:"Why?\r\n2\r\n"}\r\n0\r\n\r\n',
]

PIECES = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\x00",
    b"\xff",
    b"\xc3",
    b" ",
    b"\t",
    b":",
    b'"',
    b"\\",
    b"\\ud800",
    b"\\u0000",
    b"{",
    b"[",
    b"}",
    b"%00",
    b"%",
    b"/",
    b"..",
    b"9" * 20,
    b"-1",
    b"1e999",
    b"NaN",
    b"0",
    b";",
    b",",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
    "٣".encode(),
    "🏞".encode(),
]


def mutations(count: int, seed: int) -> Iterator[bytes]:
    """``count`` requests with one to four changes: a third anywhere, a third in the target, a third in the body, framed well."""
    luck = random.Random(seed)
    for number in range(count):
        raw = VALID[number % len(VALID)]
        head, _, body = raw.partition(b"\r\n\r\n")
        kind = luck.randrange(3)
        if kind == 1:
            method, target, rest = head.split(b" ", 2)
            yield b" ".join((method, _changed(target, luck).replace(b" ", b"+"), rest)) + b"\r\n\r\n" + body
        elif kind == 2 and b"Content-Length: " in head:
            body = _changed(body, luck)
            yield head.rpartition(b": ")[0] + b": %d\r\n\r\n" % len(body) + body
        else:
            yield _changed(raw, luck)


def _changed(whole: bytes, luck: random.Random) -> bytes:
    raw = bytearray(whole)
    for _ in range(luck.randint(1, 4)):
        _change(raw, luck)
    return bytes(raw)


def _change(raw: bytearray, luck: random.Random) -> None:
    at = luck.randrange(len(raw) + 1)
    end = min(len(raw), at + luck.choice((1, 1, 1, 2, 8, 40)))
    match luck.randrange(7):
        case 0:
            raw[at:end] = luck.randbytes(end - at)
        case 1:
            del raw[at:end]
        case 2:
            raw[at:at] = raw[at:end] * luck.choice((1, 1, 2, 200))
        case 3:
            raw[at:at] = luck.choice(PIECES)
        case 4:
            raw[at:end] = luck.choice(PIECES)
        case 5 if at < len(raw):
            raw[at] ^= 1 << luck.randrange(8)
        case _:
            other = luck.choice(VALID)
            start = luck.randrange(len(other))
            raw[at:at] = other[start : start + luck.randint(1, 60)]
