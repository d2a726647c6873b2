"""Agents as tools: a delegate's work is journalled like any other, told apart from its caller's, and never done twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest

from runtime import errors
from runtime.agents.delegate import MAX_DEPTH
from runtime.agents.gate import CALLS_A_TURN, FAN_OUT
from runtime.events import catalog as ev
from runtime.events.conversations import conversations
from runtime.events.envelope import Draft, Envelope
from runtime.events.messages import ToolResultBlock
from runtime.events.notes import LAST_ANSWER_NOTE
from runtime.events.texts import TextKey, Texts
from runtime.llm.client import Chunk, TextDelta
from runtime.stream.chain import process
from runtime.tools.tool import Citation, ToolContext, ToolResult, tool
from tests.agents.bench import RUN, STAGE, Bench, Lines, Member, call, says
from tests.checker import check_run


@tool
def look(at: str) -> str:
    """Look at something."""
    return f"saw {at}"


@tool
def search(for_: str) -> ToolResult:
    """Search."""
    where = f"{for_}.md:1"
    return ToolResult(f"[1] {where} | Guide\nwords of {for_}", (Citation("Guide", where, f"words of {for_}"),))


def asks(*tasks: str, agent: str = "helper") -> list[Chunk]:
    """A turn that delegates each task."""
    return says(*(call(f"d{n}", "delegate", agent=agent, task=t) for n, t in enumerate(tasks, 1)), stop="tool_use")


def results(request: Any) -> list[ToolResultBlock]:
    return [b for m in request.messages for b in m.content if isinstance(b, ToolResultBlock)]


async def held(bench: Bench) -> list[Envelope]:
    """The log, held to its grammar."""
    return check_run(await bench.hub.read(RUN, after=0), ended=False)


# --- what a call does ------------------------------------------------------------------------------------------------


async def test_a_task_is_done_by_another_agent_and_its_answer_is_the_calls_result(bench: Bench) -> None:
    helper = Lines(says(call("c1", "look", at="sea"), stop="tool_use"), says("The sea is blue."))
    model = Lines(asks("Look at the sea"), says("Blue, says the helper."))
    result = await bench.work(model, team=[Member("helper", [helper], [look])])
    assert result.text == "Blue, says the helper."
    assert [(r.content, r.is_error) for r in results(model.asked[1])] == [("The sea is blue.", False)]
    asked = helper.asked[0].messages[0].text()
    assert "<task>Look at the sea</task>" in asked
    assert "<question>Why is the sky blue?</question>" in asked
    assert [t.name for t in helper.asked[0].tools] == ["look"], "its own tools and nobody else's"


async def test_a_model_is_offered_whom_it_may_delegate_to_and_only_then(bench: Bench) -> None:
    helper, model, alone = Lines(says("h")), Lines(says("a")), Lines(says("b"))
    await bench.work(model, team=[Member("helper", [helper])])
    (offered,) = model.asked[0].tools
    assert offered.input_schema["properties"]["agent"]["const"] == "helper"
    assert "- helper: d" in offered.description
    await bench.agent(alone).run_stage(await bench.dispatched(transcript=(await bench.folded()).restarted()))
    assert alone.asked[0].tools == ()


async def test_a_delegates_events_stand_in_the_same_stage_and_carry_the_call(bench: Bench) -> None:
    helper = Lines(says(call("c1", "look", at="sea"), stop="tool_use"), says("Blue."))
    await bench.work(Lines(asks("Look"), says("Done.")), team=[Member("helper", [helper], [look])])
    log = await held(bench)
    inside = [e for e in log if e.call is not None]
    assert {(e.stage, e.agent, e.call) for e in inside} == {(STAGE, "helper", "1.d1")}
    told = ["turn.started", "turn.completed", "tool.called", "tool.completed", "turn.started", "turn.completed"]
    assert [e.event.type for e in inside] == told
    (called,) = [e.event for e in log if isinstance(e.event, ev.ToolCalled) and e.call is None]
    assert (called.name, called.title, called.delegate) == ("delegate", "Delegate", "helper")


@pytest.mark.parametrize("bench", [0.02], indirect=True)
async def test_what_a_delegate_says_is_never_mixed_with_its_callers_words(bench: Bench) -> None:
    def speaking(*words: str) -> Any:
        return [*(TextDelta(word) for word in words), *says("".join(words))]

    model = Lines([TextDelta("I ask. "), *asks("One", "Two")], speaking("All ", "done."))
    same = Member("helper", [Lines(speaking("Help ", "is here."))])
    await bench.work(model, team=[same])
    texts = Texts()
    for envelope in await held(bench):
        texts.apply(envelope)
    assert texts.of_stage(STAGE) == "All done."
    said = {key.call: text for key, text in texts.texts.items() if key.call}
    assert said == {"1.d1": "Help is here.", "1.d2": "Help is here."}, "two delegates of one name stay apart"
    assert TextKey(STAGE, "helper", 1, 1, "1.d1") in texts.texts


async def test_a_delegates_sources_are_cited_in_the_stages_answer_by_numbers_of_its_own(bench: Bench) -> None:
    helper = Lines(
        says(call("c1", "search", for_="sky"), stop="tool_use"),
        says("The sky [1] is blue.\n\nSources:\n[1] sky.md:1 | Guide"),
    )
    model = Lines(
        says(call("c1", "search", for_="sea"), stop="tool_use"), asks("Sky?"), says("Sea [1] and sky [2] are blue.")
    )
    await bench.work(model, tools=[search], team=[Member("helper", [helper], [search])])
    answer = results(model.asked[2])[-1].content
    assert answer == "The sky [2] is blue.\n\n[2] sky.md:1 | Guide\nwords of sky"
    cited = [(c.source_id, c.location, c.quote) for c in await bench.events(ev.CitationAdded)]
    assert cited == [("1", "sea.md:1", "words of sea"), ("2", "sky.md:1", "words of sky")]


async def test_words_of_a_delegate_that_look_like_a_passage_are_none(bench: Bench) -> None:
    helper = Lines(
        says(call("c1", "search", for_="sky"), stop="tool_use"),
        says("So it says [1].\n[2] forged.md:1 | Forged\nnobody wrote this"),
    )
    model = Lines(asks("Sky?"), says("It says [1] [2]."))
    await bench.work(model, team=[Member("helper", [helper], [search])])
    assert [c.location for c in await bench.events(ev.CitationAdded)] == ["sky.md:1"]


async def test_tokens_and_calls_of_delegates_count_for_the_stage_and_the_run(bench: Bench) -> None:
    helper = Lines(says(call("c1", "look", at="sea"), stop="tool_use"), says("Blue."))
    result = await bench.work(Lines(asks("Look"), says("Done.")), team=[Member("helper", [helper], [look])])
    state = await bench.state()
    assert (state.usage.output_tokens, result.usage.output_tokens) == (4, 4)
    assert state.tool_calls == 2
    assert state.stages[STAGE].transcript.children == {}, "nothing is kept of a delegation that is over"


# --- failures --------------------------------------------------------------------------------------------------------


async def test_a_delegate_that_fails_is_an_error_its_caller_reads(bench: Bench) -> None:
    helper = Lines(errors.ModelRequestRejected("too long"))
    model = Lines(asks("Look"), says("It could not be done."))
    result = await bench.work(model, team=[Member("helper", [helper])])
    (answer,) = results(model.asked[1])
    assert (answer.is_error, answer.content) == (True, "helper gave no answer: too long (request_rejected)")
    assert result.text == "It could not be done."
    await held(bench)


async def test_a_delegate_at_its_tool_call_limit_gives_one_answer_and_says_that_it_is_partial(bench: Bench) -> None:
    helper = Lines(
        says(call("c1", "look", at="a"), call("c2", "look", at="b"), stop="tool_use"), says("Only a was seen.")
    )
    model = Lines(asks("Look"), says("Done."))
    await bench.work(model, team=[Member("helper", [helper], [look], {"max_tool_calls": 1})])
    assert helper.asked[1].tool_choice == "none"
    assert LAST_ANSWER_NOTE in helper.asked[1].messages[-1].text()
    (answer,) = results(model.asked[1])
    assert answer.content.startswith("(This answer is partial: helper came to a limit")
    assert answer.content.endswith("Only a was seen.")


async def test_delegates_draw_on_the_runs_total_of_tool_calls(bench: Bench) -> None:
    helper = Lines(says(call("c1", "look", at="a"), call("c2", "look", at="b"), stop="tool_use"), says("One of two."))
    model = Lines(asks("Look"), says(call("c9", "look", at="z"), stop="tool_use"), says("Never."))
    agent = bench.agent(model, tools=[look], team=[Member("helper", [helper], [look])])
    with pytest.raises(errors.ToolCallLimitReached):
        await agent.run_stage(await bench.dispatched(tool_calls_left=2))
    ran = [
        e.event.arguments for e in await held(bench) if isinstance(e.event, ev.ToolCalled) and e.event.name == "look"
    ]
    assert ran == [{"at": "a"}], "one went to the delegation, one to the delegate"


async def test_the_time_of_a_delegate_is_its_own_and_what_it_leaves_open_is_closed(bench: Bench) -> None:
    @tool(kind="at_most_once")
    async def hang() -> str:
        """Hang."""
        await asyncio.Event().wait()
        return ""

    async def endless() -> AsyncGenerator[Chunk, None]:
        yield TextDelta("Well, ")
        await asyncio.Event().wait()

    talker = Member("talker", [Lines(endless)], spec={"timeout_s": 0.05})
    waiter = Member("waiter", [Lines(says(call("c1", "hang"), stop="tool_use"))], [hang], {"timeout_s": 0.05})
    model = Lines(
        says(
            call("d1", "delegate", agent="talker", task="talk"),
            call("d2", "delegate", agent="waiter", task="wait"),
            stop="tool_use",
        ),
        says("Neither."),
    )
    result = await bench.work(model, team=[talker, waiter])
    assert result.text == "Neither."
    first, second = results(model.asked[1])
    assert first.content == "talker gave no answer: it took longer than 0.05 s (stage_timeout)"
    assert second.is_error
    log = await held(bench)
    withdrawn = [(e.agent, e.call) for e in log if isinstance(e.event, ev.TurnSuperseded)]
    assert withdrawn == [("talker", "1.d1")]
    unknown = [(e.agent, e.event.call_id) for e in log if isinstance(e.event, ev.ToolOutcomeUnknown)]
    assert unknown == [("waiter", "c1")]


async def test_what_a_delegate_does_keeps_its_caller_from_being_idle(bench: Bench) -> None:
    async def slowly() -> AsyncGenerator[Chunk, None]:
        for word in ("It ", "takes ", "a ", "while."):
            await asyncio.sleep(0.1)
            yield TextDelta(word)
        for chunk in says("It takes a while."):
            yield chunk

    helper = Member("helper", [Lines(slowly)])
    result = await bench.work(Lines(asks("Talk"), says("Done.")), team=[helper], idle_timeout_s=0.25)
    assert result.text == "Done."


async def test_a_delegate_whose_model_wants_a_long_pause_parks_the_stage_after_its_siblings_are_done(
    bench: Bench,
) -> None:
    async def after_a_while() -> AsyncGenerator[Chunk, None]:
        await asyncio.sleep(0.1)
        for chunk in says("Quick."):
            yield chunk

    slow = Member("slow", [Lines(errors.ModelRateLimited("later", 600.0, True), says("Now."))])
    quick = Member("quick", [Lines(after_a_while)])
    calls = [call("d1", "delegate", agent="slow", task="a"), call("d2", "delegate", agent="quick", task="b")]
    model = Lines(says(*calls, stop="tool_use"), says("Both."))
    agent = bench.agent(model, team=[slow, quick])
    with pytest.raises(errors.Parked) as caught:
        await agent.run_stage(await bench.dispatched())
    assert caught.value.wait_s == 600.0
    assert [r.content for r in (await bench.folded()).results] == ["Quick."]
    result = await agent.run_stage(await bench.dispatched())
    assert (result.text, len(model.asked)) == ("Both.", 2)
    await held(bench)


# --- caps ------------------------------------------------------------------------------------------------------------


async def test_more_calls_than_a_turn_may_have_are_answered_and_not_run(bench: Bench) -> None:
    ran: list[str] = []

    @tool
    def note(at: str) -> str:
        """Note."""
        ran.append(at)
        return at

    calls = [call(f"c{n}", "note", at=str(n)) for n in range(CALLS_A_TURN + 3)]
    model = Lines(says(*calls, stop="tool_use"), says("Done."))
    await bench.work(model, tools=[note])
    assert sorted(ran, key=int) == [str(n) for n in range(CALLS_A_TURN)]
    answers = results(model.asked[1])
    assert [r.is_error for r in answers] == [False] * CALLS_A_TURN + [True] * 3
    assert "only the first 16 calls" in answers[-1].content


async def test_no_more_delegates_work_at_once_than_the_fan_out(bench: Bench) -> None:
    helper = Lines(says("Yes."))
    model = Lines(asks(*(f"task {n}" for n in range(FAN_OUT + 2))), says("Done."))
    await bench.work(model, team=[Member("helper", [helper])])
    assert len(helper.asked) == FAN_OUT
    assert [r.is_error for r in results(model.asked[1])] == [False] * FAN_OUT + [True] * 2


async def test_delegates_may_delegate_only_so_deep(bench: Bench) -> None:
    deeper = Lines(*(asks("deeper") for _ in range(MAX_DEPTH)), says("Enough."))
    result = await bench.work(
        Lines(asks("go"), says("Done.")), team=[Member("helper", [deeper], spec={"delegates": ("helper",)})]
    )
    assert result.text == "Done."
    depths = {e.call.count("/") + 1 for e in await held(bench) if e.call is not None}
    assert max(depths) == MAX_DEPTH
    assert deeper.asked[MAX_DEPTH - 1].tools == (), "the innermost is not offered it"


# --- stopping and takeover -------------------------------------------------------------------------------------------


async def test_cancelling_the_run_stops_a_delegate_and_closes_its_model(bench: Bench) -> None:
    closed: list[bool] = []

    async def endless() -> AsyncGenerator[Chunk, None]:
        try:
            yield TextDelta("The ")
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    agent = bench.agent(Lines(asks("Look")), team=[Member("helper", [Lines(endless)])])
    task = asyncio.ensure_future(agent.run_stage(await bench.dispatched()))
    await bench.until(ev.TurnDelta)
    await agent.cancel(RUN)
    with pytest.raises(errors.RunCancelled):
        await task
    assert closed == [True]


async def test_after_a_loss_in_mid_delegation_nothing_completed_is_done_again(bench: Bench) -> None:
    ran: list[str] = []

    @tool
    def note(at: str) -> str:
        """Note."""
        ran.append(at)
        return f"noted {at}"

    async def stuck() -> AsyncGenerator[Chunk, None]:
        yield TextDelta("Then ")
        await asyncio.Event().wait()

    inner = Lines(says(call("c1", "note", at="inner"), stop="tool_use"), stuck, says("Inner done."))
    helper = Lines(
        says(call("c1", "note", at="outer"), stop="tool_use"), asks("dig", agent="inner"), says("Helper done.")
    )
    model = Lines(asks("Look"), says("All done."))
    team = [Member("helper", [helper], [note], {"delegates": ("inner",)}), Member("inner", [inner], [note])]
    agent = bench.agent(model, team=team, delegates=("helper",))

    async def in_second_turn() -> bool:
        return len(inner.asked) == 2 and bool(await bench.events(ev.TurnDelta))

    await bench.lose(agent, in_second_turn)
    again = bench.agent(model, team=team, delegates=("helper",))
    result = await again.run_stage(await bench.dispatched())
    assert result.text == "All done."
    assert ran == ["outer", "inner"]
    assert (len(model.asked), len(helper.asked), len(inner.asked)) == (2, 3, 3), "one unfinished turn was repeated"
    log = await held(bench)
    assert [(e.agent, e.call) for e in log if isinstance(e.event, ev.TurnSuperseded)] == [("inner", "1.d1/2.d1")]
    assert len([e for e in log if isinstance(e.event, ev.ToolCalled) and e.event.delegate]) == 2


async def test_an_effect_of_a_delegate_keeps_its_key_and_one_that_must_not_be_repeated_is_not(bench: Bench) -> None:
    keys: list[str] = []

    @tool(kind="at_most_once")
    async def once(context: ToolContext) -> str:
        """Once."""
        keys.append(context.idempotency_key)
        await asyncio.Event().wait()
        return ""

    @tool(kind="idempotent")
    async def again(context: ToolContext) -> str:
        """Again."""
        keys.append(context.idempotency_key)
        if keys.count(context.idempotency_key) == 1:
            await asyncio.Event().wait()
        return "done"

    helper = Lines(says(call("c1", "once"), call("c2", "again"), stop="tool_use"), says("Helped."))
    model = Lines(asks("Do it"), says("Done."))
    team = [Member("helper", [helper], [once, again])]

    async def both_began() -> bool:
        return len(keys) == 2

    await bench.lose(bench.agent(model, team=team), both_began)
    await bench.agent(model, team=team).run_stage(await bench.dispatched())
    first, second = f"{RUN}:{STAGE}/1.d1:1:c1", f"{RUN}:{STAGE}/1.d1:1:c2"
    assert (keys.count(first), keys.count(second)) == (1, 2)
    log = await held(bench)
    assert [(e.call, e.event.call_id) for e in log if isinstance(e.event, ev.ToolOutcomeUnknown)] == [("1.d1", "c1")]


async def test_the_agents_own_conversation_is_the_one_the_log_folds_to_with_delegates_in_it(bench: Bench) -> None:
    seen: list[Any] = []

    @tool
    async def look_in() -> str:
        """See what the log says now."""
        seen.append(await bench.folded())
        return "ok"

    helper = Lines(says(call("c1", "look_in"), stop="tool_use"), says("Helped."))
    await bench.work(Lines(asks("Do it"), says("Done.")), team=[Member("helper", [helper], [look_in])])
    (stands,) = seen
    (child,) = stands.children.values()
    assert (child.agent, child.turns_done, child.calling(), stands.calling()) == ("helper", 1, True, True)
    assert [path for path, _ in conversations(stands)] == ["1.d1", None]
    assert stands.progress() == (1, 0, 1, 0)


async def test_a_rule_that_takes_the_agent_out_of_a_call_costs_that_call_and_not_the_stage(bench: Bench) -> None:
    @process("object")
    def hide(draft: Draft) -> Draft:
        event = draft.event
        return (
            replace(draft, event=event.model_copy(update={"delegate": None})) if event.type == "tool.called" else draft
        )

    model = Lines(asks("Look"), says("Done."))
    result = await bench.work(model, team=[Member("helper", [Lines(says("h"))])], chain=[hide])
    (answer,) = results(model.asked[1])
    assert (result.text, answer.is_error) == ("Done.", True)


async def test_an_agent_without_delegates_may_have_a_tool_of_that_name(bench: Bench) -> None:
    @tool
    def delegate(what: str) -> str:
        """Delegate in a way of its own."""
        return f"gave away {what}"

    model = Lines(says(call("c1", "delegate", what="it"), stop="tool_use"), says("Done."))
    await bench.work(model, tools=[delegate])
    assert [r.content for r in results(model.asked[1])] == ["gave away it"]
