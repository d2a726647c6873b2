"""Goal 3: planner, titler and guardrail run side by side: the planning phase against the sum of their times.

Each of the three waits ``DELAY_S`` and answers. The phase is taken from the events' own times, from ``run.started`` to
``plan.committed``; it is held against the sum of the three delays, which is less than what the three really take.
"""

from __future__ import annotations

import http.client
from typing import Any

import orjson

from benchmarks.bench import START_S, STOP_S, Bench, Sizes
from benchmarks.goals import Result, median
from benchmarks.scripts import SHORT, script, turn

TARGET = 0.45
DELAY_S = 1.0
AGENTS = 3


def estimate(sizes: Sizes) -> float:
    """Seconds this part is expected to take."""
    return START_S + STOP_S + (sizes.plannings + 1) * (DELAY_S + 0.5)


def run(bench: Bench) -> list[Result]:
    """Measure; one goal."""
    count = bench.sizes.plannings
    runs = []
    with (
        bench.ours(script((turn(SHORT, 20, 0),), planning_delay_s=DELAY_S)) as system,
        bench.progress.step(f"planning, {count} runs", (count + 1) * (DELAY_S + 0.5)),
    ):
        _events(system.port)  # warm
        for number in range(count):
            runs.append(phase(_events(system.port)))
            bench.progress.tick(f", {number + 1} of {count}")
    share = median(one["phase_s"] for one in runs) / (AGENTS * DELAY_S)
    measured = f"{share:.1%} ({median(one['phase_s'] for one in runs):.2f} s of {AGENTS * DELAY_S:g} s)"
    goal = f"Planning phase with three agents of equal delay, share of their sum, median of {count}"
    return [Result(goal, f"≤ {TARGET:.0%}", measured, share <= TARGET, {"delay_s": DELAY_S, "runs": runs})]


def phase(events: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds from ``run.started`` to the plan, and to the last planning agent's end; and what the agents say they took."""
    started = _at(events, "run.started")
    done = [event for event in events if event["type"] == "agent.completed"]
    if len(done) != AGENTS:
        raise RuntimeError(f"{len(done)} of {AGENTS} planning agents completed")
    return {
        "phase_s": round(_at(events, "plan.committed") - started, 4),
        "last_agent_s": round(max(event["at"] for event in done) - started, 4),
        "agents_sum_s": round(sum(event["data"]["ms"] for event in done) / 1000, 4),
    }


def _at(events: list[dict[str, Any]], kind: str) -> float:
    return float(next(event["at"] for event in events if event["type"] == kind))


def _events(port: int) -> list[dict[str, Any]]:
    """All events of one run."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
    connection.request("POST", "/v1/runs", orjson.dumps({"input": SHORT}), headers)
    lines = connection.getresponse().read().split(b"\n")
    connection.close()
    return [orjson.loads(line[6:]) for line in lines if line.startswith(b"data: ")]
