"""A run's facts, held against counts made by hand from the same log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import orjson
import pytest

from runtime.events import catalog as ev
from runtime.events.codec import decode, micro_usd
from runtime.events.envelope import Envelope, Stored
from runtime.events.fold import fold_all
from runtime.events.messages import Usage
from runtime.events.plan import Plan, Todo
from runtime.statistics import COUNTED, Folding, RunFacts, facts_of
from tests.events.samples import envelope, every_event
from tests.golden.make_logs import LOGS, GoldenLog

FILES = tuple(sorted(path.stem for path in LOGS.glob("*.jsonl")))


def log_of(name: str) -> tuple[Stored, ...]:
    return GoldenLog.load(LOGS / f"{name}.jsonl").events


def folded(events: Sequence[Stored]) -> RunFacts:
    return facts_of(decode(stored) for stored in events)


def bodies(events: Sequence[Stored], kind: str) -> list[dict[str, Any]]:
    return [orjson.loads(stored.body) for stored in events if stored.type == kind]


@pytest.mark.parametrize("name", FILES)
def test_facts_agree_with_what_is_counted_in_the_log_by_hand(name: str) -> None:
    log = log_of(name)
    facts = folded(log)
    started, completed = bodies(log, "turn.started"), bodies(log, "turn.completed")
    assert Counter(call.model for call in facts.calls) == Counter(one["data"]["model"] for one in started)
    assert Counter(call.agent for call in facts.calls) == Counter(one["agent"] for one in started)
    ends = Counter(call.end for call in facts.calls)
    assert ends["completed"] == len(completed)
    assert ends["failed"] == len(bodies(log, "turn.failed"))
    given_up = ends["open"] + ends["withdrawn"]
    assert given_up == len(started) - len(completed) - ends["failed"] >= len(bodies(log, "turn.superseded"))
    assert not (facts.ended and ends["open"])
    for field in ("input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"):
        assert sum(getattr(call, field) for call in facts.calls) == sum(
            one["data"]["usage"][field] for one in completed
        )
    tools = Counter(tool.end for tool in facts.tools)
    answers = bodies(log, "tool.completed")
    assert tools["completed"] == sum(not one["data"]["is_error"] for one in answers)
    assert tools["failed"] + tools["refused"] == sum(one["data"]["is_error"] for one in answers)
    assert tools["unknown"] == len(bodies(log, "tool.outcome_unknown"))
    recoveries = Counter(stored.type for stored in log if stored.type.startswith("recovery."))
    assert sum(n for _, n in facts.recoveries) == recoveries.total()
    assert facts.owners == len(bodies(log, "run.started"))
    tokens = bodies(log, "turn.delta")
    assert facts.first_token_s == (tokens[0]["at"] - bodies(log, "run.accepted")[0]["at"] if tokens else None)


@pytest.mark.parametrize("name", FILES)
def test_what_a_run_cost_is_what_the_store_has_booked(name: str) -> None:
    golden = GoldenLog.load(LOGS / f"{name}.jsonl")
    facts = folded(golden.events)
    assert facts.state == golden.run["status"]
    assert sum(micro_usd(call.cost_usd) for call in facts.calls) == golden.run["spent"]


@pytest.mark.parametrize("name", FILES)
def test_facts_agree_with_the_run_as_everybody_else_folds_it(name: str) -> None:
    envelopes = [decode(stored) for stored in log_of(name)]
    state, facts = fold_all(envelopes), facts_of(envelopes)
    assert (facts.run_id, facts.state, facts.accepted_at) == (state.run_id, state.status, state.accepted_at)
    assert facts.ended == state.terminal
    assert dict(facts.recoveries) == state.recoveries
    assert facts.waited_s == state.paused_s
    assert facts.ended_at == (state.last_at if state.terminal else None)
    done = {stage.stage for stage in facts.stages if stage.end in ("completed", "carried")}
    assert done == {todo for todo, stage in state.stages.items() if stage.status == "completed"}
    for stage in facts.stages:
        assert stage.recoveries == tuple(sorted(state.stages[stage.stage].recoveries))


@pytest.mark.parametrize("name", FILES)
def test_only_the_counted_types_and_the_first_token_matter_and_a_fold_can_go_on(name: str) -> None:
    log = log_of(name)
    whole = folded(log)
    tokens = [stored.seq for stored in log if stored.family == "token"][1:]
    assert folded([s for s in log if s.type in COUNTED and s.seq not in tokens]) == whole
    folding = Folding()
    for stored in log:
        folding.add(decode(stored))
        folding.facts()
    assert folding.facts() == whole


def test_what_is_not_counted_changes_nothing() -> None:
    others = [event for event in every_event() if event.type not in COUNTED]
    assert others
    accepted = facts_of([envelope(ev.RunAccepted(input=ev.RunInput(question="?")), 1)])
    assert facts_of([envelope(ev.RunAccepted(input=ev.RunInput(question="?")), 1), *map(envelope, others)]) == accepted


STAGE = {"index": 1, "of": 1, "title": "A", "todo": "a"}


def a_run(*events: tuple[float, ev.Event] | tuple[float, ev.Event, dict[str, Any]]) -> RunFacts:
    """The facts of a run with these events at these seconds, in the stage ``a`` of ``research``."""
    planned = Plan(todos=(Todo(id="a", title="A", agent="research"),))
    placed = [
        (0.0, ev.RunAccepted(input=ev.RunInput(question="?"), conversation_id="c"), {}),
        (1.0, ev.RunStarted(epoch=1, owner="e", code_version="1"), {}),
        (2.0, ev.PlanCommitted(plan=planned), {}),
        *((at, event, more[0] if more else {}) for at, event, *more in events),
    ]
    inside = {"stage": "a", "agent": "research", "turn": 1, "attempt": 1}
    log = [
        Envelope(n, 1, "r", 1000.0 + at, event, **({} if event.type.startswith("run.") else {**inside, **more}))
        for n, (at, event, more) in enumerate(placed, 1)
    ]
    return facts_of(log)


def completed(**more: Any) -> ev.StageCompleted:
    return ev.StageCompleted(**STAGE, output="o", summary="s", context="c", **more)


def test_the_time_a_run_waited_for_people_counts_neither_for_it_nor_for_its_stage() -> None:
    facts = a_run(
        (3.0, ev.StageStarted(**STAGE)),
        (5.0, ev.RunWaiting(reason="asks", approvals=("a.1",))),
        (605.0, ev.RunStarted(epoch=2, owner="e", code_version="1")),
        (609.0, completed()),
        (610.0, ev.RunCompleted(answer="done")),
    )
    assert (facts.waited_s, facts.seconds, facts.owners) == (600.0, 10.0, 2)
    assert [stage.seconds for stage in facts.stages] == [6.0]


def test_a_run_that_ends_while_it_waits_has_waited_until_then() -> None:
    asked = ev.RunWaiting(reason="asks", approvals=("plan",))
    facts = a_run((3.0, asked), (103.0, ev.RunCancelled(reason="user")))
    assert (facts.state, facts.waited_s, facts.seconds) == ("cancelled", 100.0, 3.0)
    parked = a_run((3.0, ev.RunWaiting(reason="parked", until=1103.0)), (103.0, ev.RunCancelled(reason="user")))
    assert (parked.waited_s, parked.seconds) == (0.0, 103.0), "a model's pause is no person's"


def test_a_step_that_is_tried_again_takes_all_the_time_and_ends_once() -> None:
    failed = ev.StageFailed(todo="a", title="A", code="output_invalid", message="m", attempts=1, decision="retry")
    facts = a_run(
        (3.0, ev.StageStarted(**STAGE)),
        (4.0, failed),
        (5.0, ev.StageStarted(**STAGE)),
        (9.0, failed.model_copy(update={"decision": "continue"})),
    )
    (stage,) = facts.stages
    assert (stage.end, stage.seconds) == ("failed", 6.0)
    assert facts.errors == (("stage", "output_invalid"),) * 2


def test_what_was_carried_over_was_not_done_here() -> None:
    facts = a_run((3.0, completed(carried_from="r0")))
    assert [(stage.end, stage.seconds) for stage in facts.stages] == [("carried", None)]


def test_calls_are_told_apart_by_attempt_and_delegate_and_a_withdrawn_one_may_cost() -> None:
    started = ev.TurnStarted(model="m", request_hash="h")
    done = ev.TurnCompleted(content=(), stop_reason="end_turn", usage=Usage(output_tokens=5, cost_usd=0.5), model="m")
    facts = a_run(
        (3.0, started),
        (4.0, ev.TurnSuperseded(reason="overloaded", spent_cost_usd=0.25)),
        (5.0, started, {"attempt": 2}),
        (6.0, started, {"call": "1.x", "agent": "analysis"}),
        (7.5, done, {"attempt": 2}),
        (8.0, ev.TurnFailed(code="timeout", message="m", attempts=3), {"call": "1.x", "agent": "analysis"}),
    )
    told = [(call.agent, call.end, call.seconds, call.reason, call.cost_usd) for call in facts.calls]
    assert told == [
        ("research", "withdrawn", None, "overloaded", 0.25),
        ("research", "completed", 2.5, None, 0.5),
        ("analysis", "failed", None, "timeout", 0.0),
    ]
    assert facts.errors == (("model", "timeout"),)


def test_a_tool_that_was_never_called_was_refused_and_did_not_fail() -> None:
    def answered(call_id: str, **more: Any) -> ev.ToolCompleted:
        return ev.ToolCompleted(call_id=call_id, name="look", result="r", **more)

    facts = a_run(
        (3.0, ev.ToolCalled(call_id="1", name="look", arguments={})),
        (3.0, ev.ToolCalled(call_id="2", name="look", arguments={})),
        (3.0, ev.ToolCalled(call_id="3", name="look", arguments={})),
        (4.0, answered("1", ms=250)),
        (4.0, answered("2", ms=100, is_error=True)),
        (4.0, answered("4", is_error=True)),
        (4.0, ev.ToolArgumentsInvalid(call_id="5", name="look", message="m")),
        (4.0, ev.ToolOutcomeUnknown(call_id="6", name="look", known="k")),
    )
    told = [(tool.end, tool.seconds) for tool in facts.tools]
    assert told == [
        ("completed", 0.25), ("failed", 0.1), ("open", None), ("refused", None), ("invalid", None), ("unknown", None),
    ]  # fmt: skip
