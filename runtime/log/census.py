"""What a store knows of its runs without their events: how many are under way, which are new, what each day has cost.

One question for those who look after the system (``GET /v1/statistics``); ``tenant_id`` None asks about all tenants, and
whoever asks that must be allowed to. Every part has a bound, so the question costs the same however long the log is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from runtime.log.log import TERMINAL, Run, Status

UNFINISHED: Final = 200
"""Runs under way that are listed; all of them are counted."""

DAYS: Final = 1000
"""Sums of days that are listed, the newest first."""

DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class UnderWay:
    """How many runs of a tenant stand somewhere."""

    tenant_id: str
    status: Status
    runs: int


@dataclass(frozen=True, slots=True)
class DaySum:
    """What a tenant's runs created on a day (UTC) have cost, in millionths of a US dollar."""

    tenant_id: str
    day: int
    """Days since 1970."""
    reserved: int
    """Held back for model calls under way."""
    spent: int


@dataclass(frozen=True, slots=True)
class Census:
    """The answer, as of one moment."""

    under_way: tuple[UnderWay, ...]
    """By tenant and status."""
    unfinished: tuple[Run, ...]
    """The oldest first, ``UNFINISHED`` at most."""
    newest: tuple[Run, ...]
    """Of the newest runs, as many as asked for, those created since then; the newest first."""
    days: tuple[DaySum, ...]
    """Since then, the newest and then the dearest first, ``DAYS`` at most; those without any cost are left out."""


def census_of(
    runs: Iterable[Run],
    days: Mapping[tuple[str, int], tuple[int, int]],
    *,
    tenant_id: str | None,
    since: float,
    limit: int,
) -> Census:
    """The census of a store that holds all in memory: runs in order of creation, (reserved, spent) by tenant and day."""
    asked = [run for run in runs if tenant_id in (None, run.tenant_id)]
    unfinished = [run for run in asked if run.status not in TERMINAL]
    counted = Counter((run.tenant_id, run.status) for run in unfinished)
    sums = [
        DaySum(tenant, day, *money)
        for (tenant, day), money in days.items()
        if tenant_id in (None, tenant) and day >= since // DAY_S and any(money)
    ]
    return Census(
        under_way=tuple(UnderWay(tenant, status, n) for (tenant, status), n in sorted(counted.items())),
        unfinished=tuple(unfinished[:UNFINISHED]),
        newest=tuple(run for run in asked[::-1][: max(limit, 0)] if run.created_at >= since),
        days=tuple(sorted(sums, key=lambda one: (-one.day, -one.spent, one.tenant_id))[:DAYS]),
    )
