"""A conversation that outgrows its model's window goes on shorter, and every reader of the log has the same one."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import errors
from runtime.agents.agent import Agent
from runtime.agents.citations import highest_mark
from runtime.agents.compaction import KEPT_TURNS, Shorten, Summarise, decide, too_long
from runtime.agents.request import PersonSaid
from runtime.events import catalog as ev
from runtime.events.compaction import LEFT_OUT, SUMMARY, shortened, source_texts, summarised
from runtime.events.fold import fold_all
from runtime.events.messages import (
    ContentBlock,
    Conversation,
    Message,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    load_conversation,
    user,
)
from runtime.events.texts import Texts
from runtime.events.transcript import Transcript, advance
from runtime.llm.client import Chunk, InvalidCall, ModelRequest
from runtime.llm.models import CATALOGUE, Catalogue, ModelFacts, Price
from runtime.tools.tool import Citation, ToolResult, tool
from tests.agents.bench import RUN, STAGE, Bench, Lines, Member, call, open_bench, says
from tests.checker import check_run
from tests.faults.stage import stage

WINDOW = 4000
THOUGHT = ThinkingBlock(thinking="hm", signature="c2ln")


@tool
def find(query: str) -> ToolResult:
    """Find something."""
    shown = f"[1] {query}.md:1 | About {query}\n" + "many words " * 270
    return ToolResult(shown, citations=(Citation(title=query, location=f"{query}.md:1", quote="many words"),))


def knowing(window: int, *models: str) -> Catalogue:
    facts = ModelFacts(price=Price(1, 1, 1, 1), window=window, cache_minimum=0)
    return Catalogue(server_tools=CATALOGUE.server_tools, models=dict.fromkeys(models or ("model-1",), facts))


SMALL = knowing(WINDOW)


def turn(number: int, size: int = 1000) -> Conversation:
    use = ToolUseBlock(id=f"c{number}", name="find", input={"query": f"q{number}"})
    shown = f"[{number}] q{number}.md:1 | About\n" + "x" * size
    return (
        Message(role="assistant", content=(THOUGHT, TextBlock(text=f"I look {number}."), use)),
        Message(role="user", content=(ToolResultBlock(tool_use_id=use.id, content=shown),)),
    )


def turns(*numbers: int) -> Conversation:
    return tuple(message for number in numbers for message in turn(number))


# --- the decision -----------------------------------------------------------------------------------------------------


def test_old_results_go_first_then_the_oldest_turns_and_the_last_two_never() -> None:
    conversation = turns(1, 2, 3, 4)
    assert decide(conversation) == Shorten(4)
    assert decide(shortened(conversation, 4)) == Summarise(4)
    after = summarised(shortened(conversation, 4), 4, "so far")
    assert after[1:] == conversation[4:]
    assert decide(after) is None
    assert decide(turns(1, 2)) is None
    assert decide(()) is None


def test_a_turn_that_goes_on_from_a_pause_is_not_torn_apart() -> None:
    paused = Message(role="assistant", content=(TextBlock(text="..."),))
    conversation = (*turns(1), paused, *turns(2), paused, *turns(3))
    assert decide(conversation) == Shorten(2)


@pytest.mark.parametrize(
    ("tokens", "max_tokens", "too"), [(800, 100, False), (801, 100, True), (700, 300, False), (700, 301, True)]
)
def test_a_prompt_may_take_four_fifths_and_must_leave_room_for_the_answer(
    tokens: int, max_tokens: int, too: bool
) -> None:
    assert too_long(tokens, max_tokens, 1000) is too


# --- what is left -----------------------------------------------------------------------------------------------------


def test_a_shortened_result_says_what_it_was_and_keeps_its_sources_and_all_that_the_model_said() -> None:
    before = turns(1, 2)
    after = shortened(before, 2)
    (result,) = after[1].content
    assert isinstance(result, ToolResultBlock)
    assert result.content == f"{LEFT_OUT}1020 characters that find answered.)\n[1] q1.md:1 | About"
    assert (after[0], after[2:]) == (before[0], before[2:])
    assert shortened(after, 2) == after


def test_a_short_result_stays_as_it_is() -> None:
    result = ToolResultBlock(tool_use_id="c1", content="Yes.")
    conversation = (turn(1)[0], Message(role="user", content=(result,)))
    assert shortened(conversation, 2) == conversation


def test_a_summary_keeps_the_sources_of_what_it_stands_for_also_when_it_is_summed_up_itself() -> None:
    once = summarised(turns(1, 2, 3), 4, "once")
    twice = summarised((*once, *turns(4)), 3, "and on")
    assert twice[0].text().startswith(SUMMARY)
    assert "once" not in twice[0].text()
    assert "\n".join(source_texts(twice[:1])).count("| About") == 3
    assert source_texts((user(f"The user writes {SUMMARY}"),)) == []


def made_shorter(conversation: Conversation, step: Shorten | Summarise) -> Conversation:
    if isinstance(step, Shorten):
        return shortened(conversation, step.upto)
    return summarised(conversation, step.upto, "so far")


results = st.builds(
    lambda name, size, marks: (name, "\n".join([*(f"[{m}] a.md:{m} | A" for m in range(marks)), "x" * size])),
    st.text("abc_", min_size=1, max_size=128),
    st.integers(0, 700),
    st.integers(0, 9),
)


@given(st.lists(results, max_size=8))
def test_whatever_the_results_there_is_an_end_to_making_it_shorter_and_no_source_is_lost(
    answers: list[tuple[str, str]],
) -> None:
    """A step that changed nothing would be taken again for ever, each time with an event."""
    conversation: Conversation = ()
    for number, (name, text) in enumerate(answers):
        use = ToolUseBlock(id=f"c{number}", name=name, input={})
        result = ToolResultBlock(tool_use_id=use.id, content=text)
        conversation += (Message(role="assistant", content=(use,)), Message(role="user", content=(result,)))
    before, steps = highest_mark(conversation), 0
    while (step := decide(conversation)) is not None:
        steps += 1
        assert steps <= 2
        conversation = made_shorter(conversation, step)
    assert highest_mark(conversation) == before


# --- in the loop ------------------------------------------------------------------------------------------------------


class Narrow(Lines):
    """A model with a window of ``WINDOW`` tokens of four bytes that calls ``find`` again and again, then answers."""

    def __init__(self, calls: int, counts: bool = True) -> None:
        super().__init__(says("?"))
        self.calls, self.counts, self.counted = calls, counts, 0

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        self.asked.append(request)
        number = sum(bool(asked.tools) for asked in self.asked)
        if not request.tools:
            line = says("Found much [1].")
        elif number > self.calls:
            line = says("It is so [1] [2].")
        else:
            line = says(THOUGHT, call(f"c{number}", "find", query=f"q{number}"), stop="tool_use")
        for chunk in line:
            yield chunk

    async def count(self, request: ModelRequest) -> int | None:
        self.counted += 1
        return size(request) // 4 if self.counts else None


def blocks(messages: Conversation) -> list[ContentBlock]:
    return [block for message in messages for block in message.content]


def size(request: ModelRequest) -> int:
    return sum(len(message.model_dump_json()) for message in request.messages)


@pytest.mark.parametrize("counts", [True, False])
async def test_a_long_stage_stays_within_its_window_and_still_cites_its_first_source(
    bench: Bench, counts: bool
) -> None:
    model = Narrow(12, counts)
    result = await bench.work(model, tools=(find,), catalogue=SMALL, max_tokens=400)
    assert result.text == "It is so [1] [2]."
    assert all(size(request) // 4 <= WINDOW for request in model.asked)
    said = await bench.events(ev.RecoveryCompacted)
    assert any(one.shortened for one in said)
    assert all(one.tokens > 0.8 * WINDOW for one in said)
    cited = await bench.events(ev.CitationAdded)
    assert [(c.source_id, c.location) for c in cited] == [("1", "q1.md:1"), ("2", "q2.md:1")]
    assert all(c.quote for c in cited)


async def test_what_a_model_is_asked_is_what_the_log_says(bench: Bench) -> None:
    """After each compaction: fold the log as a takeover does, and compare with the request that was made."""
    model = Narrow(12)
    await bench.work(model, tools=(find,), catalogue=knowing(2300), max_tokens=100)
    assert [e for e in await bench.events(ev.RecoveryCompacted) if e.summarised]
    transcript = (await bench.folded()).done
    last = next(request for request in reversed(model.asked) if request.tools)
    first, *rest = last.messages
    beginning = first.content[1:]  # the brief, then the summary
    assert beginning == transcript[0].content
    assert tuple(rest) == transcript[1:-1]
    starts = [message for message in transcript if message.role == "assistant"]
    assert all(THOUGHT in message.content for message in starts[:-1])


async def test_a_summary_is_a_paid_turn_of_the_stage_and_no_words_of_it(bench: Bench) -> None:
    await bench.work(Narrow(12), tools=(find,), catalogue=knowing(2300), max_tokens=100)
    texts = Texts()
    for envelope in await bench.log():
        texts.apply(envelope)
    assert "Found much" not in texts.of_stage(STAGE)
    turns_made = await bench.events(ev.TurnCompleted)
    assert [t.purpose for t in turns_made].count("summary") >= 1
    assert (await bench.folded()).usage.output_tokens == len(turns_made)


async def test_a_takeover_uses_the_summary_a_lost_process_had_made(bench: Bench) -> None:
    catalogue, options = knowing(2300), {"tools": (find,), "max_tokens": 100}
    await bench.work(Narrow(12), catalogue=catalogue, **options)
    log = await bench.stage_log()
    at = next(
        n
        for n, e in enumerate(log)
        if getattr(e.event, "purpose", "") == "summary" and e.event.type == "turn.completed"
    )
    transcript = Transcript()
    for envelope in log[: at + 1]:
        transcript = advance(transcript, envelope.event, envelope.turn, envelope.attempt)
    assert transcript.summary == "Found much [1]."
    successor = Narrow(0)
    await bench.agent(successor, catalogue=catalogue, **options).run_stage(
        await bench.dispatched(transcript=transcript)
    )
    assert [bool(request.tools) for request in successor.asked] == [True]
    assert "Found much [1]." in successor.asked[0].messages[0].text()


async def test_nothing_is_counted_while_the_conversation_surely_fits(bench: Bench) -> None:
    model = Narrow(2)
    await bench.work(model, tools=(find,), catalogue=knowing(1_000_000))
    assert model.counted == 0
    assert await bench.events(ev.RecoveryCompacted) == []


FULL = "model_context_window_exceeded"


async def test_a_model_that_says_its_window_is_full_is_asked_again_with_less(bench: Bench) -> None:
    calls = [says(call(f"c{n}", "find", query=f"q{n}"), stop="tool_use") for n in range(4)]
    model = Lines(*calls, says("Half an ans", stop=FULL), says("Whole."))
    result = await bench.work(model, tools=(find,))
    assert result.text == "Whole."
    (said,) = await bench.events(ev.RecoveryCompacted)
    assert (said.shortened, said.tokens) == (4, 0)
    assert "Half an ans" not in "".join(message.text() for message in model.asked[-1].messages)
    assert len(model.asked[-1].messages) == len(model.asked[-2].messages)


async def test_a_window_that_is_full_at_once_fails_the_stage(bench: Bench) -> None:
    with pytest.raises(errors.StageFailed) as caught:
        await bench.work(Lines(says("Half", stop=FULL)), tools=(find,))
    assert caught.value.reason == "context_overflow"


async def test_a_window_that_stays_full_fails_the_stage_when_nothing_more_can_be_left_out(bench: Bench) -> None:
    calls = [says(call(f"c{n}", "find", query=f"q{n}"), stop="tool_use") for n in range(KEPT_TURNS + 1)]
    with pytest.raises(errors.StageFailed) as caught:
        await bench.work(Lines(*calls, says("", stop=FULL)), tools=(find,))
    assert caught.value.reason == "context_overflow"


async def test_a_limit_reached_after_a_summary_carries_it(bench: Bench) -> None:
    model, catalogue = Narrow(20), knowing(2300)
    options: dict[str, Any] = {"tools": (find,), "catalogue": catalogue, "max_tokens": 100, "max_tool_calls": 12}
    request = await bench.dispatched()
    with pytest.raises(errors.ToolCallLimitReached) as caught:
        await bench.agent(model, **options).run_stage(request)
    carried = load_conversation(caught.value.conversation)
    assert carried[1:] == (await bench.folded()).messages()
    again = await bench.resumed(request, caught.value)
    assert again.transcript.done[0].text().startswith(SUMMARY)


async def test_a_summary_is_a_turn_that_the_stages_limits_count() -> None:
    options: dict[str, Any] = {"tools": (find,), "catalogue": knowing(2300), "max_tokens": 100}
    async with open_bench() as bench:
        await bench.work(Narrow(12), **options)
        made = [turn.purpose for turn in await bench.events(ev.TurnCompleted)]
    turns_to_summary = made.index("summary") + 1
    async with open_bench() as bench:
        model = Narrow(12)
        with pytest.raises(errors.StageFailed) as caught:
            await bench.work(model, max_turns=turns_to_summary, **options)
        assert (caught.value.reason, len(model.asked)) == ("turn_limit", turns_to_summary)
    async with open_bench() as bench:
        model = Narrow(12)
        with pytest.raises(errors.StageFailed):
            await bench.work(model, max_turns=turns_to_summary - 1, **options)
        assert all(request.tools for request in model.asked), "nor is a summary begun past a limit"


async def test_a_full_window_leads_to_no_summary_past_the_stages_limit(bench: Bench) -> None:
    """The turns in which the window was full count, and the limit is looked at again before the summary."""
    calls = [says(call(f"c{n}", "find", query=f"q{n}"), stop="tool_use") for n in range(4)]
    model = Lines(*calls, says("Half", stop=FULL), says("Half", stop=FULL), says("A summary."))
    with pytest.raises(errors.StageFailed) as caught:
        await bench.work(model, tools=(find,), max_turns=6)
    assert (caught.value.reason, len(model.asked)) == ("turn_limit", 6)
    assert [said.shortened for said in await bench.events(ev.RecoveryCompacted)] == [4], "the gentler step was taken"
    assert "summary" not in [turn.purpose for turn in await bench.events(ev.TurnStarted)]


async def test_a_delegates_conversation_goes_on_shorter_too_and_the_log_folds_to_it(bench: Bench) -> None:
    helper = Narrow(12)
    model = Lines(says(call("d1", "delegate", agent="helper", task="t"), stop="tool_use"), says("Done."))
    agent = bench.agent(
        model, team=[Member("helper", [helper], [find], {"max_tokens": 100})], catalogue=knowing(2300), max_tokens=100
    )
    await agent.run_stage(await bench.dispatched())
    log = check_run(await bench.hub.read(RUN, after=0), ended=False)
    said = [e for e in log if isinstance(e.event, ev.RecoveryCompacted)]
    assert {e.call for e in said} == {"1.d1"}
    assert any(e.event.summarised for e in said if isinstance(e.event, ev.RecoveryCompacted))
    begun = [n for n, e in enumerate(log) if isinstance(e.event, ev.TurnStarted) and e.call]
    assert len(begun) == len(helper.asked)
    for n, asked in zip(begun, helper.asked, strict=True):
        if asked.tools:  # else it is a summary
            (child,) = fold_all(log[:n]).stages[STAGE].transcript.children.values()
            assert blocks(asked.messages)[1:] == blocks(child.messages())
    state, counted = await bench.state(), agent.statistics()["recovery.compacted"]
    assert state.recoveries["compacted"] == counted == len(said)
    assert state.stages[STAGE].transcript.usage.output_tokens == len(await bench.events(ev.TurnCompleted))


async def test_a_lost_delegate_goes_on_from_its_shortened_conversation(bench: Bench) -> None:
    model = Lines(says(call("d1", "delegate", agent="helper", task="t"), stop="tool_use"), says("Done."))
    catalogue = knowing(2300)

    def at_work(helper: Narrow) -> Agent:
        team = [Member("helper", [helper], [find], {"max_tokens": 100})]
        return bench.agent(model, team=team, catalogue=catalogue, max_tokens=100)

    async def summed_up() -> bool:
        return any(e.summarised for e in await bench.events(ev.RecoveryCompacted))

    await bench.lose(at_work(Narrow(40)), summed_up)
    (child,) = (await bench.folded()).children.values()
    assert child.done[0].text().startswith(SUMMARY)
    successor = Narrow(0)
    result = await at_work(successor).run_stage(await bench.dispatched())
    assert result.text == "Done."
    assert SUMMARY in successor.asked[0].messages[0].text()


async def test_what_a_person_said_is_not_told_again_when_its_turn_was_summed_up(bench: Bench) -> None:
    said = (PersonSaid("i1", "Hurry."),)
    options: dict[str, Any] = {"tools": (find,), "catalogue": knowing(2300), "max_tokens": 100}
    await bench.agent(Narrow(12), **options).run_stage(await bench.dispatched(said=said))
    assert "Hurry." not in "".join(message.text() for message in (await bench.folded()).messages())
    again = Narrow(0)
    await bench.agent(again, **options).run_stage(await bench.dispatched(said=said))
    assert again.asked == []
    assert len(await bench.events(ev.InputDelivered)) == 1


async def test_a_pause_whose_continuation_found_the_window_full_is_gone_on_from(bench: Bench) -> None:
    calls = [says(call(f"c{n}", "find", query=f"q{n}"), stop="tool_use") for n in range(4)]
    model = Lines(*calls, says("Half.", stop="pause_turn"), says("", stop=FULL), says("Whole."))
    result = await bench.work(model, tools=(find,))
    assert result.text == "Whole."


async def test_a_call_that_a_full_window_cut_off_is_not_answered(bench: Bench) -> None:
    calls = [says(call(f"c{n}", "find", query=f"q{n}"), stop="tool_use") for n in range(4)]
    cut = says(call("c9", "find"), stop=FULL, invalid=[InvalidCall("c9", "find", "{", "cut off")])
    model = Lines(*calls, cut, says("Whole."))
    await bench.work(model, tools=(find,))
    results = [b.tool_use_id for b in blocks(model.asked[-1].messages) if isinstance(b, ToolResultBlock)]
    assert results == ["c0", "c1", "c2", "c3"]


async def test_the_one_answer_without_tools_is_made_again_when_the_window_was_full(bench: Bench) -> None:
    stands = Transcript(done=turns(1, 2, 3, 4), turns_done=4, turn=4, attempt=1)
    model = Lines(says("Half an ans", stop=FULL), says("Whole."))
    request = await bench.dispatched(transcript=stands, tools_off=True)
    result = await bench.agent(model, tools=(find,)).run_stage(request)
    assert (result.text, result.partial) == ("Whole.", True)


# --- over HTTP --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [True, False])
async def test_through_the_real_adapter_a_narrow_model_answers_after_many_calls(counts: bool) -> None:
    model = "window-4000x9"
    async with stage() as on:
        on.server.counts = counts
        result = await on.ask(model, tools=(find,), catalogue=knowing(4000, model), max_tokens=100)
        assert result.text
        assert await on.events(ev.RecoveryCompacted)
        assert [t.stop_reason for t in await on.events(ev.TurnCompleted)].count(FULL) == 0
        asked = {call.path for call in on.server.calls}
        assert asked == {"/v1/messages", "/v1/messages/count_tokens"}
        await on.money_adds_up()


async def test_through_the_real_adapter_a_window_nobody_knew_of_is_learned_from_the_model() -> None:
    async with stage() as on:
        await on.ask("window-4000x9", tools=(find,), max_tokens=100)
        overflows = [t.stop_reason for t in await on.events(ev.TurnCompleted)].count(FULL)
        assert overflows == len(await on.events(ev.RecoveryCompacted)) >= 1
        await on.money_adds_up()


async def test_each_turn_reads_the_one_before_from_the_cache() -> None:
    async with stage() as on:
        await on.ask("window-99999x3", tools=(find,))
        usages = [t.usage for t in await on.events(ev.TurnCompleted)]
        read, written = [u.cache_read_tokens for u in usages], [u.cache_write_tokens for u in usages]
        assert read[0] == 0
        assert all(now == before + wrote for now, before, wrote in zip(read[1:], read, written, strict=False))
        assert (await on.folded()).usage.cache_read_tokens == sum(read)
