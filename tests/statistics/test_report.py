"""Many runs' facts put together, held against figures worked out by hand and against what the executors count themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import pytest

from runtime.events import catalog as ev
from runtime.events.codec import decode
from runtime.events.envelope import Envelope
from runtime.recovery.rate import Rate, What, recovery_rate
from runtime.statistics import DayCost, Report, RunFacts, Seen, Window, assemble, facts_of
from runtime.statistics.counting import OTHER, recoveries
from runtime.statistics.facts import CallFacts, StageEnd, StageFacts, ToolFacts
from runtime.statistics.report import Recoveries
from runtime.statistics.spread import spread_of
from tests.golden.scenarios import SCENARIOS
from tests.rig import Rig
from tests.virtual_time import virtual_time

WINDOW = Window(0.0, 24 * 3600.0)


def run(name: str, state: str = "completed", at: float = 60.0, lasted: float = 1.0, **more: object) -> RunFacts:
    ended = None if state in ("accepted", "running", "waiting") else at + lasted
    return replace(RunFacts(name, None, None, state, at, ended), **more)  # type: ignore[arg-type]


def report(*runs: RunFacts | Seen, **more: object) -> Report:
    seen = [one if isinstance(one, Seen) else Seen("t", one) for one in runs]
    options = {"complete": True, "everyone": False, "under_way": (), "unfinished": (), "days": (), **more}
    return assemble(seen, WINDOW, **options)  # type: ignore[arg-type]


def test_nothing_to_report_is_a_report_without_rates() -> None:
    empty = report()
    assert (empty.runs, empty.outcomes.ended, empty.rates.completion, empty.rates.error) == (0, 0, 0.0, 0.0)
    assert (empty.durations.runs, empty.durations.first_token, empty.models, empty.errors) == (None, None, [], [])
    assert len(empty.over_time) == 24
    assert Report.model_validate_json(empty.model_dump_json()) == empty


def test_outcomes_are_counted_and_rates_are_of_those_that_have_ended() -> None:
    states = ["completed"] * 5 + ["failed", "failed", "expired", "cancelled", "cancelled", "running", "waiting"]
    runs = [run(str(n), state) for n, state in enumerate(states)]
    runs[0] = replace(runs[0], stopped=True)
    found = report(*runs)
    assert found.outcomes.model_dump() == {
        "completed": 5, "failed": 2, "cancelled": 2, "expired": 1, "unfinished": 2, "stopped": 1,
    }  # fmt: skip
    assert found.rates.model_dump() == {"completion": 0.5, "error": 0.3, "cancellation": 0.2}


def test_each_run_is_in_the_part_of_the_window_it_was_accepted_in() -> None:
    found = report(
        run("a", at=0.0),
        run("b", at=3599.9, state="failed"),
        run("c", at=3600.0),
        run("d", at=24 * 3600.0),
        run("e", at=24 * 3600.0 + 5),
    )
    slots = {n: slot.completed + slot.failed for n, slot in enumerate(found.over_time) if slot.ended}
    assert slots == {0: 2, 1: 1, 23: 2}, "a publisher's clock that is ahead does not lose the run"
    assert (found.over_time[1].begins_at, found.over_time[0].failed) == (3600.0, 1)


@pytest.mark.parametrize(
    ("values", "p50", "p95"),
    [
        ([3.0], 3.0, 3.0),
        ([2.0, 1.0], 1.0, 2.0),
        ([float(n) for n in range(1, 101)], 50.0, 95.0),
        ([float(n) for n in range(1, 21)], 10.0, 19.0),
    ],
)
def test_percentiles_are_the_nearest_rank(values: list[float], p50: float, p95: float) -> None:
    found = spread_of([None, *values])
    assert found is not None
    assert (found.count, found.p50_s, found.p95_s, found.max_s) == (len(values), p50, p95, max(values))
    assert sum(value <= found.p95_s for value in values) >= 0.95 * len(values)


def test_durations_are_of_what_completed() -> None:
    stages = (
        StageFacts("a", "research", "completed", 2.0),
        StageFacts("b", "research", "completed", 4.0),
        StageFacts("c", "writing", "failed", 90.0),
        StageFacts("d", "writing", "carried"),
    )
    found = report(
        run("a", lasted=10.0, first_token_s=0.5, stages=stages),
        run("b", "failed", lasted=99.0, first_token_s=1.5),
        run("c", "running", first_token_s=2.5),
        run("d", lasted=30.0, waited_s=25.0),
    ).durations
    assert found.runs is not None
    assert found.first_token is not None
    assert (found.runs.count, found.runs.p50_s, found.runs.max_s) == (2, 5.0, 10.0)
    assert (found.first_token.count, found.first_token.p50_s) == (3, 1.5)
    assert [(one.agent, one.times.count, one.times.max_s) for one in found.stages] == [("research", 2, 4.0)]


def test_cost_is_told_by_model_agent_conversation_and_tenant_and_adds_up() -> None:
    def call(model: str, agent: str, cost: float, tokens: int, **more: object) -> CallFacts:
        return CallFacts(model, agent, "completed", 1.0, None, tokens, 1, 0, 0, cost, **more)  # type: ignore[arg-type]

    runs = [
        Seen(
            "t1",
            run("a", conversation_id="c1", calls=(call("m1", "research", 0.5, 10), call("m2", "writing", 0.25, 7))),
        ),
        Seen("t1", run("b", conversation_id="c1", calls=(call("m1", "writing", 1.0, 10),))),
        Seen("t2", run("c", conversation_id="c2", calls=(call("m1", "research", 4.0, 10),))),
        Seen("t2", run("d", "failed")),
    ]
    found = report(*runs, everyone=True, under_way=[("t3", "running", 2)])
    assert [(m.model, m.calls, m.cost_usd, m.input_tokens) for m in found.models] == [
        ("m1", 3, 5.5, 30), ("m2", 1, 0.25, 7),
    ]  # fmt: skip
    assert [(a.agent, a.calls, a.cost_usd) for a in found.agents] == [("research", 2, 4.5), ("writing", 2, 1.25)]
    assert [(c.conversation_id, c.runs, c.cost_usd) for c in found.conversations] == [("c2", 1, 4.0), ("c1", 2, 1.75)]
    assert [(t.tenant_id, t.completed, t.failed, t.cost_usd, t.under_way) for t in found.tenants] == [
        ("t2", 1, 1, 4.0, 0), ("t1", 2, 0, 1.75, 0), ("t3", 0, 0, 0.0, 2),
    ]  # fmt: skip
    for parts in (found.models, found.agents, found.conversations, found.tenants):
        assert sum(part.cost_usd for part in parts) == found.total.cost_usd == 5.75
        assert sum(part.input_tokens + part.output_tokens for part in parts) == 37 + 4
    assert (found.scope, found.under_way.running) == ("all", 2)


def test_calls_that_failed_are_told_with_their_reasons() -> None:
    calls = (
        CallFacts("m", "a", "completed", 3.0),
        CallFacts("m", "a", "withdrawn", None, "overloaded", cost_usd=0.125),
        CallFacts("m", "a", "withdrawn", None, "overloaded"),
        CallFacts("m", "a", "failed", None, "timeout"),
        CallFacts("m", "a", "open"),
    )
    (model,) = report(run("a", calls=calls)).models
    assert (model.calls, model.completed, model.failed, model.withdrawn) == (5, 1, 1, 2)
    assert [(one.reason, one.count) for one in model.reasons] == [("overloaded", 2), ("timeout", 1)]
    assert (model.times and model.times.count, model.cost_usd) == (1, 0.125)


def test_tools_that_fail_come_first_and_hidden_ones_are_counted_without_their_names() -> None:
    def calls(name: str, *ends: str) -> tuple[ToolFacts, ...]:
        return tuple(ToolFacts(name, "a", end, 1.0 if end == "completed" else None) for end in ends)  # type: ignore[arg-type]

    tools = calls("good", *["completed"] * 9) + calls("bad", "failed", "unknown", "completed", "invalid", "refused")
    secret = calls("secret", "failed") + calls("hidden", "completed")
    found = report(run("a", tools=tools), run("b", tools=secret), shown_tools={"good", "bad"}).tools
    told = [(t.name, t.calls, t.failed, t.unknown, t.invalid, t.refused) for t in found]
    assert told == [("bad", 3, 1, 1, 1, 1), (OTHER, 2, 1, 0, 0, 0), ("good", 9, 0, 0, 0, 0)]
    everything = report(run("a", tools=tools), run("b", tools=secret), shown_tools=None).tools
    assert {t.name for t in everything} == {"good", "bad", "secret", "hidden"}


def test_errors_are_told_with_the_newest_run_they_happened_in() -> None:
    newest_first = [
        run("new", "failed", errors=(("run", "overloaded"), ("model", "overloaded"))),
        run("middle", "failed", errors=(("run", "overloaded"),)),
        run("old", errors=(("stage", "tool_failed"), ("stage", "tool_failed"), ("stage", "tool_failed"))),
    ]
    found = [(e.where, e.code, e.count, e.last_run_id) for e in report(*newest_first).errors]
    assert found == [
        ("stage", "tool_failed", 3, "old"), ("run", "overloaded", 2, "new"), ("model", "overloaded", 1, "new"),
    ]  # fmt: skip


def test_days_are_passed_on_and_an_incomplete_report_says_so() -> None:
    day = DayCost(tenant_id="t", day="2026-10-05", spent_usd=1.0, reserved_usd=0.5)
    found = report(days=[day], complete=False)
    assert (found.days, found.complete) == ([day], False)


def test_only_what_has_ended_counts_for_a_recovery_rate() -> None:
    def stage(end: StageEnd, *kinds: str) -> StageFacts:
        return StageFacts("a", "research", end, recoveries=kinds)

    met = (("fell_back", 1),)
    found = report(
        run("a", stages=(stage("completed", "fell_back"), stage("carried"), stage("skipped")), recoveries=met),
        run("b", "failed", stages=(stage("failed", "fell_back"), stage("completed"))),
        run("c", "running", stages=(stage("running", "fell_back"),), recoveries=met),
    ).recovery
    told = {rate.kind: (rate.ended, rate.met, rate.completed, rate.share, rate.success) for rate in found.stages}
    assert told["fell_back"] == told["any"] == (3, 2, 1, 1 / 3, 0.5)
    assert {rate.kind: (rate.ended, rate.met, rate.completed) for rate in found.runs}["fell_back"] == (2, 1, 1)
    assert [(one.kind, one.count) for one in found.happened] == [("fell_back", 2)], "it happened all the same"


@dataclass
class Played:
    """What came of a scenario: what we make of its log, what the executors counted, the log itself."""

    ours: Recoveries
    theirs: dict[What, dict[str, Rate]]
    log: list[Envelope]


def played(name: str) -> Played:
    found: list[Played] = []

    @virtual_time
    async def play() -> None:
        scenario = SCENARIOS[name]
        rig: Rig = scenario.rig()
        await rig.put_hub()
        await rig.put_process()
        try:
            await scenario.play(rig)
            runs = await rig.truth.recent(tenant_id="default", limit=100)
            logs = [[decode(stored) for stored in await rig.events(one.run_id)] for one in runs]
            theirs = recovery_rate(*(one.statistics() for one in rig.executors))
            found.append(Played(recoveries([facts_of(log) for log in logs]), theirs, [e for log in logs for e in log]))
        finally:
            await rig.close()

    play()
    return found[0]


@pytest.mark.parametrize("name", [name for name, one in SCENARIOS.items() if one.finished])
def test_recovery_rates_are_those_the_executors_count(name: str) -> None:
    scene = played(name)
    ours = {rate.kind: (rate.met, rate.completed, rate.ended) for rate in scene.ours.runs}
    assert ours == {kind: (r.met, r.completed, r.ended) for kind, r in scene.theirs["runs"].items()}
    stages = {rate.kind: (rate.met, rate.completed) for rate in scene.ours.stages}
    assert stages == {kind: (r.met, r.completed) for kind, r in scene.theirs["stages"].items()}
    if not name.startswith("takeover"):  # what the lost executor has counted is lost with it
        ended = {rate.kind: rate.ended for rate in scene.ours.stages}
        assert ended == {kind: r.ended for kind, r in scene.theirs["stages"].items()}
    resumed = Counter(e.event.reason for e in scene.log if isinstance(e.event, ev.RecoveryResumed))
    assert scene.ours.tool_limits == resumed["tool_call_limit"]
    assert scene.ours.takeovers == resumed["takeover"]
    if name in ("tool_call_limit", "takeover", "takeover_tool_unknown"):
        assert ours["any"] == (1, 1, 1)
