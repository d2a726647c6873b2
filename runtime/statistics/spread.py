"""Percentiles."""

from __future__ import annotations

from collections.abc import Iterable
from math import ceil

from runtime.statistics.report import Spread


def nearest_rank(ordered: list[float], share: float) -> float:
    """The smallest of the ``ordered`` values that ``share`` of them do not exceed."""
    return ordered[max(1, ceil(share * len(ordered))) - 1]


def spread_of(seconds: Iterable[float | None]) -> Spread | None:
    """The spread of those that are known; None when none is."""
    ordered = sorted(value for value in seconds if value is not None)
    if not ordered:
        return None
    p50, p95 = nearest_rank(ordered, 0.5), nearest_rank(ordered, 0.95)
    return Spread(count=len(ordered), p50_s=round(p50, 3), p95_s=round(p95, 3), max_s=round(ordered[-1], 3))
