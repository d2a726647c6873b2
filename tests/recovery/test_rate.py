"""How often recovery saved a run or a stage, from what processes counted."""

from __future__ import annotations

from collections.abc import Iterable

from runtime.recovery.rate import ANY, Rate, names_of, recovery_rate
from runtime.telemetry import Counts


def counted(*runs: tuple[Iterable[str], bool]) -> dict[str, int]:
    counts = Counts()
    for kinds, completed in runs:
        counts.add_all(names_of("runs", kinds, completed=completed))
    return counts.snapshot()


def test_a_rate_is_the_share_of_all_runs_that_met_a_recovery_and_completed() -> None:
    one = counted(([], True), ([], False), (["fell_back", "resumed:tool_call_limit"], True))
    other = counted((["fell_back"], False), ([], True), ([], True), ([], True), ([], True))
    rates = recovery_rate(one, other)["runs"]
    assert rates["fell_back"] == Rate(ended=8, met=2, completed=1)
    assert rates["resumed:tool_call_limit"] == Rate(8, 1, 1)
    assert rates[ANY] == Rate(8, 2, 1), "a run with two kinds is one run"
    assert (rates[ANY].share, rates[ANY].success) == (0.125, 0.5)


def test_without_any_recovery_there_are_no_rates_and_other_counters_do_not_matter() -> None:
    assert recovery_rate({"run.completed": 3, "recovery.fell_back": 1}, counted(([], True))) == {
        "runs": {},
        "stages": {},
    }
    assert Rate(0, 0, 0).share == Rate(0, 0, 0).success == 0.0
