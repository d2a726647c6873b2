"""Stages come from the plan at run time: which may start now, and what each is told, follow from the log alone."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.agents.request import Source
from runtime.events import catalog as ev
from runtime.events.brief import Brief, Finding
from runtime.events.fold import RunState, fold_all
from runtime.events.plan import Plan, Todo
from runtime.events.tool_events import EXPOSED, Taint
from runtime.pipeline.builder import brief_of, build, sources_of, taint_of
from tests.events.samples import envelope, numbered

ALL = 16


def todo(id_: str, *depends_on: str) -> Todo:
    return Todo(id=id_, title=f"Do {id_}", agent=f"agent-{id_}", depends_on=depends_on)


CHAIN = Plan(todos=(todo("a"), todo("b", "a"), todo("c", "b")))
DIAMOND = Plan(todos=(todo("a"), todo("b", "a"), todo("c", "a"), todo("d", "b", "c")))
WIDE = Plan(todos=tuple(todo(name) for name in "abcde"))


def state(plan: Plan, *events: tuple[str, Any], documents: str | None = None) -> RunState:
    accepted = ev.RunAccepted(input=ev.RunInput(question="Why?", documents=documents))
    placed = [envelope(event, stage=stage) for stage, event in events]
    return fold_all(numbered(accepted, ev.PlanCommitted(plan=plan), *placed))


def done(stage: str, output: str = "", context: str | None = None) -> tuple[str, Any]:
    words = {
        "title": "t",
        "todo": stage,
        "output": output,
        "summary": "s",
        "context": output if context is None else context,
    }
    return stage, ev.StageCompleted(index=1, of=1, **words)


def failed(stage: str, decision: str = "continue") -> tuple[str, Any]:
    words: dict[str, Any] = {"todo": stage, "title": "t", "code": "c", "message": "the provider is away"}
    return stage, ev.StageFailed(attempts=1, decision=decision, **words)  # type: ignore[arg-type]


def skipped(stage: str) -> tuple[str, Any]:
    return stage, ev.StageSkipped(todo=stage, title="t", reason="r")


def cited(stage: str, location: str, quote: str = "q") -> tuple[str, Any]:
    return stage, ev.CitationAdded(source_id="1", title="T", location=location, quote=quote)


def ready(plan: Plan, *events: tuple[str, Any], running: str = "", max_parallel: int = ALL) -> str:
    stages = build(plan).ready(state(plan, *events), frozenset(running), max_parallel=max_parallel)
    return "".join(stage.todo.id for stage in stages)


def test_there_is_one_stage_for_each_todo_in_the_plans_order() -> None:
    pipeline = build(DIAMOND)
    assert [(s.todo.id, s.index, s.of) for s in pipeline.stages] == [("a", 1, 4), ("b", 2, 4), ("c", 3, 4), ("d", 4, 4)]
    assert pipeline.stage("c").index == 3
    with pytest.raises(KeyError):
        pipeline.stage("z")


def test_a_chain_runs_one_after_the_other() -> None:
    assert ready(CHAIN) == "a"
    assert ready(CHAIN, running="a") == ""
    assert ready(CHAIN, done("a")) == "b"
    assert ready(CHAIN, done("a"), done("b"), done("c")) == ""


def test_a_diamond_runs_its_middle_side_by_side_and_joins() -> None:
    assert ready(DIAMOND) == "a"
    assert ready(DIAMOND, done("a")) == "bc"
    assert ready(DIAMOND, done("a"), running="b") == "c"
    assert ready(DIAMOND, done("a"), done("c"), running="b") == "", "a join waits for all of its branches"
    assert ready(DIAMOND, done("a"), done("b"), done("c")) == "d"


def test_no_more_run_at_once_than_allowed() -> None:
    assert ready(WIDE, max_parallel=2) == "ab"
    assert ready(WIDE, running="ab", max_parallel=3) == "c"
    assert ready(WIDE, running="ab", max_parallel=2) == ""
    assert ready(WIDE, running="abc", max_parallel=2) == ""
    assert ready(WIDE, done("a"), running="b", max_parallel=1) == ""


def test_a_failed_or_skipped_stage_does_not_hold_up_those_that_depend_on_it() -> None:
    assert ready(CHAIN, failed("a")) == "b"
    assert ready(DIAMOND, done("a"), failed("b"), skipped("c")) == "d"


def test_a_stage_to_be_retried_is_ready_and_what_depends_on_it_is_not() -> None:
    assert ready(CHAIN, failed("a", "retry")) == "a"


def test_a_stage_another_owner_had_dispatched_is_ready_again() -> None:
    assert ready(CHAIN, ("a", ev.StageDispatched(dispatch=1, lease_s=1))) == "a"


def test_a_stage_is_told_the_question_its_task_its_place_and_what_it_depends_on_found() -> None:
    now = state(DIAMOND, done("a"), done("b", "B said", "what B's hook hands on"), failed("c"), documents="/docs")
    assert brief_of(build(DIAMOND).stage("d"), now) == Brief(
        question="Why?",
        task="Do d",
        position="step 4 of 4",
        findings=(
            Finding("b", "agent-b", "Do b", "what B's hook hands on"),
            Finding("c", "agent-c", "Do c", "(This step gave no result: the provider is away)"),
        ),
        has_documents=True,
    )


def test_a_stage_is_told_nothing_it_does_not_depend_on() -> None:
    now = state(DIAMOND, done("a", "A"), done("b", "B"), done("c", "C"))
    assert [f.stage for f in brief_of(build(DIAMOND).stage("b"), now).findings] == ["a"]
    assert brief_of(build(DIAMOND).stage("a"), now).findings == ()
    assert not brief_of(build(DIAMOND).stage("a"), now).has_documents


def test_a_skipped_dependency_is_a_finding_that_says_so() -> None:
    (finding,) = brief_of(build(CHAIN).stage("b"), state(CHAIN, skipped("a"))).findings
    assert finding.text.startswith("(This step was not run: ")


def test_a_stage_that_succeeded_after_a_failure_hands_on_its_answer() -> None:
    now = state(CHAIN, failed("a", "retry"), done("a", "A"))
    assert brief_of(build(CHAIN).stage("b"), now).findings[0].text == "A"


def test_sources_come_from_all_stages_before_and_from_no_sibling() -> None:
    now = state(DIAMOND, cited("a", "a.md:1"), cited("b", "b.md:1"), cited("c", "c.md:1"))
    pipeline = build(DIAMOND)
    assert {s.location for s in sources_of(pipeline.stage("d"), now)} == {"a.md:1", "b.md:1", "c.md:1"}
    assert sources_of(pipeline.stage("b"), now) == (Source("a.md:1", "T", "q"),)
    assert sources_of(pipeline.stage("a"), now) == ()


def test_a_place_cited_twice_is_one_source_with_the_nearest_stages_quote() -> None:
    now = state(CHAIN, cited("a", "x.md:1", "first"), cited("b", "x.md:1", "second"))
    assert sources_of(build(CHAIN).stage("c"), now) == (Source("x.md:1", "T", "second"),)


def read(stage: str, *tags: Any) -> tuple[str, Any]:
    return stage, ev.ToolCalled(call_id="c", name="n", arguments={}, tags=tags)


def carried(stage: str, taint: Any) -> tuple[str, Any]:
    words = {"title": "t", "todo": stage, "output": "o", "summary": "s", "context": "o", "carried_from": "r0"}
    return stage, ev.StageCompleted(index=1, of=1, taint=taint, **words)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("events", "met"),
    [
        ([read("a", "reads_private", "sends_out"), done("a"), done("b")], {"reads_private"}),
        ([read("a", "reads_private"), done("a"), read("b", "untrusted"), failed("b")], EXPOSED),
        ([read("c", "reads_private", "untrusted")], set()),
        ([carried("a", ("untrusted",)), done("b")], {"untrusted"}),
        ([carried("a", None), done("b")], EXPOSED),
    ],
    ids=["over two steps", "of a failed one", "not its own", "carried over", "carried over by an older release"],
)
def test_a_stage_begins_with_what_the_stages_it_depends_on_have_met(events: list[Any], met: Taint) -> None:
    seen = state(CHAIN, *events)
    assert taint_of(build(CHAIN).stage("c"), seen) == met
