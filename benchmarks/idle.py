"""Goal 5: what a system costs that does nothing: resident memory in all and by process, and CPU."""

from __future__ import annotations

import time

from benchmarks.bench import START_S, STOP_S, Bench, Sizes
from benchmarks.cpu import LOOK_EVERY_S, Ledger, Memory, memory
from benchmarks.goals import Result
from benchmarks.scripts import SHORT, script, turn
from benchmarks.system import System

MIB = 2**20


def estimate(sizes: Sizes) -> float:
    """Seconds this part is expected to take."""
    return START_S + STOP_S + sizes.settle_s + sizes.idle_s


def run(bench: Bench) -> list[Result]:
    """Measure; nothing is aimed at yet."""
    with bench.ours(script((turn(SHORT, 20, 0),))) as system:
        with bench.progress.step("letting the idle system settle", bench.sizes.settle_s):
            _wait(bench, bench.sizes.settle_s)
        found = memory(system.processes())
        with bench.progress.step("CPU of the idle system", bench.sizes.idle_s):
            share, by_process = _cpu(bench, system)
    return [_memory_result(found), _cpu_result(share, by_process)]


def _memory_result(found: list[Memory]) -> Result:
    rss = sum(one.rss for one in found)
    known = [one.pss for one in found if one.pss is not None]
    shared = f"{sum(known) / MIB:,.0f} MiB PSS, " if len(known) == len(found) else ""
    measured = f"{shared}{rss / MIB:,.0f} MiB RSS in {len(found)} processes"
    by_process = [
        {
            "process": one.label,
            "rss_mib": round(one.rss / MIB, 1),
            "pss_mib": None if one.pss is None else round(one.pss / MIB, 1),
        }
        for one in found
    ]
    return Result("Resident memory of an idle system", "reported", measured, True, {"by_process": by_process})


def _cpu_result(share: float, by_process: dict[str, float]) -> Result:
    return Result(
        "CPU of an idle system", "reported", f"{share:.1%} of a core", True, {"percent_by_process": by_process}
    )


def _cpu(bench: Bench, system: System) -> tuple[float, dict[str, float]]:
    ledger, began = Ledger(system.processes), time.monotonic()
    _wait(bench, bench.sizes.idle_s)
    ledger.look()
    took = time.monotonic() - began
    return ledger.total() / took, {name: round(used / took * 100, 2) for name, used in ledger.by_label().items()}


def _wait(bench: Bench, seconds: float) -> None:
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        bench.progress.tick()
        time.sleep(min(LOOK_EVERY_S, left))
