"""A stage's conversation is a fold of its events, and says at every point what its agent must do next."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from runtime.events import catalog as ev
from runtime.events.conversations import conversations
from runtime.events.messages import (
    ContentBlock,
    Message,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    Usage,
    dump_conversation,
    load_conversation,
    user,
)
from runtime.events.notes import LAST_ANSWER_NOTE, LIMIT_NOTE, repair_note
from runtime.events.transcript import Transcript, advance, from_conversation
from tests.events.samples import by_type, every_event

CALLS = (ToolUseBlock(id="c1", name="search", input={"q": "a"}), ToolUseBlock(id="c2", name="search", input={"q": "b"}))


def turn(*blocks: ContentBlock, stop_reason: str = "end_turn", tokens: int = 0) -> ev.TurnCompleted:
    usage = Usage(output_tokens=tokens)
    return ev.TurnCompleted(content=blocks, stop_reason=stop_reason, usage=usage, model="m")


def started() -> ev.TurnStarted:
    return ev.TurnStarted(model="m", request_hash="h")


def called(call_id: str) -> ev.ToolCalled:
    return ev.ToolCalled(call_id=call_id, name="search", arguments={})


def answered(call_id: str, result: str = "found", is_error: bool = False) -> ev.ToolCompleted:
    return ev.ToolCompleted(call_id=call_id, name="search", result=result, is_error=is_error)


def after(*events: Any, start: Transcript | None = None) -> Transcript:
    """Events, or (event, turn, attempt)."""
    transcript = start or Transcript()
    for event in events:
        transcript = advance(transcript, *event) if isinstance(event, tuple) else advance(transcript, event, 1, 1)
    return transcript


def asked() -> Transcript:
    return after(started(), turn(TextBlock(text="I look."), *CALLS, stop_reason="tool_use"))


def test_nothing_has_happened_at_first() -> None:
    assert (Transcript().messages(), Transcript().finished(), Transcript().next_attempt()) == ((), False, (1, 1))


def test_answers_stand_in_the_order_of_their_calls_however_they_came_in() -> None:
    transcript = after(called("c1"), called("c2"), answered("c2", "B"), answered("c1", "A", True), start=asked())
    assert transcript.messages() == (
        Message(role="assistant", content=(TextBlock(text="I look."), *CALLS)),
        Message(
            role="user",
            content=(
                ToolResultBlock(tool_use_id="c1", content="A", is_error=True),
                ToolResultBlock(tool_use_id="c2", content="B"),
            ),
        ),
    )
    assert (transcript.unanswered(), transcript.tool_calls, transcript.finished()) == ((), 2, False)


def test_calls_without_an_answer_are_known_with_those_that_may_have_begun() -> None:
    transcript = after(called("c1"), called("c2"), answered("c1"), start=asked())
    assert transcript.unanswered() == (CALLS[1],)
    assert transcript.called == {"c1", "c2"}


def test_a_call_announced_again_after_a_takeover_counts_once_and_its_first_answer_stands() -> None:
    transcript = after(called("c1"), called("c1"), answered("c1", "A"), answered("c1", "B"), start=asked())
    assert transcript.tool_calls == 1
    assert [r.content for r in transcript.results] == ["A"]


def test_an_answer_without_calls_ends_the_conversation() -> None:
    transcript = after(started(), turn(TextBlock(text="Done.")))
    assert (transcript.finished(), transcript.text(), transcript.turns_done) == (True, "Done.", 1)


@pytest.mark.parametrize(
    ("events", "why"),
    [
        ((turn(*CALLS),), "calls are open"),
        ((turn(TextBlock(text="...")), (started(), 2, 1)), "a turn is open"),
        ((turn(TextBlock(text="..."), stop_reason="pause_turn"),), "the model only paused"),
        ((turn(TextBlock(text="...")), ev.ToolArgumentsInvalid(call_id="x", name="t", message="cut")), "it is told"),
        ((turn(TextBlock(text="...")), ev.RecoveryResumed(reason="tool_call_limit", attempt=1, of=3)), "resumed"),
    ],
)
def test_a_conversation_with_something_left_to_do_is_not_finished(events: tuple[Any, ...], why: str) -> None:
    assert not after(*events).finished(), why


def test_a_withdrawn_attempt_leaves_the_conversation_and_the_next_has_a_new_number() -> None:
    open_ = after((started(), 1, 1))
    assert (open_.open, open_.next_attempt()) == (True, (1, 2))
    withdrawn = after((ev.TurnSuperseded(reason="overloaded"), 1, 1), start=open_)
    assert (withdrawn.open, withdrawn.messages(), withdrawn.next_attempt()) == (False, (), (1, 2))
    done = after((started(), 1, 2), (turn(TextBlock(text="x")), 1, 2), start=withdrawn)
    assert done.next_attempt() == (2, 1)


def test_a_failed_turn_is_not_open() -> None:
    failed = ev.TurnFailed(code="overloaded", message="m", attempts=4)
    assert not after((started(), 1, 4), (failed, 1, 4)).open


def test_usage_adds_up_over_turns() -> None:
    assert after(turn(tokens=3), (turn(tokens=4), 2, 1)).usage.output_tokens == 7


def test_being_resumed_puts_the_note_after_the_answers_in_one_user_message() -> None:
    resumed = ev.RecoveryResumed(reason="tool_call_limit", attempt=1, of=3)
    transcript = after(answered("c1"), answered("c2"), resumed, start=asked())
    last = transcript.messages()[-1]
    assert [type(block).__name__ for block in last.content] == ["ToolResultBlock", "ToolResultBlock", "TextBlock"]
    assert (last.text(), transcript.resumes) == (LIMIT_NOTE, 1)
    assert after((turn(TextBlock(text="x")), 2, 1), start=transcript).notes == (), "told once"


def test_a_takeover_is_not_told_to_the_model() -> None:
    taken = ev.RecoveryResumed(reason="takeover", attempt=1, of=5)
    assert after(taken, start=asked()) == asked()


def test_the_last_answer_and_a_repair_are_asked_for_in_words() -> None:
    def retrying(failure: str, message: str = "m") -> ev.RecoveryRetrying:
        return ev.RecoveryRetrying(failure=failure, message=message, attempt=1, of=1, delay_s=0)

    assert after(retrying("tool_call_limit")).notes == (LAST_ANSWER_NOTE,)
    repaired = after(retrying("output_invalid", "todos: missing"))
    assert (repaired.notes, repaired.repairs) == ((repair_note("todos: missing"),), 1)
    assert after(retrying("rate_limited")) == Transcript(), "the provider's troubles are not the model's"


def test_an_unknown_outcome_answers_its_call_as_an_error() -> None:
    unknown = ev.ToolOutcomeUnknown(call_id="c1", name="search", known="it had begun")
    result = after(unknown, start=asked()).results[0]
    assert (result.tool_use_id, result.is_error) == ("c1", True)
    assert "unknown: it had begun" in result.content


def test_invalid_arguments_answer_a_call_that_stands_in_the_message_and_are_told_in_words_when_none_does() -> None:
    def invalid(call_id: str) -> ev.ToolArgumentsInvalid:
        return ev.ToolArgumentsInvalid(call_id=call_id, name="search", message="not JSON")

    in_message = after(invalid("c1"), start=asked())
    assert (in_message.results[0].tool_use_id, in_message.results[0].is_error) == ("c1", True)
    cut = after(turn(TextBlock(text="I look.")), invalid("c9"))
    assert (cut.results, cut.notes) == ((), ("The arguments cannot be used: not JSON",))
    assert cut.messages()[-1] == user("The arguments cannot be used: not JSON")


def test_a_stage_tried_again_begins_empty_with_numbers_and_effects_that_go_on() -> None:
    failed = ev.StageFailed(todo="s", title="t", code="c", message="m", attempts=1, decision="retry")
    transcript = after(called("c1"), (started(), 2, 3), failed, start=asked())
    assert (transcript.messages(), transcript.notes, transcript.tool_calls) == ((), (), 0)
    assert transcript.next_attempt() == (3, 1), "no two turns of a stage share a number"
    assert transcript.called == {"c1"}, "an effect that may have begun is not forgotten"
    gone_on = after(failed.model_copy(update={"decision": "continue"}), start=asked())
    assert gone_on == asked()


@pytest.mark.parametrize("event", every_event(), ids=by_type)
def test_a_transcript_is_never_changed_in_place(event: Any) -> None:
    before = asked()
    kept = copy.deepcopy(before)
    advance(before, event, 2, 1)
    assert before == kept


def test_a_carried_conversation_goes_on_exactly_as_the_log_does() -> None:
    folded = after(called("c1"), called("c2"), answered("c1", "A"), answered("c2", "B"), start=asked())
    carried = load_conversation(dump_conversation((user("brief"), *folded.messages())))
    transcript = from_conversation(carried, next_turn=2, tool_calls=2, resumes=0)
    assert transcript.messages() == folded.messages()
    assert transcript.next_attempt() == folded.next_attempt()
    assert (transcript.tool_calls, transcript.unanswered()) == (2, ())


def test_a_text_that_is_no_conversation_is_refused() -> None:
    for text in ("", "{}", '[{"role":"system","content":[]}]', '[{"role":"user","content":[{"kind":"video"}]}]'):
        with pytest.raises(ValueError):
            load_conversation(text)


# --- delegates -------------------------------------------------------------------------------------------------------


def delegated(call_id: str, to: str = "helper", tags: tuple[Any, ...] = ()) -> ev.ToolCalled:
    return ev.ToolCalled(call_id=call_id, name="delegate", arguments={}, delegate=to, tags=tags)


def two_delegates() -> Transcript:
    uses = (ToolUseBlock(id="x", name="delegate", input={}), ToolUseBlock(id="a/b", name="delegate", input={}))
    return after(started(), turn(*uses, stop_reason="tool_use"), delegated("x"), delegated("a/b", "other"))


def inside(transcript: Transcript, call: str, *events: Any) -> Transcript:
    for event in events:
        transcript = advance(transcript, event, 1, 1, call)
    return transcript


def test_a_delegates_events_advance_its_own_conversation_whatever_its_call_is_called() -> None:
    stands = inside(two_delegates(), "1.a%2Fb", started(), turn(TextBlock(text="done")))
    assert {key: (t.agent, t.text()) for key, t in stands.children.items()} == {
        "1.x": ("helper", ""),
        "1.a%2Fb": ("other", "done"),
    }
    assert (stands.turns_done, stands.open, stands.text()) == (1, False, "")


def test_events_of_a_call_nobody_knows_change_nothing() -> None:
    stands = two_delegates()
    assert inside(stands, "7.x", started()) is stands


def test_with_its_answer_a_delegate_leaves_what_it_used_and_met_and_is_forgotten() -> None:
    read = ev.ToolCalled(call_id="c", name="read", arguments={}, tags=("untrusted",))
    busy = inside(two_delegates(), "1.x", started(), turn(TextBlock(text="done"), tokens=5), read)
    assert (busy.usage.output_tokens, busy.spent().output_tokens) == (0, 5)
    assert (busy.taint, busy.met()) == (frozenset(), {"untrusted"})
    over = after(answered("x"), start=busy)
    assert list(over.children) == ["1.a%2Fb"]
    assert (over.usage.output_tokens, over.taint) == (5, {"untrusted"})


def test_a_stage_tried_again_keeps_what_its_delegates_used_and_met() -> None:
    read = ev.ToolCalled(call_id="c", name="read", arguments={}, tags=("reads_private",))
    busy = inside(two_delegates(), "1.x", started(), turn(TextBlock(text="done"), tokens=5), read)
    anew = busy.restarted()
    assert (anew.children, anew.usage.output_tokens, anew.taint) == ({}, 5, {"reads_private"})


def test_a_delegation_counts_as_a_call_under_way_only_while_its_agent_is_in_one() -> None:
    idle = two_delegates()
    assert not idle.calling()
    call = ToolUseBlock(id="c", name="act", input={})
    assert inside(idle, "1.x", started(), turn(call, stop_reason="tool_use"), called("c")).calling()


def test_progress_grows_with_everything_a_delegate_does_and_when_it_is_done() -> None:
    stands = [two_delegates()]
    stands.append(inside(stands[-1], "1.x", started(), turn(TextBlock(text="done"))))
    stands.append(after(answered("x"), start=stands[-1]))
    stands.append(after(answered("a/b"), start=stands[-1]))
    numbers = [each.progress() for each in stands]
    assert numbers == sorted(set(numbers))


def test_every_conversation_is_found_by_its_path_the_innermost_first() -> None:
    use = ToolUseBlock(id="y", name="delegate", input={})
    deep = inside(two_delegates(), "1.x", started(), turn(use, stop_reason="tool_use"), delegated("y", "deeper"))
    deep = inside(deep, "1.x/1.y", started())
    assert [(path, t.agent, t.open) for path, t in conversations(deep)] == [
        ("1.x/1.y", "deeper", True),
        ("1.x", "helper", False),
        ("1.a%2Fb", "other", False),
        (None, None, False),
    ]
