"""Whole runs, driven in one process over a scripted model, on virtual time."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

import runtime.executor.run as run_module
from runtime.events.attachments import Attachment
from runtime.pipeline.hooks import Continue, Decision, Finished, Stop, stop_when
from runtime.tools.tool import tool
from tests.rig import CHAIN, PLANNING, running, types
from tests.virtual_time import virtual_time

PAIR = (
    PLANNING
    + """
[[turn]]
agent = "planner"
[turn.output]
todos = [
  { id = "left", title = "Left", agent = "research", depends_on = [] },
  { id = "right", title = "Right", agent = "analysis", depends_on = [] },
  { id = "write", title = "Write", agent = "writing", depends_on = ["left", "right"] },
]
[[turn]]
agent = "research"
delay_s = 5.0
text = "left words"
[[turn]]
agent = "analysis"
delay_s = 5.0
text = "right words"
[[turn]]
text = "words of {agent}"
"""
)
"""Two stages side by side, then one."""


def script_with(*, before: str, base: str = CHAIN) -> str:
    """``base`` with a more particular turn in front: among equals the first wins."""
    head, _, rest = base.partition("[[turn]]")
    return f"{head}{before}\n[[turn]]{rest}"


@virtual_time
async def test_a_run_goes_from_question_to_answer_in_the_grammar_of_its_log() -> None:
    async with running() as rig:
        await rig.ask()
        log = await rig.ended()
    end: Any = log[-1].event
    assert end.type == "run.completed"
    assert end.stopped is None
    assert "words of writing" in end.answer
    assert [o.stage for o in end.outputs] == ["find", "weigh", "write"]
    assert types(log).index("plan.committed") < types(log).index("stage.dispatched")
    assert types(log).count("turn.completed") == 6
    assert set(rig.model.begun.values()) == {1}


@virtual_time
async def test_what_a_stage_hands_on_reaches_the_next_stage() -> None:
    async with running() as rig:
        await rig.ask()
        await rig.ended()
    (asked,) = [r for r in rig.model.requests if r.agent == "analysis"]
    assert "words of research about Find" in asked.messages[0].text()


@virtual_time
async def test_a_tripped_guardrail_runs_no_stage_and_says_why() -> None:
    refusal = '[[turn]]\nagent = "guardrail"\noutput = { allowed = false, category = "malware", reason = "it harms" }'
    async with running(script_with(before=refusal)) as rig:
        await rig.ask()
        log = await rig.ended()
    end: Any = log[-1].event
    assert end.type == "run.completed"
    assert end.stopped == "malware: it harms"
    assert end.answer == ""
    assert "stage.dispatched" not in types(log)
    assert "guardrail.verdict" in types(log)
    assert not [key for key in rig.model.begun if key[0] in ("research", "analysis", "writing")]


@virtual_time
async def test_a_slow_titler_delays_nothing_and_its_title_comes_when_it_comes() -> None:
    slow = '[[turn]]\nagent = "titler"\ndelay_s = 8.0\noutput = { title = "late" }\n'
    slow += '[[turn]]\nagent = "writing"\ndelay_s = 12.0\ntext = "done"'
    async with running(script_with(before=slow)) as rig:
        await rig.ask()
        log = await rig.ended()
    kinds = types(log)
    assert kinds.index("plan.committed") < kinds.index("stage.completed") < kinds.index("title.set")
    assert log[-1].event.type == "run.completed"


@virtual_time
async def test_a_titler_slower_than_the_run_does_not_hold_up_its_end() -> None:
    slow = '[[turn]]\nagent = "titler"\ndelay_s = 15.0\noutput = { title = "late" }'
    async with running(script_with(before=slow)) as rig:
        await rig.ask()
        log = await rig.ended(within_s=5.0)
        assert log[-1].event.type == "run.completed"
        await asyncio.sleep(30.0)
        assert len(await rig.events()) == len(log), "nothing after the end"


@virtual_time
async def test_a_failing_titler_does_not_fail_the_run() -> None:
    failing = '[[turn]]\nagent = "titler"\n[turn.fault]\nerror = "ModelRequestRejected"\ntimes = 0'
    async with running(script_with(before=failing)) as rig:
        await rig.ask()
        log = await rig.ended()
    assert log[-1].event.type == "run.completed"
    assert "title.set" not in types(log)
    (failed,) = [e for e in log if e.event.type == "agent.failed"]
    assert failed.agent == "titler"


@virtual_time
async def test_a_malformed_plan_is_repaired_once() -> None:
    broken = '[[turn]]\nagent = "planner"\nturn = 1\ntext = "no plan at all"'
    async with running(script_with(before=broken)) as rig:
        await rig.ask()
        log = await rig.ended()
    assert log[-1].event.type == "run.completed"
    asked = [r for r in rig.model.requests if r.agent == "planner"]
    assert len(asked) == 2
    assert "cannot be used" in asked[1].messages[-1].text()
    assert types(log).count("recovery.retrying") == 1


@virtual_time
async def test_a_plan_malformed_twice_fails_the_run_with_its_layer() -> None:
    broken = '[[turn]]\nagent = "planner"\ntext = "no plan at all"\n[[turn]]\nagent = "planner"\nturn = 2\ntext = "no"'
    async with running(script_with(before=broken)) as rig:
        await rig.ask()
        log = await rig.ended()
    end: Any = log[-1].event
    assert (end.type, end.code, end.layer, end.completed) == ("run.failed", "output_invalid", "orchestrator", ())
    assert rig.model.begun["planner", 1] == rig.model.begun["planner", 2] == 1


@virtual_time
async def test_independent_stages_really_overlap() -> None:
    async with running(PAIR) as rig:
        await rig.ask()
        log = await rig.ended()
    at = {(e.event.type, e.stage): e.at for e in log}
    assert at["stage.started", "right"] < at["stage.completed", "left"]
    assert at["stage.started", "left"] < at["stage.completed", "right"]
    end: Any = log[-1].event
    assert 5.0 <= end.elapsed_s < 9.0
    assert at["stage.started", "write"] >= max(at["stage.completed", "left"], at["stage.completed", "right"])


@virtual_time
async def test_max_parallel_one_runs_them_one_after_the_other() -> None:
    async with running(PAIR, settings={"max_parallel": 1}) as rig:
        await rig.ask()
        log = await rig.ended()
    end: Any = log[-1].event
    assert end.elapsed_s >= 10.0


@virtual_time
async def test_a_failed_sibling_keeps_the_other_and_the_run_goes_on() -> None:
    failing = '[[turn]]\nagent = "research"\nturn = 1\n[turn.fault]\nerror = "ModelRefused"\ntimes = 0'
    async with running(script_with(before=failing, base=PAIR)) as rig:
        await rig.ask()
        log = await rig.ended()
    end: Any = log[-1].event
    assert end.type == "run.completed"
    (failed,) = [e.event for e in log if e.event.type == "stage.failed"]
    assert (failed.todo, failed.decision, failed.code) == ("left", "continue", "refused")
    assert [o.stage for o in end.outputs] == ["right", "write"]
    (asked,) = [r for r in rig.model.requests if r.agent == "writing"]
    assert "gave no result" in asked.messages[0].text()


@virtual_time
async def test_a_hopeless_failure_stops_the_run_and_keeps_what_was_completed() -> None:
    failing = '[[turn]]\nagent = "analysis"\n[turn.fault]\nerror = "ModelUnauthorized"\ntimes = 0'
    async with running(script_with(before=failing)) as rig:
        await rig.ask()
        log = await rig.ended()
    end: Any = log[-1].event
    assert (end.type, end.code, end.layer, end.retryable) == ("run.failed", "model_unauthorized", "model", False)
    assert [o.stage for o in end.completed] == ["find"]
    assert rig.model.begun["writing", 1] == 0


@virtual_time
async def test_a_transient_model_failure_is_withdrawn_and_repeated() -> None:
    fault = '[[turn]]\nagent = "analysis"\ntext = "one two three four"\n[turn.fault]\nerror = "ModelOverloaded"\nafter = 2\ntimes = 2'
    async with running(script_with(before=fault)) as rig:
        await rig.ask()
        log = await rig.ended()
    assert log[-1].event.type == "run.completed"
    assert types(log).count("turn.superseded") == 2
    assert rig.model.begun["analysis", 1] == 3


# --- the tool-call limit ---------------------------------------------------------------------------------------------


@tool
async def look(what: str) -> str:
    """Look something up."""
    return f"seen {what}"


GREEDY = (
    PLANNING
    + """
[[turn]]
agent = "planner"
[turn.output]
todos = [{ id = "find", title = "Find", agent = "research", depends_on = [] }]
[[turn]]
agent = "research"
text = "Let me look. "
[[turn.tool_calls]]
name = "look"
input = { what = "turn {turn}" }
[[turn]]
text = "what I have"
"""
)


@virtual_time
async def test_the_tool_limit_resumes_three_times_then_tools_are_off() -> None:
    async with running(GREEDY, tools=(look,), max_tool_calls=2) as rig:
        await rig.ask()
        log = await rig.ended()
    resumed = [e.event for e in log if e.event.type == "recovery.resumed"]
    assert [(e.attempt, e.of, e.reason) for e in resumed] == [(n, 3, "tool_call_limit") for n in (1, 2, 3)]
    assert [e.event.failure for e in log if e.event.type == "recovery.retrying"] == ["tool_call_limit"]
    assert types(log).count("tool.called") == 8, "two for the beginning and two for each resume"
    (done,) = [e.event for e in log if e.event.type == "stage.completed"]
    assert (done.partial, done.output) == (True, "what I have")
    last = rig.model.requests[-1]
    assert last.tool_choice == "none"
    assert [r.tool_choice for r in rig.model.requests[:-1] if r.agent == "research"] == [None] * (
        len([r for r in rig.model.requests if r.agent == "research"]) - 1
    )
    assert "used all your tool calls" in last.messages[-1].text()
    assert [e.event.dispatch for e in log if e.event.type == "stage.dispatched"] == [1, 2, 3, 4, 5]


@virtual_time
async def test_each_resume_carries_the_whole_conversation() -> None:
    async with running(GREEDY, tools=(look,), max_tool_calls=1) as rig:
        await rig.ask()
        await rig.ended()
    asked = [r for r in rig.model.requests if r.agent == "research"]
    for earlier, later in pairwise(asked):
        # The tool's answer and the note may join the last message; everything before it stands unchanged.
        assert later.messages[: len(earlier.messages) - 1] == earlier.messages[:-1]
        assert len(later.messages) > len(earlier.messages)
    assert sum("reached the tool-call limit" in r.messages[-1].text() for r in asked) == 3


@virtual_time
async def test_the_runs_own_tool_cap_ends_the_stage_the_same_way() -> None:
    async with running(GREEDY, tools=(look,), max_tool_calls=25) as rig:
        await rig.ask(tool_calls=3)
        log = await rig.ended()
    assert types(log).count("tool.called") == 3
    assert log[-1].event.type == "run.completed"


# --- post-hooks ------------------------------------------------------------------------------------------------------


@virtual_time
async def test_an_empty_answer_is_tried_once_more_then_fails_the_run() -> None:
    empty = '[[turn]]\nagent = "writing"\ntext = " "'
    async with running(script_with(before=empty)) as rig:
        await rig.ask()
        log = await rig.ended()
    failed = [e.event for e in log if e.event.type == "stage.failed"]
    assert [f.decision for f in failed] == ["retry", "stop"]
    assert rig.model.begun["writing", 1] == rig.model.begun["writing", 2] == 1
    end: Any = log[-1].event
    assert end.type == "run.failed"
    assert [o.stage for o in end.completed] == ["find", "weigh"]


@virtual_time
async def test_a_hook_ends_the_pipeline_early_with_what_there_is() -> None:
    enough = stop_when(lambda done: done.todo.id == "weigh", "that is enough")
    async with running(hooks=(enough,)) as rig:
        await rig.ask()
        log = await rig.ended()
    end: Any = log[-1].event
    assert (end.type, end.stopped) == ("run.completed", "that is enough")
    assert "words of analysis" in end.answer
    assert rig.model.begun["writing", 1] == 0


@virtual_time
async def test_a_hook_that_raises_stops_the_run_with_words() -> None:
    def bad(done: Finished, decision: Decision) -> Decision:
        raise ZeroDivisionError("a rule nobody can apply")

    async with running(hooks=(bad,)) as rig:
        await rig.ask()
        log = await rig.ended()
    end: Any = log[-1].event
    assert end.type == "run.completed"
    assert "ZeroDivisionError" in end.stopped


@virtual_time
async def test_an_async_hook_chooses_what_the_next_stage_is_told() -> None:
    async def rename(done: Finished, decision: Decision) -> Decision:
        await asyncio.sleep(0.01)
        return Continue("only this") if isinstance(decision, Continue) else Stop("no")

    async with running(hooks=(rename,)) as rig:
        await rig.ask()
        await rig.ended()
    (asked,) = [r for r in rig.model.requests if r.agent == "analysis"]
    assert "only this" in asked.messages[0].text()
    assert "words of research" not in asked.messages[0].text()


# --- ends that somebody or something else decides ----------------------------------------------------------------------


SLOW = {
    "planning": '[[turn]]\nagent = "planner"\ndelay_s = 20.0\ntext = "{}"',
    "stage": '[[turn]]\nagent = "analysis"\ndelay_s = 20.0\ntext = "slow"',
    "backoff": '[[turn]]\nagent = "analysis"\n[turn.fault]\nerror = "ModelOverloaded"\ntimes = 0\nretry_after_s = 60',
}
READY = {
    "planning": ("turn.started", None),
    "stage": ("turn.started", "weigh"),
    "backoff": ("recovery.retrying", "weigh"),
}


@pytest.mark.parametrize("moment", SLOW)
@virtual_time
async def test_a_cancelled_run_ends_at_once_with_what_was_completed(moment: str) -> None:
    async with running(script_with(before=SLOW[moment])) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: READY[moment] in seen)
        begun = rig.clock.monotonic()
        calls = rig.model.begun.total()
        await rig.cancel()
        log = await rig.ended(within_s=2.0)
        assert rig.clock.monotonic() - begun < 1.0
        assert rig.model.open.total() == 0, "sockets are closed"
        await asyncio.sleep(100.0)
        assert rig.model.begun.total() == calls, "nothing more is spent"
        assert len(await rig.events()) == len(log)
    end: Any = log[-1].event
    assert (end.type, end.reason) == ("run.cancelled", "user")
    assert [o.stage for o in end.outputs] == ([] if moment == "planning" else ["find"])


@pytest.mark.parametrize("moment", ["planning", "stage"])
@virtual_time
async def test_a_run_past_its_deadline_expires_on_time_with_what_was_completed(moment: str) -> None:
    async with running(script_with(before=SLOW[moment])) as rig:
        await rig.ask(deadline_s=5.0)
        log = await rig.ended(within_s=30.0)
        assert rig.model.open.total() == 0
    end: Any = log[-1].event
    assert end.type == "run.expired"
    assert 5.0 <= log[-1].at - log[0].at < 6.5
    assert [o.stage for o in end.completed] == ([] if moment == "planning" else ["find"])


@virtual_time
async def test_an_unexpected_defect_fails_its_run_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    real = run_module.decide

    def decide(state: Any, *args: Any, **options: Any) -> Any:
        if state.run_id == "bad" and state.plan is not None:
            raise KeyError("a defect")
        return real(state, *args, **options)

    monkeypatch.setattr(run_module, "decide", decide)
    async with running() as rig:
        await rig.ask("good")
        await rig.ask("bad")
        bad, good = await rig.ended("bad"), await rig.ended("good")
    end: Any = bad[-1].event
    assert (end.type, end.code, end.layer) == ("run.failed", "internal", "executor")
    assert good[-1].event.type == "run.completed"


@virtual_time
async def test_finished_runs_leave_nothing_behind_in_the_process() -> None:
    async with running() as rig:
        for i in range(20):
            await rig.ask(f"r{i}")
        for i in range(20):
            await rig.ended(f"r{i}")
        await asyncio.sleep(1.0)
        publisher, agents, orchestrator = rig.executors[0].rig_parts  # type: ignore[attr-defined]
        assert publisher._lanes == {}
        assert rig.executors[0]._owned == {}
        assert all(agent._working == {} for agent in agents.values())
        assert orchestrator._working == {}
        assert rig.portal.hub is not None
        assert rig.portal.hub._heads == {}


@virtual_time
async def test_twenty_runs_share_commits() -> None:
    async with running(PAIR) as rig:
        await asyncio.gather(*(rig.ask(f"r{i}") for i in range(20)))
        for i in range(20):
            assert (await rig.ended(f"r{i}"))[-1].event.type == "run.completed"
        counts = rig.portal.hub.counts.snapshot()  # type: ignore[union-attr]
    assert counts["appends"] > 3 * counts["commits"]


@virtual_time
async def test_an_attachment_that_no_model_could_see_is_named_to_the_models_and_in_the_answers_note() -> None:
    attached = Attachment(type="image", media_type="image/png", data="iVBORw0KGgo=", name="map.png")
    async with running() as rig:
        await rig.ask(attachments=(attached,))
        log = await rig.ended()
    end: Any = log[-1].event
    assert "The attachment was left out (map.png)" in end.note
    told = {r.agent for r in rig.model.requests if "map.png" in r.messages[0].text()}
    assert told == {"planner", "guardrail", "research", "analysis", "writing"}
