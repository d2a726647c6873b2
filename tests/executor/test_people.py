"""People in the loop: what waits for them costs nothing, survives everything, and goes on with exactly what they said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from runtime.errors import Conflict
from runtime.events.catalog import InputReceived
from runtime.events.codec import decode, encode
from runtime.events.envelope import Draft
from runtime.events.fingerprint import fingerprint
from runtime.events.people_events import ANSWER_WITHIN_S
from runtime.log.log import Write, Written
from runtime.pipeline.hooks import Ask, Continue, Decision, Finished
from runtime.tools.people import ask_person
from runtime.tools.tool import tool
from tests.executor.test_executor import script_with
from tests.rig import SIDE_BY_SIDE, Rig, running, types
from tests.virtual_time import virtual_time

SLOW_RESEARCH = '[[turn]]\nagent = "research"\nrate = 2\ntext = "one two three four five six seven eight nine ten"'
EDITED = {"todos": [{"id": "only", "title": "Only this", "agent": "writing", "depends_on": []}]}
LONG_S = 3 * 3600.0
"""Virtual, but every second of it costs a beat of an executor."""


async def asks(rig: Rig) -> Any:
    """What a person is asked, once the run waits for it and holds nothing."""
    approval = await rig.asked()
    await rig.when("r1", lambda seen: seen[-1][0] == "run.waiting")
    run = await rig.portal.get("r1")
    assert run is not None
    assert (run.status, run.owner) == ("waiting", None)
    return approval.requested


async def approve(rig: Rig, asked: Any, **more: object) -> bool:
    return await rig.say(type="approve", approval=asked.approval, arguments_hash=asked.arguments_hash, **more)


# --- the plan --------------------------------------------------------------------------------------------------------


@virtual_time
async def test_nothing_of_a_plan_is_done_before_a_person_approves_it() -> None:
    async with running() as rig:
        await rig.ask(approve_plan=True)
        asked = await asks(rig)
        assert not any(agent in ("research", "analysis", "writing") for agent, _ in rig.model.begun)
        assert await approve(rig, asked)
        log = await rig.ended()
    assert log[-1].event.type == "run.completed"
    assert types(log).index("approval.given") < types(log).index("stage.dispatched")


@virtual_time
async def test_a_run_waits_for_hours_over_restarts_and_its_deadline_stands_still() -> None:
    async with running() as rig:
        await rig.ask(approve_plan=True, deadline_s=60)
        asked = await asks(rig)
        await rig.lose_process(rig.executors[0])
        rig.lose_hub()
        await rig.clock.sleep(LONG_S)
        await rig.put_hub()
        await rig.put_process()
        await rig.clock.sleep(600)
        assert (await rig.events())[-1].type == "run.waiting", "nobody may take it before it is answered"
        await approve(rig, asked)
        log = await rig.ended()
    assert log[-1].event.type == "run.completed"
    assert "recovery.resumed" not in types(log), "nobody was lost"


@virtual_time
async def test_a_run_nobody_answers_expires_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ANSWER_WITHIN_S == 7 * 24 * 3600
    monkeypatch.setattr("runtime.executor.people.ANSWER_WITHIN_S", LONG_S)
    async with running() as rig:
        await rig.ask(approve_plan=True)
        asked = await asks(rig)
        log = await rig.ended(within_s=2 * LONG_S)
    end: Any = log[-1].event
    assert (end.type, end.message) == (
        "run.expired",
        "Nobody answered what the run had asked in the time there was for it.",
    )
    assert 0 <= log[-1].at - asked.expires_at <= 5


@virtual_time
async def test_an_edited_plan_is_the_one_that_is_carried_out() -> None:
    async with running() as rig:
        await rig.ask(approve_plan=True)
        await approve(rig, await asks(rig), plan=EDITED)
        log = await rig.ended()
    assert [e.stage for e in log if e.event.type == "stage.completed"] == ["only"]
    assert types(log).count("plan.revised") == 1


@virtual_time
async def test_a_plan_that_is_not_approved_ends_the_run_with_nothing_done() -> None:
    async with running() as rig:
        await rig.ask(approve_plan=True)
        await approve(rig, await asks(rig), approved=False, text="too dear")
        log = await rig.ended()
    end: Any = log[-1].event
    assert (end.type, end.stopped) == ("run.completed", "the plan was not approved: too dear")
    assert "stage.dispatched" not in types(log)


@virtual_time
async def test_an_answer_is_given_once_and_only_to_what_was_asked() -> None:
    async with running() as rig:
        await rig.ask(approve_plan=True)
        asked = await asks(rig)
        with pytest.raises(Conflict, match="not what is asked"):
            await rig.say(type="approve", approval="plan", arguments_hash="0" * 64)
        assert await approve(rig, asked)
        with pytest.raises(Conflict, match="answered already"):
            await approve(rig, asked, approved=False)
        log = await rig.ended()
        with pytest.raises(Conflict, match="completed already"):
            await rig.say(type="message", text="too late")
    assert types(log).count("approval.given") == 1


# --- a message -------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_message_is_part_of_the_next_turn_and_of_the_stages_after() -> None:
    async with running(script_with(before=SLOW_RESEARCH)) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "find") in seen)
        await rig.say(type="message", text="Only Europe, please.")
        log = await rig.ended()
    told = [(r.agent, r.turn) for r in rig.model.requests if "Only Europe" in str(r.messages)]
    assert told == [("research", 2), ("analysis", 1), ("writing", 1)]
    delivered = [e.stage for e in log if e.event.type == "input.delivered"]
    assert delivered == ["find", "weigh", "write"]


@virtual_time
async def test_a_message_outlives_the_process_that_was_to_pass_it_on() -> None:
    async with running(script_with(before=SLOW_RESEARCH)) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "find") in seen)
        await rig.lose_process(rig.executors[0])
        await rig.say(type="message", text="Only Europe, please.", stage="find")
        await rig.put_process()
        log = await rig.ended()
    assert [e.stage for e in log if e.event.type == "input.delivered"] == ["find"]
    assert log[-1].event.type == "run.completed"


# --- one step --------------------------------------------------------------------------------------------------------


@virtual_time
async def test_a_cancelled_step_ends_alone_and_its_call_is_closed() -> None:
    script = SIDE_BY_SIDE + SLOW_RESEARCH.replace("rate = 2", "rate = 0.1") + '\n[[turn]]\ntext = "quick"'
    async with running(script) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("stage.completed", "b") in seen and ("turn.delta", "a") in seen)
        begun = rig.clock.now()
        await rig.say(type="cancel_stage", stage="a")
        log = await rig.ended()
    assert log[-1].at - begun < 2
    assert rig.model.open.total() == 0
    skipped = types(log).index("stage.skipped")
    assert not [e for e in log[skipped + 1 :] if e.stage == "a"], "nothing of it comes afterwards"
    end: Any = log[-1].event
    assert (end.type, end.answer) == ("run.completed", "quick")


@virtual_time
async def test_a_step_that_has_not_begun_can_be_cancelled_and_the_rest_is_told() -> None:
    async with running(script_with(before=SLOW_RESEARCH)) as rig:
        await rig.ask()
        await rig.when("r1", lambda seen: ("turn.delta", "find") in seen)
        await rig.say(type="cancel_stage", stage="weigh")
        log = await rig.ended()
        with pytest.raises(Conflict):
            await rig.say(type="cancel_stage", stage="write", name="two")
    assert not [e for e in log if e.stage == "weigh" and e.event.type.startswith("turn.")]
    (asked,) = [r for r in rig.model.requests if r.agent == "writing"]
    assert "This step was not run: cancelled by a person" in asked.messages[0].text()


@virtual_time
async def test_a_step_that_ends_in_the_moment_it_is_cancelled_stays_as_it_ended() -> None:
    """The request stands in the log before the end, which is on its way: found by the simulation."""
    async with running() as rig:
        commit, request = rig.truth.append, InputReceived(input="i", kind="cancel_stage", text="")

        async def append(writes: Sequence[Write]) -> list[Written]:
            if not rig.blown["said"] and any(r.type == "stage.completed" for write in writes for r in write.records):
                rig.blown["said"] += 1
                record = encode(Draft(request, stage="find"), "r1", rig.clock.now())
                run = await rig.truth.get("r1")
                assert run is not None
                await commit([Write("r1", None, run.last_seq, "said-i", 1, (record,))])
                await rig.executors[0].nudge("r1")
                await rig.clock.sleep(0.1)  # the owner looks, and sees the request but not the end
            return await commit(writes)

        rig.truth.append = append  # type: ignore[method-assign]
        await rig.ask()
        log = await rig.ended()
    assert rig.blown["said"] == 1
    assert "stage.skipped" not in types(log)
    assert types(log).count("stage.dispatched") == 3
    assert log[-1].event.type == "run.completed"


# --- a hook that asks ------------------------------------------------------------------------------------------------


def ask_after_research(done: Finished, decision: Decision) -> Decision:
    if done.todo.agent != "research":
        return decision
    if not done.answers:
        return Ask("Which region?", ("Europe", "Asia"))
    return Continue(f"{done.output} (only {done.answers[-1].text})")


@pytest.mark.parametrize("lost", [False, True])
@virtual_time
async def test_a_hooks_question_waits_for_its_answer_and_no_turn_is_made_again(lost: bool) -> None:
    async with running(hooks=[ask_after_research]) as rig:
        await rig.ask()
        asked = await asks(rig)
        assert (asked.what, asked.options) == ("Which region?", ("Europe", "Asia"))
        if lost:
            await rig.lose_process(rig.executors[0])
            await rig.put_process()
        await rig.say(type="answer", approval=asked.approval, text="Africa")
        log = await rig.ended()
    assert rig.model.begun["research", 1] == 1
    (completed,) = [e.event for e in log if e.event.type == "stage.completed" and e.stage == "find"]
    assert completed.context.endswith("(only Africa)")  # type: ignore[union-attr]


@virtual_time
async def test_while_one_step_waits_for_a_person_the_others_go_on() -> None:
    script = (
        SIDE_BY_SIDE + '[[turn]]\nagent = "analysis"\nrate = 2\ntext = "one two three four"\n[[turn]]\ntext = "quick"'
    )
    async with running(script, hooks=[ask_after_research]) as rig:
        await rig.ask()
        asked = (await rig.asked()).requested
        await rig.say(type="answer", approval=asked.approval, text="Europe")
        log = await rig.ended()
    assert "run.waiting" not in types(log), "the other step was under way all the time"
    assert {e.stage for e in log if e.event.type == "stage.completed"} == {"a", "b"}


# --- a call, and an agent's question ---------------------------------------------------------------------------------

SENT: list[str] = []


@tool(kind="at_most_once", needs_approval=True)
async def send(to: str) -> str:
    """Send it.

    Args:
        to: whom
    """
    SENT.append(to)
    return f"sent to {to}"


@tool
async def look(what: str) -> str:
    """Look.

    Args:
        what: what
    """
    return f"saw {what}"


def calling(*calls: str) -> str:
    turn = f'[[turn]]\nagent = "research"\nturn = 1\ntool_calls = [{", ".join(calls)}]'
    return script_with(before=turn)


SEND = '{ name = "send", input = { to = "Ann" } }'
LOOK = '{ name = "look", input = { what = "it" } }'
QUESTION = '{ name = "ask_person", input = { question = "Which region?", options = ["Europe", "Asia"] } }'


@pytest.mark.parametrize("lost", [False, True])
@virtual_time
async def test_a_call_that_needs_approval_runs_once_and_only_as_it_was_approved(lost: bool) -> None:
    SENT.clear()
    async with running(calling(SEND, LOOK), tools=[send, look]) as rig:
        await rig.ask()
        asked = await asks(rig)
        assert (asked.kind, asked.name, asked.arguments) == ("tool", "send", {"to": "Ann"})
        seen = [(e.event.type, getattr(e.event, "name", None)) for e in map(decode, await rig.events())]
        assert ("tool.completed", "look") in seen, "what needs nobody was done"
        assert ("tool.called", "send") not in seen
        swapped = fingerprint(["send", {"to": "Eve"}])
        with pytest.raises(Conflict, match="not what is asked"):
            await rig.say(type="approve", approval=asked.approval, arguments_hash=swapped)
        if lost:
            await rig.lose_process(rig.executors[0])
            rig.lose_hub()
            await rig.put_hub()
            await rig.put_process()
        assert SENT == []
        await approve(rig, asked)
        log = await rig.ended()
    assert SENT == ["Ann"]
    assert types(log).count("approval.requested") == 1
    assert rig.model.begun["research", 1] == 1, "the turn that asked for it is not made again"
    assert log[-1].event.type == "run.completed"


@virtual_time
async def test_a_refused_call_is_an_error_that_the_model_reads() -> None:
    SENT.clear()
    async with running(calling(SEND), tools=[send]) as rig:
        await rig.ask()
        await approve(rig, await asks(rig), approved=False, text="not to Ann")
        log = await rig.ended()
    assert SENT == []
    (second,) = [r for r in rig.model.requests if (r.agent, r.turn) == ("research", 2)]
    assert "a person refused it. not to Ann" in str(second.messages)
    assert log[-1].event.type == "run.completed"


@virtual_time
async def test_an_agents_question_is_answered_by_a_person() -> None:
    async with running(calling(QUESTION), tools=[ask_person]) as rig:
        await rig.ask()
        asked = await asks(rig)
        assert (asked.kind, asked.what, asked.options) == ("question", "Which region?", ("Europe", "Asia"))
        await rig.say(type="answer", approval=asked.approval, text="Africa")
        log = await rig.ended()
    (result,) = [e.event for e in log if e.event.type == "tool.completed"]
    assert (result.name, result.result, result.is_error) == ("ask_person", "Africa", False)  # type: ignore[union-attr]
    assert rig.model.begun["research", 1] == 1
