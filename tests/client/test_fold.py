"""A run as a client shows it: the fold is held to tests/fixtures/folds, to the server's snapshot, and to its own promises."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.client import RunView, parse_event, reduce
from runtime.client.view import StageView
from runtime.events.fold import fold_all
from runtime.generator.snapshot import snapshot_of
from runtime.generator.sse import Cursor
from runtime.log.log import Run
from tests.client.agreement import agree
from tests.client.fold_logs import LOGS
from tests.client.make_folds import FOLDS, every_log, fold_of, golden_lines
from tests.events.samples import EVENT_TYPES
from tests.golden.make_logs import LOGS as GOLDEN
from tests.golden.make_logs import GoldenLog

ALL = every_log()


def view_of(lines: list[str], view: RunView | None = None) -> RunView:
    view = view or RunView()
    for line in lines:
        view = reduce(view, parse_event(line))
    return view


def hand_made(name: str, upto: int | None = None) -> RunView:
    return view_of(LOGS[name][1]()[:upto])


def stage(view: RunView, name: str = "find") -> StageView:
    return view.stages[name]


@pytest.mark.parametrize("name", ALL)
def test_the_views_are_those_in_the_files(name: str) -> None:
    about, lines, every = ALL[name]
    written = json.loads((FOLDS / f"{name}.json").read_text(encoding="utf-8"))
    made = json.loads(json.dumps(fold_of(about, lines, every)))
    assert written["events"] == made["events"], "run `python -m tests.client.make_folds`"
    for after, view in made["views"].items():
        assert written["views"][after] == view, f"after {after} events; run `python -m tests.client.make_folds`"
    assert written == made


def test_there_is_a_file_for_each_log_and_no_other() -> None:
    assert sorted(path.stem for path in FOLDS.glob("*.json")) == sorted(ALL)


def test_every_type_of_event_is_in_one_of_the_files() -> None:
    seen = {json.loads(line)["type"] for _, lines, _ in ALL.values() for line in lines}
    assert {kind.model_fields["type"].default for kind in EVENT_TYPES} <= seen
    assert "plan.admired" in seen


@pytest.mark.parametrize("name", ALL)
def test_a_view_goes_on_from_any_place_also_with_events_it_had(name: str) -> None:
    lines = ALL[name][1]
    whole = view_of(lines)
    for cut in range(0, len(lines), 5):
        assert view_of(lines[max(0, cut - 3) :], view_of(lines[:cut])) == whole
    assert view_of(lines, whole) is whole


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.jsonl")), ids=lambda path: path.stem)
def test_the_view_of_a_run_is_its_snapshot_where_both_say_the_same(path: Path) -> None:
    golden = GoldenLog.load(path)
    lines = golden_lines(path.stem)
    view = view_of(lines)
    events = [e for line in lines if (e := parse_event(line).envelope) is not None]
    last = golden.events[-1]
    cursor = Cursor(last.seq, last.epoch)
    shown = snapshot_of(Run(**golden.run), fold_all(events), cursor, now=0.0).model_dump(mode="json")
    agree(view.as_json(), shown)
    assert len(events) == len(lines)


def test_a_withdrawn_attempt_loses_its_text_for_good() -> None:
    lines = LOGS["withdrawn_turns"][1]()
    after = next(i for i, line in enumerate(lines, 1) if '"turn.superseded"' in line)
    before = stage(hand_made("withdrawn_turns", after - 1)).lane.turns[0]
    assert (before.text, before.thinking, before.tool_uses[0].text) == ("Wrong ", "Hm, tides", '{"fo')
    for upto in (after, after + 1):  # the one after it is a delta that came too late
        turn = stage(hand_made("withdrawn_turns", upto)).lane.turns[0]
        assert (turn.status, turn.text, turn.thinking, turn.tool_uses) == ("superseded", "", "", ())
        assert turn.reason == "overloaded"


def test_what_a_turn_said_is_replaced_by_its_canonical_content() -> None:
    view = hand_made("withdrawn_turns")
    third = stage(view).lane.turns[2]
    assert (third.text, third.thinking, third.model) == ("Let me look.", "Tides.", "scripted:b")
    assert [(use.call_id, use.text, use.input) for use in third.tool_uses] == [("c1", "", {"for": "tides"})]
    assert [turn.status for turn in stage(view).lane.turns] == ["superseded", "failed", "completed", "running"]
    assert stage(view).text == "Let me look."
    assert view.spent_usd == pytest.approx(0.0075 + 0.0011)
    assert view.reserved_usd == pytest.approx(0.02)


def test_the_words_of_delegates_and_of_summaries_are_no_part_of_a_stage() -> None:
    view = hand_made("delegates")
    lane = stage(view).lane
    assert lane.text == "I give it away.\n\nIt is done"
    assert [(call.path, call.call, call.delegate, call.status) for call in lane.calls] == [
        ("1.c%2F1", None, "analysis", "completed"),
        ("1.c%2F1/1.c%2F1", "1.c%2F1", "writing", "completed"),
    ]
    assert {turn.call for turn in lane.turns} == {None, lane.calls[0].path, lane.calls[1].path}
    assert stage(hand_made("snapshots")).text == "Once upon a time."


def test_every_call_has_its_fate() -> None:
    calls = {(call.turn, call.call_id): call for call in stage(hand_made("tools")).lane.calls}
    assert {key: call.status for key, call in calls.items()} == {
        (1, "c0"): "completed",
        (1, "c1"): "failed",
        (1, "c2"): "failed",
        (1, "c3"): "invalid",
        (1, "cut"): "invalid",
        (2, "c0"): "unknown",
    }
    never = calls[1, "c2"]
    assert (never.times, never.started_at, never.arguments) == (0, None, {"n": 2})
    assert (calls[1, "c0"].started_at or 0) < (calls[1, "c0"].ended_at or 0)


def test_only_the_first_answer_to_exactly_what_was_asked_counts() -> None:
    approvals = {a["approval"]: a for a in hand_made("people").as_json()["approvals"]}
    plan = approvals["plan"]
    assert (plan["approved"], plan["by"], plan["edited"], plan["open"]) == (True, "ann", True, False)
    assert (approvals["a1"]["approved"], approvals["a1"]["text"]) == (False, "too dear")
    assert (approvals["q2"]["approved"], approvals["q2"]["open"]) == (None, False)  # its stage is over
    open_then = {a["approval"]: a["open"] for a in hand_made("people", 15).as_json()["approvals"]}
    assert open_then == {"plan": False, "a1": True, "q1": True, "q2": True}


def test_a_takeover_shows_the_owners_and_how_often_a_call_was_begun() -> None:
    view = hand_made("lost_processes")
    assert [owner.epoch for owner in view.owners] == [1, 2, 3]
    assert [(call.call_id, call.times, call.status) for call in stage(view).lane.calls] == [
        ("c0", 2, "completed"),
        ("c1", 1, "unknown"),
    ]
    assert [(a.dispatch, a.end) for a in stage(view).lane.attempts] == [(1, "replaced"), (2, "replaced"), (3, None)]
    assert stage(view).text.endswith("whole")


@pytest.mark.parametrize("name", ["cancelled_at_work", "failed_at_work", "expired_at_work"])
def test_nothing_runs_any_more_when_the_run_is_over(name: str) -> None:
    view = hand_made(name)
    lane = stage(view, "weigh").lane
    assert view.over
    assert [turn.status for turn in lane.turns] == ["stopped"]
    assert [call.status for call in lane.calls] == ["stopped"]
    assert lane.turns[0].text == "on the other "
    assert [a.end for a in lane.attempts] == ["stopped"]
    ends = [lane.ended_at, lane.turns[0].ended_at, lane.calls[0].ended_at, view.agent_lanes["titler"].ended_at]
    assert ends == [view.ended_at] * 4
    assert not any(a["open"] for a in view.as_json()["approvals"])


def test_types_of_a_later_version_only_move_the_cursor() -> None:
    view = hand_made("not_for_this_reader")
    assert (view.unknown, view.hidden) == (2, 2)
    assert view.last_event_id == "14.1"
    assert stage(view).text == "Hello"
    assert list(view.stages) == ["find", "weigh"]


def test_a_step_that_a_later_plan_brings_back_begins_anew() -> None:
    view = hand_made("revised_plans")
    assert [reason for _, reason in view.revisions] == ["it was not enough", "it was", "after all"]
    assert stage(view).output == "Found."
    assert stage(view, "weigh").lane.attempts == ()
    assert stage(view, "weigh").state.status == "pending"
