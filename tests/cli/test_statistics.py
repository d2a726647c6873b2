"""``headrace stats`` prints what the server answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from runtime.cli.app import app
from runtime.generator.auth import operator
from runtime.statistics import DayCost, Report, RunFacts, RunUnderWay, Seen, Window, assemble
from runtime.statistics.facts import CallFacts, PlanningFacts, StageFacts, ToolFacts
from tests.client.raw_server import RUN_ID, RawServer

Serve = Callable[[RawServer], RawServer]
runner = CliRunner()
NOW = 1_700_000_000.0

DONE = RunFacts(
    RUN_ID, "talk", None, "completed", NOW - 100, NOW - 80,
    first_token_s=0.25,
    recoveries=(("resumed:tool_call_limit", 2), ("retrying:overloaded", 1)),
    stopped=True,
    planning=(PlanningFacts("planner", 0.5),),
    stages=(StageFacts("a", "research", "completed", 12.0, recoveries=("retrying:overloaded",)),),
    calls=(
        CallFacts("anthropic:m", "research", "withdrawn", None, "overloaded"),
        CallFacts("anthropic:m", "research", "completed", 3.5, None, 1200, 80, 0, 0, 0.0125),
    ),
    tools=(ToolFacts("look", "research", "failed", 0.75), ToolFacts("look", "research", "completed", 0.25)),
)  # fmt: skip
FAILED = replace(
    DONE, stopped=False, run_id="f" * 8, state="failed", errors=(("run", "overloaded"),), recoveries=(), stages=()
)
WAITING = RunUnderWay(
    run_id="w" * 8, tenant_id="other", state="waiting", question=None, conversation_id=None, created_at=NOW - 4000,
    deadline_at=NOW, last_event_at=NOW - 300, takeovers=0, cancel_requested=False, stages_ended=1, stages_begun=2,
    cost_usd=0.0,
)  # fmt: skip


def report(**changes: object) -> Report:
    options = {
        "complete": True,
        "everyone": True,
        "under_way": [("other", "waiting", 1)],
        "unfinished": [WAITING],
        "days": [DayCost(tenant_id="default", day="2023-11-14", spent_usd=0.025, reserved_usd=0.0)],
        **changes,
    }
    seen = [Seen("default", DONE), Seen("default", FAILED)]
    return assemble(seen, Window(NOW - 24 * 3600, NOW), **options)  # type: ignore[arg-type]


def served(serve_raw: Serve, found: Report, hours: int = 24) -> RawServer:
    return serve_raw(RawServer([], answers={f"GET /v1/statistics?hours={hours}": json.loads(found.model_dump_json())}))


def test_stats_prints_every_part_there_is_something_to_say_about(
    serve_raw: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    server = served(serve_raw, report())
    result = runner.invoke(app, ["stats", "--url", server.url])
    assert result.exit_code == 0, result.output
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    for line in (
        "2 runs accepted in the last 24 hours, all tenants",
        "1 completed, 1 failed, 0 expired, 0 cancelled, 0 unfinished; 50.0 % completed, 50.0 % in error",
        "of the completed, 1 ended early by a guardrail or a hook",
        "under way now: 0 running, 1 waiting, 0 accepted",
        "0 takeovers, 2 tool limits resumed, 0.0250 USD spent on models",
        "wwwwwwww waiting 66 min 40 s 5 min 00 s 1/2 (of tenant other)",
        "a completed run 1 20 s 20 s 20 s",
        "the first token 2 0.25 s 0.25 s 0.25 s",
        "a stage of research 1 12 s 12 s 12 s",
        "planning by planner 2 0.50 s 0.50 s 0.50 s",
        "resumed:tool_call_limit 1 1 50.0 % 100.0 %",
        "overloaded run 1 ffffffff",
        "anthropic:m 4 0 2 3.50 s 2,400 in, 160 out 0.0250 USD",
        "research 4 2,400 in, 160 out 0.0250 USD",
        "look 4 2 0 0 0.75 s",
        "talk 2 2,400 in, 160 out 0.0250 USD",
        "default 1 1 2,400 in, 160 out 0.0250 USD",
        "2023-11-14 default 0.0250 USD -",
    ):
        assert line in lines, f"{line!r} is not in\n{result.stdout}"


def test_stats_says_when_it_did_not_look_at_everything(serve_raw: Serve) -> None:
    server = served(serve_raw, report(complete=False), hours=1)
    result = runner.invoke(app, ["stats", "--url", server.url, "--hours", "1"])
    assert "only the newest 2 are looked at" in result.stdout


def test_stats_for_programs_is_the_servers_own_json(serve_raw: Serve) -> None:
    found = report()
    server = served(serve_raw, found, hours=7)
    result = runner.invoke(app, ["stats", "--url", server.url, "--hours", "7", "--json"])
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)
    assert Report.model_validate_json(result.stdout) == found


def test_stats_of_a_server_without_runs_has_no_empty_tables(serve_raw: Serve) -> None:
    nothing = assemble((), Window(0.0, NOW), complete=True, everyone=False, under_way=(), unfinished=(), days=())
    result = runner.invoke(app, ["stats", "--url", served(serve_raw, nothing).url])
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 4
    assert "0 runs accepted in the last 24 hours, this tenant" in result.stdout
    assert "nothing spent on models" in result.stdout


@pytest.mark.parametrize("hours", ["0", "169", "x"])
def test_stats_refuses_hours_that_are_none(hours: str) -> None:
    assert runner.invoke(app, ["stats", "--hours", hours]).exit_code == 2


def test_operator_of_a_server_is_shown_all_tenants(serve_raw: Serve, tmp_path: Path) -> None:
    server = served(serve_raw, report())
    operator.write(tmp_path, server.url, lambda size: b"s" * size)
    shown = runner.invoke(app, ["stats", "--data", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    assert "all tenants" in shown.output
    assert server.credentials[-1].startswith("Bearer hr_operator.")


def test_there_is_no_operator_where_no_server_runs(tmp_path: Path) -> None:
    shown = runner.invoke(app, ["stats", "--data", str(tmp_path)])
    assert shown.exit_code == 2
    assert "no server runs over" in shown.output
