"""Seeded storms over whole runs, as many seeds as fit two minutes of two cores; ``SEEDS=50000`` for the long tier,
also in parts: ``FIRST_SEED=25000 SEEDS=25000``.

Afterwards every run has exactly one terminal event and it is the last, its log is in the grammar, no completed model turn
was paid twice, no ``at_most_once`` tool ran twice, no budget was exceeded, and what readers saw is the log, byte for byte.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest

from runtime import failpoints
from tests.faults.report import record
from tests.simulation.storm import HTTP_POINTS, POINTS, play, play_many

CI_SEEDS = 1000
WORKERS = 2
SHARE = 25
"""Seeds a worker takes at a time."""

COMPLETED_FLOOR = 0.85
"""Least share of runs that reached their answer: a floor against passing by ending everything (JOURNAL.md 3, rule 5)."""


def seeds() -> list[int]:
    if "SEED" in os.environ:
        return [int(os.environ["SEED"])]
    first = int(os.environ.get("FIRST_SEED", "0"))
    return list(range(first, first + int(os.environ.get("SEEDS", CI_SEEDS))))


def survive(numbers: list[int]) -> None:
    """Play them in processes of their own, and hold the sums to their floors."""
    ends: Counter[str] = Counter()
    happened: Counter[str] = Counter()
    failures: list[str] = []
    events = segments = effects = 0
    shares = [numbers[n : n + SHARE] for n in range(0, len(numbers), SHARE)]
    with ProcessPoolExecutor(WORKERS, multiprocessing.get_context("spawn")) as pool:
        for total, failed in pool.map(play_many, shares):
            ends += total.ends
            happened += total.happened
            events, segments = events + total.events, segments + total.segments
            effects += total.effects
            failures += failed
    print(f"seeds {numbers[0]} to {numbers[-1]}: {len(failures)} failing")
    print(f"ends: {dict(ends)}; {events} events, {segments} reader segments, {effects} effects; {dict(happened)}")
    runs = ends.total()
    what = f"simulated storms, seeds {numbers[0]} to {numbers[-1]}"
    record(promise="P4, P5, P7, P9", what=what, n=len(numbers), violations=len(failures), seed=numbers[0])
    assert not failures, "\n\n".join(failures[:5])
    if len(numbers) >= 100:
        assert ends["run.completed"] > COMPLETED_FLOOR * runs, ends
        assert {f"lost at {point}" for point in POINTS} <= happened.keys(), "every failpoint was met"
        assert all(happened[f"{call} {when}"] for call in ("append", "claim", "renew") for when in ("before", "after"))
        assert happened["parked"] > 0
        assert all(happened[f"said: {what}"] for what in ("approve", "message", "cancel_stage"))
        assert effects > 0


@pytest.mark.timeout(6 * 3600)
def test_every_run_survives_the_storm_with_one_end_and_nothing_twice() -> None:
    survive(seeds())


@pytest.mark.parametrize("seed", [3, 17])
def test_the_same_seed_gives_the_same_logs(seed: int) -> None:
    assert play(seed) == play(seed)


def test_the_points_are_those_of_the_runtime() -> None:
    assert set(POINTS) | HTTP_POINTS == set(failpoints.POINTS)
