"""Goal 2: how soon a warm server answers a question: first byte of the stream, ``run.started``, first token.

Times run from just before the request is written to when the bytes are read, at the client. The first body byte is what a server
sends before any work (a comment), so the time holds the HTTP door, the checks and the durable creation of the run.
"""

from __future__ import annotations

import http.client
import time
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from benchmarks.bench import START_S, STOP_S, Bench, Sizes
from benchmarks.goals import Result, median, percentile
from benchmarks.scripts import SHORT, script, turn

TARGET_MS = 50.0
WARM_UP = 5
PAUSE_S = 0.05
"""Between two requests: the last run's end must not be the next one's delay."""
STARTED, TOKEN = b'"type":"run.started"', b"event: token\n"


@dataclass(frozen=True, slots=True)
class Times:
    """One request, in milliseconds from its beginning."""

    first_byte: float
    run_started: float
    first_token: float


def estimate(sizes: Sizes) -> float:
    """Seconds this part is expected to take."""
    return START_S + STOP_S + 2 * sizes.first_bytes * 0.3


def run(bench: Bench) -> list[Result]:
    """Measure on new connections (the goal) and on one that is kept (reported)."""
    count = bench.sizes.first_bytes
    with bench.ours(script((turn(SHORT, 20, 0),))) as system:
        with bench.progress.step(f"first byte, {count} new connections", count * 0.3):
            ask(system.port, WARM_UP, keep=False, bench=bench)
            fresh = ask(system.port, count, keep=False, bench=bench)
        with bench.progress.step(f"first byte, {count} requests on one connection", count * 0.3):
            kept = ask(system.port, count, keep=True, bench=bench)
    middle = median(one.first_byte for one in fresh)
    late = percentile([one.first_byte for one in fresh], 0.95)
    tokens = median(one.first_token for one in fresh)
    measured = (
        f"{middle:.1f} ms (p95 {late:.1f}; on a kept connection {median(one.first_byte for one in kept):.1f}; "
        f"first token after {tokens:.0f} ms)"
    )
    goal = f"Time to the first SSE byte, warm server, median of {count}"
    detail = {"new_connections": _numbers(fresh), "kept_connection": _numbers(kept)}
    return [Result(goal, f"< {TARGET_MS:g} ms", measured, middle < TARGET_MS, detail)]


def ask(port: int, count: int, *, keep: bool, bench: Bench) -> list[Times]:
    """``count`` requests one after the other, each read to its end."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    found = []
    for _ in range(count):
        if not keep:
            connection.close()  # it opens again by itself
        found.append(_one(connection))
        time.sleep(PAUSE_S)
        bench.progress.tick(f", {len(found)} of {count}")
    connection.close()
    return found


def _one(connection: http.client.HTTPConnection) -> Times:
    headers = {"Accept": "text/event-stream", "Content-Type": "application/json"}
    began = time.perf_counter()
    connection.request("POST", "/v1/runs", orjson.dumps({"input": SHORT}), headers)
    response = connection.getresponse()
    seen, when = b"", dict.fromkeys((b"", STARTED, TOKEN), 0.0)
    while piece := response.read1(1 << 16):
        now = (time.perf_counter() - began) * 1000
        seen += piece
        for mark, at in when.items():
            if not at and mark in seen:
                when[mark] = now
    if not all(when.values()):
        raise RuntimeError(f"the stream had no token: status {response.status}, {seen[:300]!r}")
    return Times(when[b""], when[STARTED], when[TOKEN])


def _numbers(times: list[Times]) -> dict[str, Any]:
    columns = {name: [asdict(one)[name] for one in times] for name in ("first_byte", "run_started", "first_token")}
    return {
        f"{name}_ms": {
            "median": round(median(values), 2),
            "p95": round(percentile(values, 0.95), 2),
            "max": round(max(values), 2),
            "all": [round(value, 2) for value in values],
        }
        for name, values in columns.items()
    }
