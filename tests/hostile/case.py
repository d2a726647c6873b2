"""A case of the corpus: bytes, and what they must get."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.hostile.raw import post, request


@dataclass(frozen=True)
class Case:
    """``raw`` may name the ids of ``server.World``; ``expect``: statuses, 0 for a connection closed without an answer."""

    row: str
    """Of SECURITY.md, section 1."""
    name: str
    raw: bytes
    expect: frozenset[int]
    code: str = ""
    """Of the problem, where it is promised."""
    eof: bool = False
    closes: bool = False
    """The server must end the connection."""
    allow: bool = False
    """The answer must say what is allowed."""

    @property
    def id(self) -> str:
        return f"{self.row}: {self.name}"


def case(row: str, name: str, raw: bytes, *expect: int, code: str = "", **more: bool) -> Case:
    return Case(row, name, raw, frozenset(expect), code, **more)


ENDED, WAITING, CONVERSATION, BUSY, UPPER = (
    f"<{name}>".ljust(36, "_") for name in ("ended", "waiting", "conversation", "busy", "upper")
)
"""Stand for ids of ``server.World``, and are as long."""
HASH = "<hash>".ljust(64, "_")

RUNS, INPUT, RESUME = "/v1/runs", f"/v1/runs/{WAITING}/input", f"/v1/runs/{ENDED}/resume"
BODIES = {"create": RUNS, "input": INPUT, "resume": RESUME}
"""The operations that read a body."""


def bodies(row: str, named: Iterable[tuple[str, bytes]], *expect: int, code: str = "") -> list[Case]:
    """Each body, sent to each operation that reads one."""
    return [
        case(row, f"{name} to {where}", post(path, body), *expect, code=code)
        for name, body in named
        for where, path in BODIES.items()
    ]


def gets(row: str, paths: Iterable[tuple[str, str]], *expect: int, code: str = "") -> list[Case]:
    accept = [("Accept", "application/json")]
    return [case(row, name, request("GET", path, accept), *expect, code=code) for name, path in paths]
