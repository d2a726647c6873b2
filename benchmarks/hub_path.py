"""Goal 1: CPU per token on its way from an agent to the readers, against one Ray streaming item per token.

One system runs at a time, since an idle Ray cluster costs CPU too; the two take turns, and idle Ray is part of both sums.
"""

from __future__ import annotations

from typing import Any

from benchmarks.bench import START_S, STOP_S, Bench, Round, Sizes, round_detail
from benchmarks.goals import Result, median, ratio
from benchmarks.scripts import LONG, PACED, SHORT, Turn, script, turn
from benchmarks.system import System

FLAT_TARGET, PACED_TARGET = 20.0, 5.0
NAIVE_TOKENS_PER_S = 600
"""For the estimate of time only."""
OURS_TOKENS_PER_S = 15_000

Rounds = dict[str, list[Round]]
"""Load -> what each round of one system cost."""


def turns(sizes: Sizes) -> dict[str, Turn]:
    """The loads, by name. ``flat_long`` is ours alone: 2,000 tokens a stream would be over before they could be measured."""
    return {
        "paced": turn(PACED, round(sizes.paced_rate * sizes.paced_s), sizes.paced_rate),
        "flat": turn(SHORT, sizes.flat_tokens_naive, 0),
        "flat_long": turn(LONG, sizes.flat_tokens_ours, 0),
    }


def estimate(sizes: Sizes) -> float:
    """Seconds this part is expected to take."""
    return sizes.rounds * (2 * (START_S + STOP_S) + sum(_expected(sizes).values()))


def run(bench: Bench) -> list[Result]:
    """Measure; two goals."""
    sizes, loads = bench.sizes, turns(bench.sizes)
    text = script(tuple(loads.values()))
    ours: Rounds = {"flat": [], "paced": [], "flat_same_size": []}
    naive: Rounds = {"flat": [], "paced": []}
    for number in range(1, sizes.rounds + 1):
        with bench.ours(text) as system:
            _measure_ours(bench, system, loads, ours, number)
        with bench.naive(text) as system:
            _measure_naive(bench, system, loads, naive, number)
    flat = _result("CPU per token flat out, one Ray item per token against ours", FLAT_TARGET, "flat", ours, naive)
    words = f"CPU per token, {sizes.paced_streams} streams of {sizes.paced_rate:g} tokens/s, one Ray item per token against ours"
    return [flat, _result(words, PACED_TARGET, "paced", ours, naive)]


def _measure_ours(bench: Bench, system: System, loads: dict[str, Turn], into: Rounds, number: int) -> None:
    sizes, expected, which = bench.sizes, _expected(bench.sizes), f"round {number} of {bench.sizes.rounds}"
    bench.load(
        system, loads["flat"], 1
    )  # warm: what is imported and connected at the first request is not the path's cost
    with bench.progress.step(f"headrace flat out, {which}", expected["ours_flat"]):
        into["flat"].append(bench.load(system, loads["flat_long"], sizes.flat_streams))
    with bench.progress.step(f"headrace flat out in short runs, {which}", expected["ours_same_size"]):
        into["flat_same_size"].append(bench.load(system, loads["flat"], sizes.flat_streams, requests=4))
    with bench.progress.step(
        f"headrace {sizes.paced_streams} x {sizes.paced_rate:g}/s, {which}", expected["ours_paced"]
    ):
        into["paced"].append(bench.load(system, loads["paced"], sizes.paced_streams))


def _measure_naive(bench: Bench, system: System, loads: dict[str, Turn], into: Rounds, number: int) -> None:
    sizes, expected, which = bench.sizes, _expected(bench.sizes), f"round {number} of {bench.sizes.rounds}"
    bench.load(system, loads["flat"], 1)
    with bench.progress.step(f"naive flat out, {which}", expected["naive_flat"]):
        into["flat"].append(bench.load(system, loads["flat"], sizes.flat_streams))
    with bench.progress.step(f"naive {sizes.paced_streams} x {sizes.paced_rate:g}/s, {which}", expected["naive_paced"]):
        into["paced"].append(bench.load(system, loads["paced"], sizes.paced_streams))


def _expected(sizes: Sizes) -> dict[str, float]:
    paced_tokens = sizes.paced_streams * sizes.paced_rate * sizes.paced_s
    return {
        "ours_flat": sizes.flat_streams * sizes.flat_tokens_ours / OURS_TOKENS_PER_S + 2.0,
        "ours_same_size": 4 * sizes.flat_streams * sizes.flat_tokens_naive / OURS_TOKENS_PER_S + 2.0,
        "ours_paced": sizes.paced_s + 4.0,
        "naive_flat": sizes.flat_streams * sizes.flat_tokens_naive / NAIVE_TOKENS_PER_S + 2.0,
        "naive_paced": max(sizes.paced_s, paced_tokens / NAIVE_TOKENS_PER_S) + 2.0,
    }


def _result(goal: str, target: float, load: str, ours: Rounds, naive: Rounds) -> Result:
    mine = median(one.ms_per_1000_tokens for one in ours[load])
    theirs = median(one.ms_per_1000_tokens for one in naive[load])
    times = ratio(theirs, mine)
    wrong = sorted(
        {problem for rounds in (*ours.values(), *naive.values()) for one in rounds for problem in one.problems}
    )
    speeds = f"{_speed(naive[load]):,.0f} and {_speed(ours[load]):,.0f} tokens/s"
    measured = f"{times:.1f}× ({theirs:,.0f} and {mine:,.1f} ms per 1,000 tokens; {speeds})"
    if wrong:
        measured += "; **tokens were lost or out of order**"
    return Result(goal, f"≥ {target:g}×", measured, times >= target and not wrong, _detail(load, ours, naive, wrong))


def _speed(rounds: list[Round]) -> float:
    return float(median(one.load["tokens_per_s"] for one in rounds))


def _detail(load: str, ours: Rounds, naive: Rounds, wrong: list[str]) -> dict[str, Any]:
    detail: dict[str, Any] = {
        "problems": wrong,
        "ratio_by_round": [
            round(ratio(b.ms_per_1000_tokens, a.ms_per_1000_tokens), 2)
            for a, b in zip(ours[load], naive[load], strict=True)
        ],
        "ours": [round_detail(one) for one in ours[load]],
        "naive": [round_detail(one) for one in naive[load]],
    }
    if load == "flat":
        detail["ours_in_runs_of_the_naive_size"] = [round_detail(one) for one in ours["flat_same_size"]]
    return detail
