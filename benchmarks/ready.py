"""Goal 4: how long ``headrace serve`` takes from its command to its word that it is ready.

All starts of this run count, those of other parts too; when there are too few, more are made. The breakdown is the time at which
each kind of process was created, counted from the command.
"""

from __future__ import annotations

import os

from benchmarks.bench import START_S, STOP_S, Bench, Sizes
from benchmarks.goals import Result, median
from benchmarks.scripts import SHORT, script, turn

TARGET_S = 30.0


def estimate(sizes: Sizes) -> float:
    """Seconds this part is expected to take when it has to make every start itself."""
    return sizes.starts * (START_S + STOP_S)


def run(bench: Bench) -> list[Result]:
    """Measure; one goal."""
    text = script((turn(SHORT, 20, 0),))
    while len(bench.starts) < bench.sizes.starts:
        with bench.ours(text):
            pass
    times = [start.ready_s for start in bench.starts]
    middle = median(times)
    measured = f"{middle:.1f} s (median of {len(times)} starts: {', '.join(f'{one:.1f}' for one in times)})"
    goal = f"`headrace serve` ready, {os.cpu_count()} cores"
    detail = {"starts_s": [round(one, 2) for one in times], "processes_created_after_s": bench.starts[-1].stages}
    return [Result(goal, f"≤ {TARGET_S:g} s", measured, middle <= TARGET_S, detail)]
