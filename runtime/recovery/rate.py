"""How often recovery saves the day: the share of runs, and of stages, that met a failure and completed all the same.

Executors count with :func:`names_of` when a run or a stage has ended; their ``statistics()``, of all processes together,
are what :func:`recovery_rate` reads. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

What = Literal["runs", "stages"]

ANY = "any"
"""The kind that stands for all: at least one recovery, of whatever kind."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Of one kind of recovery."""

    ended: int
    """All that have ended, with a recovery or without."""
    met: int
    """Those of them that met at least one."""
    completed: int
    """Those of them that completed all the same."""

    @property
    def share(self) -> float:
        """Of all: how many would have failed and did not."""
        return self.completed / self.ended if self.ended else 0.0

    @property
    def success(self) -> float:
        """Of those that met one: how many completed."""
        return self.completed / self.met if self.met else 0.0


def names_of(what: What, kinds: Iterable[str], *, completed: bool) -> Iterator[str]:
    """What to count when a run or a stage has ended that met recoveries of these kinds."""
    yield f"{what}.ended"
    met = set(kinds)
    for kind in sorted(met | {ANY} if met else met):
        yield f"{what}.recovery_met.{kind}"
        if completed:
            yield f"{what}.recovery_completed.{kind}"


def recovery_rate(*counts: Mapping[str, int]) -> dict[What, dict[str, Rate]]:
    """The rates by kind, from the statistics of any number of processes."""
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return {what: dict(_rates(what, total)) for what in get_args(What)}


def _rates(what: What, total: Mapping[str, int]) -> Iterator[tuple[str, Rate]]:
    met = f"{what}.recovery_met."
    for name in sorted(name for name in total if name.startswith(met)):
        kind = name.removeprefix(met)
        completed = total.get(f"{what}.recovery_completed.{kind}", 0)
        yield kind, Rate(total.get(f"{what}.ended", 0), total[name], completed)
