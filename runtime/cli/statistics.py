"""``headrace stats``: the server's report as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.cli.screens import stdout_line
from runtime.cli.terminal import counted, one_line, seconds
from runtime.client import HeadraceClient
from runtime.errors import ConfigurationError
from runtime.generator.auth import operator

Row = dict[str, Any]
"""A part of the server's JSON; Any: as it came."""

WIDTH = 48
"""Cells of a name; the JSON has all of it."""


async def stats(*, url: str, hours: int, data: Path | None, json: bool) -> int:
    """Print the report; with ``data`` that of the server over this directory, as its operator. Raises HeadraceError."""
    key = None
    if data is not None:
        running = operator.read(data)
        if running is None:
            raise ConfigurationError(f"no server runs over {str(data)!r}")
        url, key = running
    async with HeadraceClient(url, api_key=key) as client:
        report = await client.statistics(hours=hours)
    if json:
        stdout_line(orjson.dumps(report).decode())
        return 0
    console = Console()
    for line in headline(report, hours):
        console.print(Text(line), soft_wrap=True)
    for table in tables(report):
        console.print()
        console.print(table)
    return 0


def headline(report: Row, hours: int) -> Iterator[str]:
    """What matters most, in words."""
    outcomes, rates, now = report["outcomes"], report["rates"], report["under_way"]
    whose = "all tenants" if report["scope"] == "all" else "this tenant"
    yield f"{counted(report['runs'], 'run')} accepted in the last {counted(hours, 'hour')}, {whose}"
    if not report["complete"]:
        yield f"only the newest {report['runs']} are looked at; there were more: ask for fewer hours"
    ends = (f"{outcomes[state]} {state}" for state in ("completed", "failed", "expired", "cancelled", "unfinished"))
    yield ", ".join(ends) + f"; {_percent(rates['completion'])} completed, {_percent(rates['error'])} in error"
    if outcomes["stopped"]:
        yield f"of the completed, {outcomes['stopped']} ended early by a guardrail or a hook"
    yield f"under way now: {now['running']} running, {now['waiting']} waiting, {now['accepted']} accepted"
    recovery = report["recovery"]
    yield (
        f"{counted(recovery['takeovers'], 'takeover')}, {counted(recovery['tool_limits'], 'tool limit')} resumed, "
        f"{_usd(report['total']['cost_usd'], nothing='nothing')} spent on models"
    )


def tables(report: Row) -> Iterator[Table]:
    """Everything there is something to say about."""
    now, recovery = report["under_way"]["runs"], report["recovery"]
    yield from _table(
        "under way", ("state", "age", "silent", "steps", "question"), (_run(r, report["at"]) for r in now)
    )
    yield from _table("time of", ("count", "p50", "p95", "longest"), _times(report["durations"]))
    for what in ("runs", "stages"):
        rows = (_rate(rate) for rate in recovery[what])
        yield from _table(f"recovery of {what}", ("kind", "met", "completed", "saved of all", "success"), rows)
    yield from _table("error", ("where", "times", "newest run"), map(_error, report["errors"]))
    yield from _table("model", ("calls", "failed", "withdrawn", "p95", "tokens", "cost"), map(_model, report["models"]))
    yield from _table("agent", ("calls", "tokens", "cost"), (_used(a, "agent", "calls") for a in report["agents"]))
    columns = ("calls", "failed", "unknown", "invalid", "p95")
    yield from _table("tool", columns, map(_tool, report["tools"]))
    rows = (_used(one, "conversation_id", "runs") for one in report["conversations"])
    yield from _table("conversation", ("runs", "tokens", "cost"), rows)
    if report["scope"] == "all":
        yield from _table("tenant", ("completed", "failed", "tokens", "cost"), map(_tenant, report["tenants"]))
    yield from _table("day", ("tenant", "spent", "held back"), map(_day, report["days"]))


def _table(first: str, others: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Table]:
    """One table, or none when it has no rows."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for name in (first, *others):
        grid.add_column(name, overflow="fold")
    for row in rows:
        grid.add_row(*(Text(one_line(cell, WIDTH)) for cell in row))
    if grid.row_count:
        yield grid


def _run(run: Row, now: float) -> Sequence[str]:
    last = run["last_event_at"]
    silent = "?" if last is None else seconds(now - last)
    steps = f"{run['stages_ended']}/{run['stages_begun']}"
    question = run["question"] if run["question"] is not None else f"(of tenant {run['tenant_id']})"
    return (run["run_id"], run["state"], seconds(now - run["created_at"]), silent, steps, question)


def _times(durations: Row) -> Iterator[Sequence[str]]:
    named = [("a completed run", durations["runs"]), ("the first token", durations["first_token"])]
    named += [(f"a stage of {one['agent']}", one["times"]) for one in durations["stages"]]
    named += [(f"planning by {one['agent']}", one["times"]) for one in durations["planning"]]
    for name, times in named:
        if times is not None:
            lasted = (_seconds(times[field]) for field in ("p50_s", "p95_s", "max_s"))
            yield (name, str(times["count"]), *lasted)


def _rate(rate: Row) -> Sequence[str]:
    return (rate["kind"], str(rate["met"]), str(rate["completed"]), _percent(rate["share"]), _percent(rate["success"]))


def _error(error: Row) -> Sequence[str]:
    return (error["code"], error["where"], str(error["count"]), error["last_run_id"])


def _model(model: Row) -> Sequence[str]:
    p95 = "-" if model["times"] is None else _seconds(model["times"]["p95_s"])
    counts = (str(model[field]) for field in ("calls", "failed", "withdrawn"))
    return (model["model"], *counts, p95, _tokens(model), _usd(model["cost_usd"]))


def _used(use: Row, name: str, number: str) -> Sequence[str]:
    return (use[name], str(use[number]), _tokens(use), _usd(use["cost_usd"]))


def _tool(tool: Row) -> Sequence[str]:
    p95 = "-" if tool["times"] is None else _seconds(tool["times"]["p95_s"])
    return (tool["name"], *(str(tool[field]) for field in ("calls", "failed", "unknown", "invalid")), p95)


def _tenant(tenant: Row) -> Sequence[str]:
    ends = (str(tenant[field]) for field in ("completed", "failed"))
    return (tenant["tenant_id"], *ends, _tokens(tenant), _usd(tenant["cost_usd"]))


def _day(day: Row) -> Sequence[str]:
    return (day["day"], day["tenant_id"], _usd(day["spent_usd"]), _usd(day["reserved_usd"]))


def _tokens(use: Row) -> str:
    read = use["input_tokens"] + use["cache_read_tokens"] + use["cache_write_tokens"]
    return f"{read:,} in, {use['output_tokens']:,} out"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _usd(amount: float, *, nothing: str = "-") -> str:
    return f"{amount:.4f} USD" if amount else nothing


def _seconds(value: float) -> str:
    return f"{value:.2f} s" if value < 10 else seconds(value)
