"""The agent loop: model turn, tools, model turn; nothing happens that is not in the log first, and nothing happens twice."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from runtime import errors
from runtime.agents.request import Source
from runtime.events import catalog as ev
from runtime.events.brief import render
from runtime.events.envelope import Draft
from runtime.events.messages import TextBlock, ToolResultBlock, load_conversation, user
from runtime.events.notes import LIMIT_NOTE
from runtime.events.texts import Texts
from runtime.llm.client import Chunk, InvalidCall, TextDelta
from runtime.llm.options import ModelOptions
from runtime.recovery.policy import RetryPolicy
from runtime.stream.chain import enrich, process, transform
from runtime.tools.tool import Citation, ToolContext, ToolResult, tool
from tests.agents.bench import BRIEF, RUN, STAGE, WORKER, Bench, Lines, Played, call, says


@tool
def look(at: str) -> str:
    """Look at something."""
    return f"saw {at}"


@tool(kind="at_most_once")
async def send(to: str, context: ToolContext) -> str:
    """Send something that cannot be taken back."""
    context.emit("sending", to)
    await asyncio.Event().wait()
    return to


LOOK_TWICE = """
[[turn]]
turn = 1
text = "I look. "
tool_calls = [{ name = "look", input = { at = "sea" } }, { name = "look", input = { at = "sky" } }]
[[turn]]
turn = 2
text = "Both are blue."
"""

ALWAYS_LOOK = """
[[turn]]
text = "More. "
tool_calls = [{ name = "look", input = { at = "a{turn}" } }, { name = "look", input = { at = "b{turn}" } }]
[[turn]]
turn = 3
text = "That is all."
"""


LAZY = pytest.mark.parametrize("bench", [30.0], indirect=True)
"""A publisher that writes only what somebody waits for: whatever is not waited for is missing in the log."""


def results(request: Any) -> list[ToolResultBlock]:
    return [b for m in request.messages for b in m.content if isinstance(b, ToolResultBlock)]


# --- an ordinary stage -----------------------------------------------------------------------------------------------


async def test_tool_calls_run_and_the_model_reads_their_answers_in_the_order_of_its_calls(bench: Bench) -> None:
    model = Played(LOOK_TWICE)
    result = await bench.work(model, tools=[look])
    assert (result.text, result.tool_calls, result.partial) == ("Both are blue.", 2, False)
    assert [r.content for r in results(model.asked[1])] == ["saw sea", "saw sky"]
    assert [r.tool_use_id for r in results(model.asked[1])] == [c.call_id for c in await bench.events(ev.ToolCalled)]
    assert [m.role for m in model.asked[1].messages] == ["user", "assistant", "user"]
    assert await bench.types("turn.delta") == [
        *("turn.started", "turn.completed", "tool.called", "tool.called", "tool.completed", "tool.completed"),
        *("turn.started", "turn.completed"),
    ]


async def test_answers_keep_the_order_of_the_calls_when_the_first_takes_longest(bench: Bench) -> None:
    first_may_end = asyncio.Event()

    @tool
    async def wait(for_: str) -> str:
        """Wait."""
        if for_ == "other":
            await first_may_end.wait()
        else:
            first_may_end.set()
        return f"waited for {for_}"

    model = Lines(
        says(call("c1", "wait", for_="other"), call("c2", "wait", for_="none"), stop="tool_use"), says("Done.")
    )
    await bench.work(model, tools=[wait])
    assert [c.call_id for c in await bench.events(ev.ToolCompleted)] == ["c2", "c1"], "they ran side by side"
    assert [r.tool_use_id for r in results(model.asked[1])] == ["c1", "c2"]


async def test_the_model_is_given_its_instructions_its_brief_and_only_its_own_tools(bench: Bench) -> None:
    model = Played('[[turn]]\ntext = "Yes."')
    await bench.work(model, tools=[look], max_tokens=77)
    (asked,) = model.asked
    assert (asked.model, asked.system, asked.agent, asked.turn, asked.max_tokens) == ("model-1", "Work.", WORKER, 1, 77)
    assert asked.messages == (user(render(BRIEF)),)
    assert [(t.name, t.input_schema["required"]) for t in asked.tools] == [("look", ["at"])]


async def test_the_conversation_the_model_is_asked_with_is_the_one_the_log_folds_to(bench: Bench) -> None:
    model = Played(LOOK_TWICE)
    await bench.work(model, tools=[look])
    folded = await bench.folded()
    assert (*model.asked[1].messages, folded.done[-1]) == (user(render(BRIEF)), *folded.messages())
    assert (folded.finished(), folded.tool_calls, folded.turns_done) == (True, 2, 2)


async def test_tokens_are_shown_in_their_turn_and_attempt(bench: Bench) -> None:
    await bench.work(Played('[[turn]]\nthinking = "hm "\ntext = "Blue it is."'))
    deltas = [e for e in await bench.log() if isinstance(e.event, ev.TurnDelta)]
    assert {(e.stage, e.agent, e.turn, e.attempt) for e in deltas} == {(STAGE, WORKER, 1, 1)}
    said = {kind: "".join(e.event.text for e in deltas if e.event.kind == kind) for kind in ("thinking", "text")}  # type: ignore[union-attr]
    assert said == {"thinking": "hm ", "text": "Blue it is."}


async def test_an_intent_is_durable_before_its_effect(bench: Bench) -> None:
    seen: dict[str, list[str]] = {}

    @tool
    async def spy(name: str) -> str:
        """Read the log."""
        seen[name] = [e.event.call_id for e in await bench.log() if isinstance(e.event, ev.ToolCalled)]
        return "ok"

    model = Lines(says(call("c1", "spy", name="x"), call("c2", "spy", name="y"), stop="tool_use"), says("Done."))
    await bench.work(model, tools=[spy])
    assert seen == {"x": ["c1", "c2"], "y": ["c1", "c2"]}


async def test_a_turn_is_announced_durably_before_the_model_is_asked(bench: Bench) -> None:
    seen: list[list[str]] = []

    async def spy() -> AsyncGenerator[Chunk, None]:
        seen.append([e.event.type for e in await bench.stage_log()])
        yield says("Yes.")[0]

    await bench.work(Lines(spy))
    assert seen == [["turn.started"]]


@LAZY
async def test_everything_is_durable_when_the_call_returns(bench: Bench) -> None:
    result = await bench.work(Played(LOOK_TWICE), tools=[look])
    assert (await bench.events(ev.TurnCompleted))[-1].content == (TextBlock(text=result.text),)


async def test_a_call_of_a_tool_is_shown_with_its_kind_and_title(bench: Bench) -> None:
    await bench.work(Played(LOOK_TWICE), tools=[look])
    shown = (await bench.events(ev.ToolCalled))[0]
    assert (shown.title, shown.kind, shown.arguments) == ("Look", "read", {"at": "sea"})


# --- tools that go wrong ---------------------------------------------------------------------------------------------


async def test_an_unknown_tool_is_answered_with_those_there_are(bench: Bench) -> None:
    model = Lines(says(call("c1", "destroy", all=True), stop="tool_use"), says("Sorry."))
    assert (await bench.work(model, tools=[look])).text == "Sorry."
    (answer,) = results(model.asked[1])
    assert (answer.content, answer.is_error) == ("There is no tool 'destroy'; there are: look.", True)


async def test_a_failing_tool_is_an_answer_and_its_neighbour_is_unharmed(bench: Bench) -> None:
    @tool
    def broken(x: int) -> str:
        """Break."""
        raise RuntimeError("no luck")

    calls = (call("c1", "broken", x=1), call("c2", "look", at="sea"), call("c3", "broken", x="one"))
    model = Lines(says(*calls, stop="tool_use"), says("Enough."))
    assert (await bench.work(model, tools=[broken, look])).text == "Enough."
    first, second, third = results(model.asked[1])
    assert (first.is_error, first.content) == (True, "broken failed: RuntimeError: no luck")
    assert (second.is_error, second.content) == (False, "saw sea")
    assert third.is_error
    assert "arguments do not fit" in third.content


async def test_arguments_that_do_not_parse_are_told_and_never_run(bench: Bench) -> None:
    bad = InvalidCall("c9", "look", '{"at": "/etc', "the arguments are not valid JSON")
    model = Lines(says("I look.", stop="tool_use", invalid=[bad]), says("Never mind."))
    assert (await bench.work(model, tools=[look])).text == "Never mind."
    assert "the arguments are not valid JSON" in model.asked[1].messages[-1].text()
    assert await bench.events(ev.ToolCalled) == []
    (told,) = await bench.events(ev.ToolArgumentsInvalid)
    assert (told.call_id, told.name) == ("c9", "look")
    assert (await bench.folded()).finished()


async def test_tool_calls_of_a_turn_cut_at_max_tokens_are_never_run(bench: Bench) -> None:
    model = Lines(says("I will", call("c1", "look", at="sea"), stop="max_tokens"), says("Here."))
    result = await bench.work(model, tools=[look])
    assert await bench.events(ev.ToolCalled) == []
    assert await bench.events(ev.ToolCompleted) == []
    assert result.text == "Here."
    assert "max_tokens" in model.asked[1].messages[-1].text()


async def test_an_answer_cut_at_max_tokens_is_partial_and_says_so(bench: Bench) -> None:
    result = await bench.work(Lines(says("The sky is", stop="max_tokens")))
    assert (result.text, result.partial) == ("The sky is", True)
    assert [e.truncated for e in await bench.events(ev.TurnCompleted)] == [True]


@pytest.mark.parametrize("sync", [True, False])
async def test_a_tools_own_events_are_in_the_log_before_its_result(bench: Bench, sync: bool) -> None:
    threads: set[int] = set()

    def report(context: ToolContext) -> str:
        threads.add(threading.get_ident())
        context.emit("progress", {"done": 0.5})
        context.emit("progress", {"done": 1.0})
        return "done"

    @tool(name="report")
    def in_thread(context: ToolContext) -> str:
        """Report."""
        return report(context)

    @tool(name="report")
    async def on_loop(context: ToolContext) -> str:
        """Report."""
        return report(context)

    model = Lines(says(call("c1", "report"), stop="tool_use"), says("Done."))
    await bench.work(model, tools=[in_thread if sync else on_loop])
    assert (threading.get_ident() not in threads) == sync
    types = await bench.types("turn.started", "turn.completed", "turn.delta")
    assert types == ["tool.called", "custom", "custom", "tool.completed"]
    assert [e.value for e in await bench.events(ev.Custom)] == [{"done": 0.5}, {"done": 1.0}]


@LAZY
async def test_a_tools_own_events_are_durable_when_the_call_ends_however_slow_the_chain(bench: Bench) -> None:
    @enrich("object")
    async def slow(draft: Draft) -> Draft:
        if isinstance(draft.event, ev.Custom):
            for _ in range(50):
                await asyncio.sleep(0)
        return draft

    @tool
    async def report(context: ToolContext) -> str:
        """Report."""
        context.emit("progress", 1)
        return "done"

    model = Lines(says(call("c1", "report"), call("c2", "report"), stop="tool_use"))
    with pytest.raises(errors.ToolCallLimitReached):
        await bench.work(model, tools=[report], chain=[slow], max_tool_calls=1)
    assert [e.value for e in await bench.events(ev.Custom)] == [1]


async def test_an_event_of_a_tool_that_json_cannot_hold_costs_only_itself_and_is_reported(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    @tool
    async def report(context: ToolContext) -> str:
        """Report."""
        context.emit("progress", object())
        context.emit("progress", 1)
        return "done"

    model = Lines(says(call("c1", "report"), stop="tool_use"), says("Done."))
    assert (await bench.work(model, tools=[report])).text == "Done."
    assert [e.value for e in await bench.events(ev.Custom)] == [1]
    assert "progress" in caplog.text


# --- the tool-call limit ---------------------------------------------------------------------------------------------


async def reach_limit(bench: Bench, model: Any, **more: Any) -> tuple[Any, errors.ToolCallLimitReached]:
    request = await bench.dispatched(**more)
    with pytest.raises(errors.ToolCallLimitReached) as caught:
        await bench.agent(model, tools=[look], max_tool_calls=3).run_stage(request)
    return request, caught.value


@LAZY
async def test_the_limit_carries_exactly_the_conversation_the_log_folds_to(bench: Bench) -> None:
    _, limit = await reach_limit(bench, Played(ALWAYS_LOOK))
    first, *rest = load_conversation(limit.conversation)
    folded = await bench.folded()
    assert first == user(render(BRIEF))
    assert tuple(rest) == folded.messages()
    assert (limit.next_turn, limit.tool_calls) == (folded.next_attempt()[0], folded.tool_calls) == (3, 3)
    answers = [b for m in rest for b in m.content if isinstance(b, ToolResultBlock)]
    assert [b.content for b in answers[:3]] == ["saw a1", "saw b1", "saw a2"]
    assert (answers[3].is_error, folded.unanswered()) == (True, ())
    assert len(await bench.events(ev.ToolCalled)) == 3, "the call over the limit was never announced or run"


async def test_a_redacting_rule_reaches_the_carried_conversation_too(bench: Bench) -> None:
    @process("object")
    def redact(draft: Draft) -> Draft:
        if isinstance(draft.event, ev.ToolCompleted):
            clean = draft.event.model_copy(update={"result": draft.event.result.replace("saw", "[redacted]")})
            return Draft(clean, draft.stage, draft.agent, draft.turn, draft.attempt)
        return draft

    with pytest.raises(errors.ToolCallLimitReached) as caught:
        await bench.work(Played(ALWAYS_LOOK), tools=[look], max_tool_calls=3, chain=[redact])
    carried = load_conversation(caught.value.conversation)
    assert carried[1:] == (await bench.folded()).messages()
    assert "saw" not in caught.value.conversation


async def test_a_resumed_stage_goes_on_from_where_it_left_off(bench: Bench) -> None:
    model = Played(ALWAYS_LOOK)
    request, limit = await reach_limit(bench, model)
    again = await bench.resumed(request, limit)
    asked_as_the_log_has_it = (user(render(BRIEF)), *(await bench.folded()).messages())
    result = await bench.agent(model, tools=[look], max_tool_calls=3).run_stage(again)
    assert (result.text, result.tool_calls) == ("That is all.", 3)
    assert model.asked[-1].messages == asked_as_the_log_has_it
    assert model.asked[-1].messages[-1].text() == LIMIT_NOTE
    assert [e.turn for e in await bench.log() if isinstance(e.event, ev.TurnCompleted)] == [1, 2, 3]


async def test_a_resumed_stage_has_as_many_tool_calls_again(bench: Bench) -> None:
    model = Lines(*[says(*(call(f"{n}{x}", "look", at="x") for x in "ab"), stop="tool_use") for n in range(9)])
    request, limit = await reach_limit(bench, model)
    again = await bench.resumed(request, limit)
    with pytest.raises(errors.ToolCallLimitReached) as caught:
        await bench.agent(model, tools=[look], max_tool_calls=3).run_stage(again)
    assert caught.value.tool_calls == 6
    assert load_conversation(caught.value.conversation)[1:] != load_conversation(limit.conversation)[1:]


async def test_the_runs_total_ends_a_stage_the_same_way(bench: Bench) -> None:
    request = await bench.dispatched(tool_calls_left=1)
    with pytest.raises(errors.ToolCallLimitReached) as caught:
        await bench.agent(Played(ALWAYS_LOOK), tools=[look]).run_stage(request)
    assert caught.value.tool_calls == 1


async def test_exactly_at_the_limit_is_not_over_it(bench: Bench) -> None:
    assert (await bench.work(Played(LOOK_TWICE), tools=[look], max_tool_calls=2)).text == "Both are blue."


async def test_with_tools_off_there_is_one_answer_and_no_call(bench: Bench) -> None:
    model = Played(ALWAYS_LOOK)
    request = await bench.dispatched(tools_off=True)
    model_says = await bench.agent(Lines(says("What I have.")), tools=[look]).run_stage(request)
    assert (model_says.text, model_says.partial) == ("What I have.", True)
    stubborn = Lines(says("Still: ", call("c1", "look", at="x"), stop="tool_use"))
    result = await bench.agent(stubborn, tools=[look]).run_stage(await bench.dispatched(ev.RecoveryResumed(
        reason="tool_call_limit", attempt=1, of=3), tools_off=True))  # fmt: skip
    assert (result.text, result.partial, len(stubborn.asked)) == ("Still: ", True, 1)
    assert stubborn.asked[0].tool_choice == "none"
    assert await bench.events(ev.ToolCalled) == []
    assert model.asked == []


async def test_a_stage_that_never_answers_ends_at_its_turn_limit(bench: Bench) -> None:
    model = Lines(*[says(call(f"c{n}", "look", at="x"), stop="tool_use") for n in range(9)])
    with pytest.raises(errors.StageFailed) as caught:
        await bench.work(model, tools=[look], max_turns=3)
    assert (caught.value.reason, len(model.asked)) == ("turn_limit", 3)


# --- a provider that fails -------------------------------------------------------------------------------------------

RATE_LIMITED_ONCE = """
[[turn]]
text = "The sky is blue."
fault = { error = "ModelRateLimited", after = 2, times = 1, retry_after_s = 7.0 }
"""


async def test_a_withdrawn_attempt_is_marked_before_the_next_and_no_reader_sees_them_mixed(bench: Bench) -> None:
    result = await bench.work(Played(RATE_LIMITED_ONCE))
    assert result.text == "The sky is blue."
    log = await bench.stage_log()
    texts = Texts()
    for one in log:
        texts.apply(one)
        assert "The sky is blue.".startswith(texts.of_stage(STAGE)), "text of two attempts mixed"
    keyed = [(e.event.type, e.turn, e.attempt) for e in log if e.event.type != "turn.delta"]
    assert keyed == [
        ("turn.started", 1, 1),
        ("turn.superseded", 1, 1),
        ("recovery.retrying", 1, 1),
        ("turn.started", 1, 2),
        ("turn.completed", 1, 2),
    ]
    assert [e.attempt for e in log if e.event.type == "turn.delta"][:2] == [1, 1]


async def test_a_retry_waits_as_long_as_the_provider_asked_and_says_so(bench: Bench) -> None:
    await bench.work(Played(RATE_LIMITED_ONCE))
    assert bench.clock.slept == [7.0]
    (said,) = await bench.events(ev.RecoveryRetrying)
    assert (said.failure, said.attempt, said.of, said.delay_s) == ("rate_limited", 1, 4, 7.0)


async def test_a_failure_goes_back_off_and_then_to_the_next_model(bench: Bench) -> None:
    away, other = Lines(errors.ModelOverloaded("away")), Lines(says("Blue."))
    assert (await bench.work(away, other)).text == "Blue."
    assert (len(away.asked), bench.clock.slept) == (4, [0.25, 0.5, 1.0])
    (fell,) = await bench.events(ev.RecoveryFellBack)
    assert (fell.from_model, fell.to_model, fell.failure) == ("test:1", "test:2", "overloaded")
    assert [e.model for e in await bench.events(ev.TurnStarted)] == ["test:1"] * 4 + ["test:2"]
    attempts = [e.attempt for e in await bench.log() if isinstance(e.event, ev.TurnStarted)]
    assert attempts == [1, 2, 3, 4, 5], "no two attempts of a turn share a number"
    assert other.asked[0].model == "model-2"


async def test_the_next_model_has_all_its_attempts(bench: Bench) -> None:
    away = errors.ModelOverloaded("away")
    other = Lines(away, away, away, says("Blue."))
    assert (await bench.work(Lines(away), other)).text == "Blue."
    assert len(other.asked) == 4


async def test_when_every_model_is_exhausted_the_turn_and_the_stage_fail_with_the_cause(bench: Bench) -> None:
    policy = RetryPolicy(attempts=2)
    models = Lines(errors.ModelOverloaded("away")), Lines(errors.ModelUnauthorized("no key"))
    with pytest.raises(errors.StageFailed) as caught:
        await bench.work(*models, policy=policy)
    failure = caught.value
    assert (failure.reason, failure.message, failure.attempts, failure.can_retry) == (
        *("model_unauthorized", "no key", 3, False),
    )
    (failed,) = await bench.events(ev.TurnFailed)
    assert (failed.code, failed.attempts) == ("model_unauthorized", 3)
    assert (await bench.types())[-1] == "turn.failed"
    assert not (await bench.folded()).open


async def test_a_later_turn_counts_its_attempts_anew(bench: Bench) -> None:
    once, away = errors.ModelOverloaded("x"), errors.ModelRequestRejected("x")
    model = Lines(once, says(call("c", "look", at="x"), stop="tool_use"), away)
    with pytest.raises(errors.StageFailed) as caught:
        await bench.work(model, tools=[look])
    assert (caught.value.attempts, caught.value.reason) == (1, "request_rejected")
    keys = [(e.turn, e.attempt) for e in await bench.log() if isinstance(e.event, ev.TurnStarted)]
    assert keys == [(1, 1), (1, 2), (2, 1)]


async def test_a_refusal_fails_the_stage_and_is_not_repeated(bench: Bench) -> None:
    model = Lines(says("I cannot", stop="refusal"))
    with pytest.raises(errors.StageFailed) as caught:
        await bench.work(model)
    assert (caught.value.reason, caught.value.can_retry, len(model.asked)) == ("refused", False, 1)


async def test_a_refusal_that_a_lost_process_left_in_the_log_is_no_answer(bench: Bench) -> None:
    model = Lines(says("I cannot", stop="refusal"), says("An answer after all."))
    with pytest.raises(errors.StageFailed):
        await bench.work(model)
    successor = bench.agent(model)
    with pytest.raises(errors.StageFailed) as caught:
        await successor.run_stage(await bench.dispatched())
    assert (caught.value.reason, len(model.asked)) == ("refused", 1)


async def test_a_conversation_too_long_for_the_model_fails_the_stage(bench: Bench) -> None:
    with pytest.raises(errors.StageFailed) as caught:
        await bench.work(Lines(says("", stop="model_context_window_exceeded")))
    assert caught.value.reason == "context_overflow"


async def test_a_paused_turn_is_gone_on_with_and_only_so_often(bench: Bench) -> None:
    pause = says("...", stop="pause_turn")
    model = Lines(pause, pause, says("Now."))
    assert (await bench.work(model)).text == "Now."
    assert len(model.asked) == 3
    for_ever = Lines(pause)
    with pytest.raises(errors.StageFailed) as caught:
        await bench.agent(for_ever).run_stage(await bench.dispatched(ev.RecoveryResumed(
            reason="tool_call_limit", attempt=1, of=3)))  # fmt: skip
    assert (caught.value.reason, len(for_ever.asked)) == ("too_many_pauses", 9)


async def test_a_stream_without_a_message_is_the_providers_fault_and_retried(bench: Bench) -> None:
    model = Lines([TextDelta("half")], says("Whole."))
    assert (await bench.work(model)).text == "Whole."
    assert [e.failure for e in await bench.events(ev.RecoveryRetrying)] == ["protocol_error"]


# --- another process goes on -----------------------------------------------------------------------------------------


async def interrupted(bench: Bench, tool_: Any, name: str) -> None:
    """An agent that dies while its tool works, between intent and result."""
    agent = bench.agent(Lines(says(call("c1", name, to="x"), stop="tool_use")), tools=[tool_])
    task = asyncio.ensure_future(agent.run_stage(await bench.dispatched()))
    await bench.until(ev.Custom)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_an_effect_whose_outcome_was_lost_is_reported_and_not_repeated(bench: Bench) -> None:
    await interrupted(bench, send, "send")
    runs: list[str] = []

    @tool(name="send", kind="at_most_once")
    async def counted(to: str) -> str:
        """Send."""
        runs.append(to)
        return "sent"

    model = Lines(says("It may have been sent."))
    result = await bench.work(model, tools=[counted])
    assert (result.text, runs) == ("It may have been sent.", [])
    (unknown,) = await bench.events(ev.ToolOutcomeUnknown)
    assert unknown.call_id == "c1"
    (answer,) = results(model.asked[0])
    assert (answer.tool_use_id, answer.is_error) == ("c1", True)
    assert len(await bench.events(ev.ToolCalled)) == 1


async def test_an_idempotent_effect_is_repeated_with_the_same_key(bench: Bench) -> None:
    keys: list[str] = []

    @tool(kind="idempotent")
    async def put(to: str, context: ToolContext) -> str:
        """Put."""
        keys.append(context.idempotency_key)
        context.emit("putting", to)
        if len(keys) == 1:
            await asyncio.Event().wait()
        return "put"

    await interrupted(bench, put, "put")
    assert (await bench.work(Lines(says("Done.")), tools=[put])).text == "Done."
    assert keys == [f"{RUN}:{STAGE}:1:c1"] * 2
    assert len(await bench.events(ev.ToolCalled)) == 1, "it is one call"
    assert (await bench.folded()).tool_calls == 1


async def test_completed_turns_and_calls_are_not_repeated(bench: Bench) -> None:
    runs: list[str] = []

    @tool
    async def note(word: str) -> str:
        """Note."""
        runs.append(word)
        if word == "b" and runs.count("b") == 1:
            await asyncio.Event().wait()
        return word

    calls = call("c1", "note", word="a"), call("c2", "note", word="b")
    task = asyncio.ensure_future(bench.work(Lines(says(*calls, stop="tool_use")), tools=[note]))
    await bench.until(ev.ToolCompleted)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    model = Lines(says("Done."))
    await bench.work(model, tools=[note])
    assert (runs, len(model.asked)) == (["a", "b", "b"], 1)
    assert [r.content for r in results(model.asked[0])] == ["a", "b"]


async def test_a_stage_whose_answer_is_durable_is_not_asked_again(bench: Bench) -> None:
    await bench.work(Lines(says("Blue.")))
    silent = Lines(says("Never."))
    assert (await bench.work(silent)).text == "Blue."
    assert silent.asked == []


async def test_an_agent_shut_out_by_a_newer_dispatch_stops_before_the_model_is_asked(bench: Bench) -> None:
    old, _ = await bench.dispatched(), await bench.dispatched()
    model = Lines(says("Blue."))
    with pytest.raises(errors.Superseded):
        await bench.agent(model).run_stage(old)
    assert (model.asked, await bench.types()) == ([], [])


# --- citations -------------------------------------------------------------------------------------------------------


@tool
async def search(for_: str) -> ToolResult:
    """Search."""
    citations = (Citation("Guide", f"{for_}.md:1", f"words of {for_}"), Citation("Guide", f"{for_}.md:2", "more"))
    text = f"[1] {for_}.md:1 | Guide\nwords of {for_}\n\n[2] {for_}.md:2 | Guide\nmore"
    return ToolResult(text, citations)


@LAZY
async def test_passages_are_numbered_through_a_stage_and_marks_become_citations(bench: Bench) -> None:
    model = Lines(
        says(call("c1", "search", for_="sea"), stop="tool_use"),
        says(call("c2", "search", for_="sky"), stop="tool_use"),
        says("The sky [3] is like the sea [1]; so they say [3], [9]."),
    )
    request = await bench.dispatched(sources=(Source("old.md:1", "Old", "q"),))
    await bench.agent(model, tools=[search]).run_stage(request)
    assert results(model.asked[2])[1].content.startswith("[3] sky.md:1 | Guide")
    cited = [(c.source_id, c.location, c.quote) for c in await bench.events(ev.CitationAdded)]
    assert cited == [("3", "sky.md:1", "words of sky"), ("1", "sea.md:1", "words of sea")]
    assert [c.source_id for c in (await bench.state()).stages[STAGE].citations] == ["3", "1"]


async def test_passages_of_two_searches_at_once_never_share_a_number(bench: Bench) -> None:
    @enrich("object")
    async def slow(draft: Draft) -> Draft:
        await asyncio.sleep(0)
        return draft

    calls = call("c1", "search", for_="sea"), call("c2", "search", for_="sky")
    model = Lines(says(*calls, stop="tool_use"), says("Sea and sky [1] [2] [3] [4]."))
    await bench.work(model, tools=[search], chain=[slow])
    cited = {c.source_id: c.location for c in await bench.events(ev.CitationAdded)}
    assert set(cited) == {"1", "2", "3", "4"}
    assert len(set(cited.values())) == 4


# --- stopping --------------------------------------------------------------------------------------------------------


async def test_cancelling_stops_a_model_in_mid_stream_and_closes_it(bench: Bench) -> None:
    closed: list[bool] = []

    async def endless() -> AsyncGenerator[Chunk, None]:
        try:
            yield TextDelta("The ")
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    agent = bench.agent(Lines(endless))
    task = asyncio.ensure_future(agent.run_stage(await bench.dispatched()))
    await bench.until(ev.TurnDelta)
    await agent.cancel("another-run")
    assert not task.done()
    await agent.cancel(RUN)
    with pytest.raises(errors.RunCancelled):
        await task
    assert closed == [True]
    assert agent.statistics()["runs"] == 0


async def test_a_stream_whose_events_cannot_be_written_is_closed_at_once(bench: Bench) -> None:
    closed: list[bool] = []

    @transform("token")
    def broken(draft: Draft) -> Draft:
        raise KeyError("a bug")

    async def endless() -> AsyncGenerator[Chunk, None]:
        try:
            while True:
                yield TextDelta("word ")
        finally:
            closed.append(True)

    agent = bench.agent(Lines(endless), chain=[broken])
    with pytest.raises(KeyError):
        await agent.run_stage(await bench.dispatched())
    assert closed == [True], "nobody pays for a stream nobody reads"


async def test_cancelling_stops_tools_and_nothing_is_started_after(bench: Bench) -> None:
    stopped: list[str] = []

    @tool
    async def wait(context: ToolContext) -> str:
        """Wait."""
        context.emit("waiting", True)
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("wait")
        return ""

    model = Lines(says(call("c1", "wait"), call("c2", "wait"), stop="tool_use"))
    agent = bench.agent(model, tools=[wait])
    task = asyncio.ensure_future(agent.run_stage(await bench.dispatched()))
    await bench.until(ev.Custom)
    await agent.cancel(RUN)
    with pytest.raises(errors.RunCancelled):
        await task
    assert (stopped, len(model.asked)) == (["wait", "wait"], 1)


async def test_once_a_cancel_request_stands_no_turn_is_started_even_if_nobody_tells_the_agent(bench: Bench) -> None:
    @tool
    async def cancel_it() -> str:
        """Cancel the run as a person would."""
        await bench.hub.cancel(RUN, "user")
        return "ok"

    model = Lines(says(call("c1", "cancel_it"), stop="tool_use"), says("Never."))
    with pytest.raises(errors.RunCancelled):
        await bench.work(model, tools=[cancel_it])
    assert len(model.asked) == 1
    assert (await bench.types())[-1] == "tool.called"


async def test_a_caller_that_goes_away_is_not_told_the_run_was_cancelled(bench: Bench) -> None:
    agent = bench.agent(Lines(says(call("c1", "send", to="x"), stop="tool_use")), tools=[send])
    task = asyncio.ensure_future(agent.run_stage(await bench.dispatched()))
    await bench.until(ev.ToolCalled)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert agent.statistics()["runs"] == 0


@LAZY
async def test_a_stage_past_its_time_fails_and_what_it_said_is_durable(bench: Bench) -> None:
    async def endless() -> AsyncGenerator[Chunk, None]:
        yield TextDelta("The sky ")
        await asyncio.Event().wait()

    with pytest.raises(errors.StageFailed) as caught:
        await bench.work(Lines(endless), timeout_s=0.05)
    assert (caught.value.reason, caught.value.can_retry) == ("stage_timeout", True)
    assert caught.value.message == "worker took longer than 0.05 s"
    assert [e.text for e in await bench.events(ev.TurnDelta)] == ["The sky "]


@LAZY
async def test_a_bug_in_a_users_transform_is_raised_as_it_is_after_what_was_said_is_durable(bench: Bench) -> None:
    @transform("object")
    def broken(draft: Draft) -> Draft:
        raise KeyError("a bug")

    agent = bench.agent(Played('[[turn]]\ntext = "Blue it is."'), chain=[broken])
    with pytest.raises(KeyError):
        await agent.run_stage(await bench.dispatched())
    assert "".join(e.text for e in await bench.events(ev.TurnDelta)) == "Blue it is."
    assert agent.statistics()["runs"] == 0


async def test_stages_of_one_agent_run_side_by_side_and_cancelling_one_run_spares_the_other(bench: Bench) -> None:
    agent = bench.agent(Lines(says(call("c1", "send", to="x"), stop="tool_use")), tools=[send])
    first = asyncio.ensure_future(agent.run_stage(await bench.dispatched()))
    await bench.until(ev.ToolCalled)
    assert agent.statistics()["runs"] == 1
    await agent.cancel("run-2")
    await asyncio.sleep(0)
    assert not first.done()
    await agent.cancel(RUN)
    with pytest.raises(errors.RunCancelled):
        await first


async def test_what_the_provider_cites_becomes_events_after_the_marks_of_the_text(bench: Bench) -> None:
    cited = {"type": "web_search_result_location", "url": "https://example.org", "title": "E", "cited_text": "Blue."}
    await bench.work(Lines(says(TextBlock(text="It is [7] blue.", citations=(cited,)))))
    (citation,) = await bench.events(ev.CitationAdded)
    assert (citation.source_id, citation.location, citation.quote) == ("8", "https://example.org", "Blue.")


async def test_a_choice_of_tools_holds_for_the_first_turn_only(bench: Bench) -> None:
    model = Lines(says(call("c1", "look", at="sea"), stop="tool_use"), says("Done."))
    options = ModelOptions(tool_choice="any", stop_sequences=("END",))
    await bench.work(model, tools=(look,), options=options, server_tools=("code_execution",))
    assert [request.tool_choice for request in model.asked] == ["any", None]
    assert [(r.options, r.server_tools) for r in model.asked] == [(options, ("code_execution",))] * 2
