"""The state of a run is what its log says: each event's mark on it, and none of events it does not know."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from runtime.events import catalog as ev
from runtime.events.codec import decode, encode
from runtime.events.envelope import Draft, Envelope, Stored
from runtime.events.fold import TERMINAL, RunState, fold, fold_all
from runtime.events.messages import TextBlock, Usage
from runtime.events.plan import Plan, Todo
from tests.events.samples import EVENT_TYPES, by_type, envelope, every_event, numbered, sample

PLAN = Plan(
    todos=(
        Todo(id="one", title="Find", agent="research"),
        Todo(id="two", title="Write", agent="writing", depends_on=("one",)),
    )
)


def in_stage(event: Any, stage: str = "one", **more: Any) -> Envelope:
    return envelope(event, stage=stage, agent="research", **more)


def completed(text: str, turn_usage: Usage = Usage()) -> ev.TurnCompleted:  # noqa: B008  # frozen
    return ev.TurnCompleted(content=(TextBlock(text=text),), stop_reason="end_turn", usage=turn_usage, model="m")


def stage_done(output: str, **more: Any) -> ev.StageCompleted:
    base = {"index": 1, "of": 2, "title": "Find", "todo": "one", "summary": "s", "context": output}
    return ev.StageCompleted(**{**base, "output": output, **more})


def stage_failed(decision: str) -> ev.StageFailed:
    return ev.StageFailed(
        todo="one",
        title="Find",
        code="overloaded",
        message="m",
        attempts=1,
        decision=decision,  # type: ignore[arg-type]
    )


def planned(*more: Any) -> RunState:
    accepted = ev.RunAccepted(input=ev.RunInput(question="Why?"))
    started = ev.RunStarted(epoch=1, owner="e", code_version="1", models={"research": "scripted:x"})
    return fold_all(numbered(envelope(accepted, epoch=0), started, ev.PlanCommitted(plan=PLAN), *more))


def test_a_whole_run_folds_to_what_happened() -> None:
    usage = Usage(input_tokens=3, output_tokens=2, cost_usd=0.5)
    state = planned(
        envelope(ev.AgentStarted(model="m"), agent="titler"),
        ev.TitleSet(title="Sky"),
        envelope(ev.AgentCompleted(ms=12), agent="titler"),
        in_stage(ev.StageDispatched(dispatch=1, lease_s=9)),
        in_stage(ev.StageStarted(index=1, of=2, title="Find", todo="one")),
        in_stage(ev.TurnStarted(model="m", request_hash="h"), turn=1, attempt=1),
        in_stage(completed("Blue [1].", usage), turn=1, attempt=1),
        in_stage(ev.CitationAdded(source_id="1", title="t", location="a.md:1", quote="q")),
        in_stage(stage_done("Blue [1].")),
        in_stage(ev.StageSkipped(todo="two", title="Write", reason="enough"), stage="two"),
        ev.RunCompleted(answer="Blue."),
    )
    assert (state.status, state.terminal, state.title) == ("completed", True, "Sky")
    assert (state.usage, state.models) == (usage, {"research": "scripted:x"})
    assert (state.run_id, state.last_seq, state.last_at, state.accepted_at) == ("run", 14, 1014.0, 1001.0)
    assert (state.agents["titler"].status, state.agents["titler"].ms, state.agents["titler"].model) == (
        "completed",
        12,
        "m",
    )
    one, two = state.stages["one"], state.stages["two"]
    assert (one.status, one.dispatch, one.transcript.text()) == ("completed", 1, "Blue [1].")
    assert [c.location for c in one.citations] == ["a.md:1"]
    assert two.status == "skipped"
    assert state.outputs() == (ev.StageOutput(stage="one", title="Find", agent="research", text="Blue [1]."),)


@pytest.mark.parametrize("event", every_event(), ids=by_type)
def test_every_event_folds_over_every_state_and_changes_no_earlier_one(event: Any) -> None:
    for before in (RunState(), planned(), planned(in_stage(stage_done("x")))):
        kept = copy.deepcopy(before)
        for place in ({}, {"stage": "one", "agent": "research"}, {"stage": "unknown"}, {"agent": "planner"}):
            after = fold(before, envelope(event, 99, **place))
            assert after.last_seq == 99
        assert before == kept


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (ev.RunStarted, "running"),
        (ev.RunWaiting, "waiting"),
        (ev.RunCompleted, "completed"),
        (ev.RunFailed, "failed"),
        (ev.RunCancelled, "cancelled"),
        (ev.RunExpired, "expired"),
    ],
)
def test_the_run_has_the_status_its_last_run_event_says(kind: Any, status: str) -> None:
    event = sample(kind)
    state = fold(planned(), envelope(event))
    assert state.status == status
    assert state.terminal == (status in TERMINAL)
    assert state.end == (event if status in TERMINAL else None)


def test_a_run_that_waited_and_was_taken_up_again_waits_for_nothing() -> None:
    waiting = fold(planned(), envelope(ev.RunWaiting(reason="approval")))
    assert waiting.waiting_for == "approval"
    again = fold(waiting, envelope(ev.RunStarted(epoch=2, owner="f", code_version="1"), epoch=2))
    assert (again.status, again.waiting_for, again.epoch) == ("running", None, 2)


def test_the_epoch_never_goes_back() -> None:
    state = fold(planned(), envelope(ev.UsageUpdated(usage=Usage()), epoch=5))
    assert fold(state, envelope(ev.UsageUpdated(usage=Usage()), epoch=0)).epoch == 5


@pytest.mark.parametrize(("decision", "status"), [("retry", "pending"), ("continue", "failed"), ("stop", "failed")])
def test_a_failed_stage_waits_for_its_retry_or_has_ended(decision: str, status: str) -> None:
    stage = planned(in_stage(ev.StageDispatched(dispatch=1, lease_s=1)), in_stage(stage_failed(decision))).stages["one"]
    assert (stage.status, stage.failures) == (status, 1)
    assert stage.failed is not None


def test_failures_are_counted_and_a_completion_after_them_stands() -> None:
    state = planned(in_stage(stage_failed("retry")), in_stage(stage_failed("retry")), in_stage(stage_done("x")))
    assert (state.stages["one"].failures, state.stages["one"].status) == (2, "completed")


def test_a_revised_plan_keeps_what_its_todos_have_done_and_drops_the_rest() -> None:
    revised = Plan(todos=(PLAN.todos[0], Todo(id="three", title="Check", agent="analysis", depends_on=("one",))))
    state = planned(in_stage(stage_done("x")), ev.PlanRevised(plan=revised, reason="better"))
    assert {name: s.status for name, s in state.stages.items()} == {"one": "completed", "three": "pending"}
    assert state.plan == revised


def test_tool_calls_recoveries_and_cancel_requests_are_kept() -> None:
    retrying = ev.RecoveryRetrying(failure="rate_limited", message="", attempt=1, of=4, delay_s=1)
    state = planned(
        in_stage(sample(ev.ToolCalled)),
        in_stage(retrying),
        in_stage(retrying),
        in_stage(sample(ev.RecoveryFellBack)),
        in_stage(ev.RecoveryResumed(reason="tool_call_limit", attempt=1, of=3)),
        ev.RunCancelRequested(by="disconnect"),
    )
    assert state.tool_calls == 1
    assert state.recoveries == {"retrying:rate_limited": 2, "fell_back": 1, "resumed:tool_call_limit": 1}
    assert (state.cancel_requested, state.terminal) == ("disconnect", False)


def test_planning_agents_have_conversations_of_their_own() -> None:
    state = planned(
        envelope(ev.AgentStarted(model="m"), agent="planner"),
        envelope(ev.AgentStarted(model="m"), agent="titler"),
        envelope(completed("a plan"), agent="planner", turn=1, attempt=1),
        envelope(ev.AgentFailed(ms=3, code="c", message="too late", fatal=False), agent="titler"),
    )
    assert (state.agents["planner"].transcript.text(), state.agents["titler"].transcript.text()) == ("a plan", "")
    assert (state.agents["titler"].status, state.agents["titler"].message) == ("failed", "too late")


def test_token_events_leave_the_state_as_it_is_so_a_log_without_them_folds_the_same() -> None:
    deltas = [in_stage(ev.TurnDelta(text="x"), turn=1, attempt=1), in_stage(ev.TurnDelta(kind="thinking", text="y"))]
    before = planned()
    after = fold_all(deltas, before)
    assert (after.stages, after.usage, after.status) == (before.stages, before.usage, before.status)
    assert {kind for kind in EVENT_TYPES if kind.family == "token"} == {ev.TurnDelta}


def test_folding_on_from_any_point_is_the_same_as_folding_from_the_start() -> None:
    log = numbered(*[in_stage(event, turn=1, attempt=1) for event in (ev.PlanCommitted(plan=PLAN), *every_event())])
    whole = fold_all(log)
    for cut in range(len(log)):
        assert fold_all(log[cut:], fold_all(log[:cut])) == whole


def test_the_state_is_the_same_after_the_way_through_bytes() -> None:
    log = numbered(*[in_stage(event, turn=1, attempt=1) for event in (ev.PlanCommitted(plan=PLAN), *every_event())])
    read = []
    for one in log:
        record = encode(Draft(one.event, one.stage, one.agent, one.turn, one.attempt), one.run_id, one.at)
        read.append(decode(Stored(one.seq, one.epoch, record.type, record.family, record.stage, record.body)))
    assert fold_all(read) == fold_all(log)
