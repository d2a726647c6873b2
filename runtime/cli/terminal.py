"""Words of models, tools and documents on a terminal: made harmless, shortened, wrapped."""

from __future__ import annotations

import re
import textwrap

from rich.cells import cell_len, set_cell_size

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_ESCAPE = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|\x1b.")
_LEADING_MARK = re.compile(r"^\s*#{1,6}\s+", re.MULTILINE)


def safe(text: str) -> str:
    """``text`` without what a terminal would obey: a document must not move the cursor or recolour the screen."""
    return _CONTROL.sub("", _ESCAPE.sub("", text.replace("\r\n", "\n"))).expandtabs(4)


def one_line(text: str, width: int) -> str:
    """``text`` on one line of at most ``width`` cells."""
    flat = " ".join(safe(text[: width * 8]).split())
    return flat if cell_len(flat) <= width else set_cell_size(flat, max(0, width - 1)).rstrip() + "…"


def arguments(values: dict[str, object], width: int = 60) -> str:
    """A tool call's arguments, shortened: ``query="how is a run…", limit=5``."""
    shown = ", ".join(f"{name}={_value(value)}" for name, value in values.items())
    return one_line(shown, width)


def _value(value: object) -> str:
    if isinstance(value, str):
        return f'"{one_line(value, 40)}"'
    return one_line(str(value), 40)


def last_lines(text: str, width: int, count: int) -> list[str]:
    """The last ``count`` lines of ``text`` wrapped to ``width``: what a reader of a growing text looks at."""
    recent = safe(text[-width * (count + 2) :])
    lines: list[str] = []
    for paragraph in _LEADING_MARK.sub("", recent).splitlines():
        lines.extend(textwrap.wrap(paragraph, max(10, width)) or [""])
    while lines and not lines[-1]:
        lines.pop()
    return lines[-count:]


def counted(number: int, noun: str) -> str:
    """``1 tool call``, ``2 tool calls``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def seconds(value: float) -> str:
    """A duration for people: ``0.4 s``, ``12 s``, ``3 min 05 s``."""
    if value < 10:
        return f"{max(0.0, value):.1f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"
