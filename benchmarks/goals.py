"""Results: what was aimed at, what came out, whether it was met; as numbers, as JSON and as a Markdown table. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import orjson

__all__ = ["Result", "from_json", "median", "merged", "percentile", "ratio", "table", "to_json"]


@dataclass(frozen=True, slots=True)
class Result:
    """One goal and how it went."""

    goal: str
    """What is measured; the name under which results are compared over time."""
    target: str
    """``reported`` where there is none."""
    measured: str
    met: bool
    detail: dict[str, Any] = field(default_factory=dict)
    """Raw numbers, rounds, machine and date."""


def ratio(theirs: float, ours: float) -> float:
    """How many times as much ``theirs`` is; NaN when ours is nothing, which no measurement may claim."""
    return theirs / ours if ours > 0 else math.nan


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least ``share`` of all values do not exceed (nearest rank)."""
    if not values:
        raise ValueError("no values")
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def to_json(results: Sequence[Result]) -> bytes:
    """A list of objects with goal, target, measured, met and detail."""
    return orjson.dumps(list(results), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def from_json(data: bytes) -> list[Result]:
    """The results in a text of :func:`to_json`. Raises ``ValueError`` or ``TypeError`` for anything else."""
    return [Result(**entry) for entry in orjson.loads(data)]


def merged(old: Sequence[Result], new: Sequence[Result]) -> list[Result]:
    """``new`` in the place of what it measures anew; the rest of ``old`` stays, with its own machine and date."""
    fresh = {result.goal: result for result in new}
    kept = [fresh.pop(result.goal, result) for result in old]
    return [*kept, *fresh.values()]


def table(results: Sequence[Result], heading: str) -> str:
    """A Markdown table."""
    lines = [heading, "", "| goal | target | measured | met |", "|---|---|---|---|"]
    for result in results:
        met = "reported" if result.target == "reported" else "yes" if result.met else "**no**"
        cells = (result.goal, result.target, result.measured, met)
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"
