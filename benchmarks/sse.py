"""What the load generator reads: counting while it comes, and the check that nothing is missing when it is over. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import orjson

TOKEN = b"\nevent: token\n"


class TokenCounter:
    """Counts token frames in pieces of a stream, wherever they were cut; one ``bytes.count`` a piece."""

    def __init__(self, mark: bytes = TOKEN) -> None:
        self._mark = mark
        self._rest = b""
        self.count = 0

    def feed(self, piece: bytes) -> int:
        """Take the next piece; the count so far."""
        text = self._rest + piece
        self.count += text.count(self._mark)
        self._rest = text[-(len(self._mark) - 1) :]  # too short to hold a whole mark: nothing is counted twice
        return self.count


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one stream held."""

    tokens: int
    frame_bytes: int
    """All token frames together, as sent."""
    problem: str | None
    """The first thing that is wrong with it; None when every token came, once and in order."""


def body_of(response: bytes) -> bytes:
    """The body of a whole HTTP/1.1 response, chunked or not. Raises ``ValueError`` when it is cut off."""
    head, found, rest = response.partition(b"\r\n\r\n")
    if not found:
        raise ValueError("the response has no end of its headers")
    if b"transfer-encoding: chunked" not in head.lower():
        return rest
    return b"".join(_chunks(rest))


def _chunks(rest: bytes) -> Iterator[bytes]:
    at = 0
    while True:
        end = rest.find(b"\r\n", at)
        if end < 0:
            raise ValueError("the response ends inside its chunks")
        size = int(rest[at:end].partition(b";")[0], 16)
        if size == 0:
            return
        yield rest[end + 2 : end + 2 + size]
        at = end + 2 + size + 2


def check(body: bytes, text: str) -> Verdict:
    """Hold a stream against what it must say: ``text`` in its tokens, ids 1, 2, 3 ... without a gap."""
    tokens = size = 0
    said: list[str] = []
    previous = 0
    problem: str | None = None
    for frame in body.split(b"\n\n"):
        name, number, data = _fields(frame)
        if number is None:
            continue  # a comment or the retry line
        if number != previous + 1 and problem is None:
            problem = f"id {number} follows {previous}"
        previous = number
        if name == b"token":
            tokens += 1
            size += len(frame) + 2
            said.append(orjson.loads(data)["data"]["text"])
    if problem is None and "".join(said) != text:
        problem = f"the tokens' text is not the script's ({len(''.join(said))} characters of {len(text)})"
    return Verdict(tokens, size, problem)


def _fields(frame: bytes) -> tuple[bytes, int | None, bytes]:
    name, number, data = b"", None, b""
    for line in frame.split(b"\n"):
        if line.startswith(b"id: "):
            number = int(line[4:].partition(b".")[0])
        elif line.startswith(b"event: "):
            name = line[7:]
        elif line.startswith(b"data: "):
            data = line[6:]
    return name, number, data
