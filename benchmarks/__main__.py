"""``python -m benchmarks``: run the parts, print the table, keep the results."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import first_byte, hub_path, idle, machine, planning, ready
from benchmarks.bench import QUICK, Bench, LoadFailed, Sizes
from benchmarks.goals import Result, from_json, merged, table, to_json
from benchmarks.progress import Progress, clock
from benchmarks.system import SystemFailed

FOLDER = Path(__file__).resolve().parent


class Part(NamedTuple):
    """A part of the suite."""

    words: str
    run: Callable[[Bench], list[Result]]
    estimate: Callable[[Sizes], float]


PARTS = {
    "idle": Part("memory and CPU of a system that does nothing", idle.run, idle.estimate),
    "first-byte": Part("time to the first SSE byte of a warm server", first_byte.run, first_byte.estimate),
    "planning": Part("planning phase against the sum of its three agents", planning.run, planning.estimate),
    "ready": Part("time until `headrace serve` is ready", ready.run, ready.estimate),
    "hub": Part("CPU per token against one Ray item per token", hub_path.run, hub_path.estimate),
}
"""In this order: what needs a quiet machine first."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run; 0 when everything could be measured and every stream was whole, whatever the numbers are."""
    given = _parse(arguments)
    sizes = QUICK if given.quick else Sizes()
    sizes = replace(sizes, rounds=given.rounds or sizes.rounds)
    names = [name for name in PARTS if name in (given.only or PARTS)]
    alone = names == ["ready"]  # beside others it finds its starts made
    expected = sum(PARTS[name].estimate(sizes) for name in names if alone or name != "ready")
    bench = Bench(sizes, Progress(expected))
    about = machine.describe()
    print(f"{machine.sentence(about)}\nparts: {', '.join(names)}; about {clock(expected)} minutes", file=sys.stderr)
    if machine.busy(about):
        print("other programs are using this machine: the numbers will not be worth much", file=sys.stderr)
    results, failed = _run(names, bench, about, quick=given.quick)
    _keep(results, about, quick=given.quick, folder=given.out)
    return 1 if failed or any(result.detail.get("problems") for result in results) else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    listed = "\n".join(f"  {name:<12}{part.words}" for name, part in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure Headrace on this machine, side by side with a naive version. The method: benchmarks/README.md.",
        epilog=f"parts:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="tiny sizes, under 4 minutes: does every part work?")
    parser.add_argument("--only", action="append", choices=list(PARTS), help="this part; may be repeated")
    parser.add_argument("--rounds", type=int, help="starts of each system in turn, for the part hub")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for latest.json and latest.md [benchmarks]")
    return parser.parse_args(arguments)


def _run(names: list[str], bench: Bench, about: dict[str, Any], *, quick: bool) -> tuple[list[Result], bool]:
    """The results of every part, and whether one could not be measured: that one is left out, and said."""
    results, failed = [], False
    for name in names:
        try:
            found = PARTS[name].run(bench)
        except (SystemFailed, LoadFailed, OSError, RuntimeError) as error:
            bench.progress.say(f"{name} could not be measured: {error}")
            failed = True
            found = [Result(f"{name}: {PARTS[name].words}", "measured", f"failed: {error}"[:300], False)]
        for result in found:
            bench.progress.say(f"{result.goal}: {result.measured} (target {result.target})")
            detail = {**result.detail, "machine": about, "quick": quick}
            results.append(replace(result, detail=detail))
    return results, failed


def _keep(results: list[Result], about: dict[str, Any], *, quick: bool, folder: Path) -> None:
    """Write JSON and Markdown; results of parts that were not run stay as they were, with their own machine and date."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ("latest-quick.json" if quick else "latest.json")
    old = from_json(path.read_bytes()) if path.exists() else []
    kept = merged([result for result in old if not result.measured.startswith("failed: ")], results)
    path.write_bytes(to_json(kept))
    words = (
        f"Measured on {machine.sentence(about)}{' (--quick: tiny sizes, only to see that it works)' if quick else ''}"
    )
    others = sorted({result.detail["machine"]["date"] for result in kept} - {about["date"]})
    if others:
        words += f"; some rows are of other runs ({', '.join(others)})"
    text = table(kept, words)
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    raise SystemExit(main())
