"""Counters and log lines, without a library behind them yet: a thin place for one."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable


def logger(name: str) -> logging.Logger:
    """The logger of one room: ``headrace.<name>``."""
    return logging.getLogger(f"headrace.{name}")


class Counts:
    """Counts by name, read as a plain dictionary: how often each kind of recovery happened, and the like."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, name: str, by: int = 1) -> None:
        self._counts[name] += by

    def add_all(self, names: Iterable[str]) -> None:
        """One more of each."""
        self._counts.update(names)

    def snapshot(self) -> dict[str, int]:
        return dict(self._counts)
