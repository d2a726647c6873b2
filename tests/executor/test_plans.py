"""Plans as graphs: branches side by side, joined by hooks; hooks that leave out, change and stop."""

from __future__ import annotations

import asyncio
import datetime
from dataclasses import replace
from typing import Any

import pytest

from runtime.events.own import OwnEvent
from runtime.events.plan import Plan, Todo
from runtime.pipeline.hooks import (
    Ask,
    Decision,
    Finished,
    Joined,
    Joining,
    LeaveOut,
    Revise,
    Skip,
    Stop,
    Together,
    joins,
)
from tests.executor.test_executor import PAIR, script_with
from tests.rig import Rig, running, types
from tests.virtual_time import virtual_time

FAILING = '[[turn]]\nagent = "research"\nturn = 1\n[turn.fault]\nerror = "ModelRefused"\ntimes = 0'


def with_join(rig: Rig, function: Any) -> None:
    rig.parts = replace(rig.parts, hooks=replace(rig.parts.hooks, join_hooks=(joins(function),)))


async def played(rig: Rig) -> list[Any]:
    await rig.put_hub()
    await rig.put_process()
    try:
        await rig.ask()
        return await rig.ended()
    finally:
        await rig.close()


@virtual_time
async def test_a_join_hook_is_given_every_branch_failures_included_and_says_what_the_stage_is_told() -> None:
    seen: list[Joined] = []

    def join(joined: Joined, joining: Joining) -> Joining:
        seen.append(joined)
        good = [branch.output for branch in joined.branches if branch.failure is None]
        return Together(f"{len(good)} of {len(joined.branches)} agree: {good[0]}")

    rig = Rig(script_with(before=FAILING, base=PAIR))
    with_join(rig, join)
    log = await played(rig)
    (joined,) = seen
    assert [(b.todo.id, b.output, b.failure and b.failure.code) for b in joined.branches] == [
        ("left", "", "refused"),
        ("right", "right words", None),
    ]
    (asked,) = [r for r in rig.model.requests if r.agent == "writing"]
    assert "1 of 2 agree: right words" in asked.messages[0].text()
    assert "gave no result" not in asked.messages[0].text(), "the hook's words take the place of the branches'"
    assert log[-1].event.type == "run.completed"


@virtual_time
async def test_what_a_join_hook_said_outlives_the_process_that_asked_it() -> None:
    calls = 0

    def join(joined: Joined, joining: Joining) -> Joining:
        nonlocal calls
        calls += 1
        return Together(f"call {calls}")

    rig = Rig(script_with(before='[[turn]]\nagent = "writing"\nrate = 1\ntext = "one two three four"', base=PAIR))
    with_join(rig, join)
    await rig.put_hub()
    await rig.put_process()
    await rig.ask()
    await rig.when("r1", lambda seen: ("turn.delta", "write") in seen)
    await rig.lose_process(rig.executors[0])
    await rig.put_process()
    await rig.ended()
    await rig.close()
    told = [r.messages[0].text() for r in rig.model.requests if r.agent == "writing"]
    assert len(told) == 2
    assert all("call 1" in text for text in told)


@pytest.mark.parametrize(("answer", "stopped"), [(LeaveOut("not worth it"), None), (Stop("enough"), "enough")])
@virtual_time
async def test_a_join_hook_may_leave_the_stage_out_or_stop_there(answer: Joining, stopped: str | None) -> None:
    rig = Rig(PAIR)
    with_join(rig, lambda joined, joining: answer)
    log = await played(rig)
    end: Any = log[-1].event
    assert (end.type, end.stopped) == ("run.completed", stopped)
    assert [e.stage for e in log if e.event.type == "stage.skipped"] == ["write"]
    assert end.answer == "right words"


@virtual_time
async def test_a_join_hook_that_raises_stops_the_run_with_words() -> None:
    rig = Rig(PAIR)
    with_join(rig, lambda joined, joining: 1 / 0)
    log = await played(rig)
    end: Any = log[-1].event
    assert end.stopped == "a join hook failed: ZeroDivisionError: division by zero"


@virtual_time
async def test_a_plan_may_ask_for_one_step_after_another() -> None:
    one_by_one = PAIR.replace("[turn.output]\n", "[turn.output]\nprefer_sequential = true\n", 1)
    async with running(one_by_one) as rig:
        await rig.ask()
        log = await rig.ended()
    end: Any = log[-1].event
    assert end.elapsed_s >= 10.0


# --- hooks that change the plan --------------------------------------------------------------------------------------

TRANSLATE = Todo(id="translate", title="Translate", agent="writing", depends_on=("write",))


def translate_at_the_end(done: Finished, decision: Decision) -> Decision:
    if done.todo.id != "find":
        return decision
    return Revise("translated at the end", todos=(TRANSLATE,), context="found")


@virtual_time
async def test_a_hook_may_add_a_step_and_it_is_run() -> None:
    async with running(hooks=[translate_at_the_end]) as rig:
        await rig.ask()
        log = await rig.ended()
    assert [e.stage for e in log if e.event.type == "stage.completed"] == ["find", "weigh", "write", "translate"]
    assert types(log).index("plan.revised") < types(log).index("stage.completed")
    (weigh,) = [r for r in rig.model.requests if r.agent == "analysis"]
    assert ">\nfound\n<" in weigh.messages[0].text()


@virtual_time
async def test_a_revision_outlives_the_process_and_is_made_once() -> None:
    async with running(hooks=[translate_at_the_end]) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("plan.revised", "find") in seen)
        await rig.lose_process(rig.executors[0])
        await rig.put_process()
        log = await rig.ended()
    assert types(log).count("plan.revised") == 1
    assert [e.stage for e in log if e.event.type == "stage.completed"] == ["find", "weigh", "write", "translate"]


@virtual_time
async def test_a_hook_may_leave_out_steps_that_have_not_begun() -> None:
    def skip(done: Finished, decision: Decision) -> Decision:
        return Skip(("weigh", "find"), "clear enough", "found") if done.todo.id == "find" else decision

    async with running(hooks=[skip]) as rig:
        await rig.ask()
        log = await rig.ended()
    assert [e.stage for e in log if e.event.type == "stage.skipped"] == ["weigh"], "what has ended stays"
    assert log[-1].event.type == "run.completed"
    assert not any(r.agent == "analysis" for r in rig.model.requests)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (Revise("r", drop=("weigh",)), "depends_on names todos that do not exist"),
        (Revise("r", drop=("find",)), "these steps have begun and stay as they are: find"),
        (Revise("r", todos=(TRANSLATE.model_copy(update={"agent": "nobody"}),)), "there is no agent nobody"),
    ],
)
@virtual_time
async def test_a_change_that_makes_no_plan_stops_the_run_with_words(change: Revise, words: str) -> None:
    def bad(done: Finished, decision: Decision) -> Decision:
        return change if done.todo.id == "find" else decision

    async with running(hooks=[bad]) as rig:
        await rig.ask()
        log = await rig.ended()
    end: Any = log[-1].event
    assert words in end.stopped
    assert "plan.revised" not in types(log)


@virtual_time
async def test_a_hook_that_revises_for_ever_is_stopped() -> None:
    def grow(done: Finished, decision: Decision) -> Decision:
        more = Todo(id=f"more{len(done.plan.todos)}", title="More", agent="writing", depends_on=(done.todo.id,))
        return Revise("more", todos=(more,), context="x")

    async with running(hooks=[grow]) as rig:
        await rig.ask()
        log = await rig.ended()
    end: Any = log[-1].event
    assert "revised 10 times already" in end.stopped
    assert types(log).count("plan.revised") == 10


def test_a_plan_says_how_wide_it_may_be() -> None:
    assert (
        Plan.model_validate(
            {"todos": [TRANSLATE.model_copy(update={"depends_on": ()})], "max_parallel": 2}
        ).max_parallel
        == 2
    )
    with pytest.raises(ValueError, match="max_parallel"):
        Plan.model_validate({"todos": [TRANSLATE], "max_parallel": 0})


# --- what hooks say --------------------------------------------------------------------------------------------------


class Score(OwnEvent, name="score"):
    points: int


def customs(log: list[Any], name: str) -> list[Any]:
    return [e for e in log if e.event.type == "custom" and e.event.name == name]


@virtual_time
async def test_hooks_and_join_hooks_emit_events_right_before_what_they_decide() -> None:
    def judge(done: Finished, decision: Decision) -> Decision:
        Score(points=len(done.output)).tell(done.emit)
        done.emit("when", {"day": datetime.date(2026, 12, 1)})
        return decision

    def join(joined: Joined, joining: Joining) -> Joining:
        joined.emit("joined", [branch.todo.id for branch in joined.branches])
        return joining

    rig = Rig(script_with(before="", base=PAIR), hooks=[judge])
    with_join(rig, join)
    log = await played(rig)
    (said,) = [e for e in customs(log, "score") if e.stage == "left"]
    assert Score.read(said.event) == Score(points=len("left words"))
    (completed,) = [e for e in log if e.event.type == "stage.completed" and e.stage == "left"]
    assert (completed.seq - said.seq, said.agent) == (2, completed.agent)
    assert customs(log, "when")[0].event.value == {"day": "2026-12-01"}
    (joined,) = customs(log, "joined")
    assert (joined.event.value, joined.stage) == (["left", "right"], "write")
    (started,) = [e for e in log if e.event.type == "stage.started" and e.stage == "write"]
    assert joined.seq < started.seq


@virtual_time
async def test_what_a_hook_emits_is_written_once_although_the_hook_runs_again_after_a_takeover() -> None:
    calls, asked = 0, asyncio.Event()

    async def judge(done: Finished, decision: Decision) -> Decision:
        nonlocal calls
        calls += done.todo.id == "find"
        done.emit("judged", done.todo.id)
        if calls == 1:
            asked.set()
            await asyncio.Event().wait()
        return decision

    async with running(hooks=[judge]) as rig:
        await rig.ask()
        await asked.wait()
        await rig.lose_process(rig.executors[0])
        await rig.put_process()
        log = await rig.ended()
    assert calls == 2
    assert [e.event.value for e in customs(log, "judged")] == ["find", "weigh", "write"]


@virtual_time
async def test_what_a_hook_emits_with_a_question_stands_before_it() -> None:
    def ask(done: Finished, decision: Decision) -> Decision:
        if done.answers or done.todo.id != "find":
            return decision
        done.emit("doubt", 1)
        return Ask("Go on?")

    async with running(hooks=[ask]) as rig:
        await rig.ask()
        asked = (await rig.asked()).requested
        await rig.say(type="answer", approval=asked.approval, text="Yes")
        log = await rig.ended()
    (doubt,) = customs(log, "doubt")
    (question,) = [e for e in log if e.event.type == "approval.requested"]
    assert question.seq == doubt.seq + 1


@virtual_time
async def test_a_value_that_json_cannot_hold_is_the_hooks_failure_and_stops_the_run_with_words() -> None:
    def wrong(done: Finished, decision: Decision) -> Decision:
        done.emit("before", 1)
        done.emit("wrong", object())
        return decision

    async with running(hooks=[wrong]) as rig:
        await rig.ask()
        log = await rig.ended()
    assert log[-1].event.stopped.startswith("a post-hook failed: PydanticSerializationError")
    assert len(customs(log, "before")) == 1 and not customs(log, "wrong")
