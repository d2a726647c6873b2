"""A reader of token events never shows two attempts mixed, and always ends at the canonical text."""

from __future__ import annotations

from runtime.events import catalog as ev
from runtime.events.envelope import Envelope
from runtime.events.messages import TextBlock, ThinkingBlock, ToolUseBlock, Usage
from runtime.events.texts import TextKey, Texts
from tests.events.samples import envelope, sample


def at(event: ev.Event, turn: int = 1, attempt: int = 1, stage: str = "s", agent: str = "a") -> Envelope:
    return envelope(event, stage=stage, agent=agent, turn=turn, attempt=attempt)


def completed(*blocks: object) -> ev.TurnCompleted:
    return ev.TurnCompleted(content=blocks, stop_reason="end_turn", usage=Usage(), model="m")


def told(*envelopes: Envelope) -> Texts:
    texts = Texts()
    for one in envelopes:
        texts.apply(one)
    return texts


def test_deltas_of_one_attempt_join() -> None:
    assert told(at(ev.TurnDelta(text="Hel")), at(ev.TurnDelta(text="lo"))).of_stage("s") == "Hello"


def test_a_superseded_attempt_is_dropped_and_the_next_stands_alone() -> None:
    texts = told(
        at(ev.TurnDelta(text="half an ans")),
        at(ev.TurnSuperseded(reason="overloaded")),
        at(ev.TurnDelta(text="the answer"), attempt=2),
    )
    assert texts.of_stage("s") == "the answer"
    assert texts.withdrawn == {TextKey("s", "a", 1, 1)}


def test_superseding_one_attempt_leaves_every_other_alone() -> None:
    texts = told(
        at(ev.TurnDelta(text="one")),
        at(ev.TurnDelta(text="two"), turn=2),
        at(ev.TurnDelta(text="other"), stage="t"),
        at(ev.TurnSuperseded(reason="x"), turn=2),
    )
    assert (texts.of_stage("s"), texts.of_stage("t")) == ("one", "other")


def test_completed_replaces_what_the_deltas_said() -> None:
    texts = told(at(ev.TurnDelta(text="Hel")), at(completed(TextBlock(text="Good "), TextBlock(text="day"))))
    assert texts.of_stage("s") == "Good day"


def test_a_snapshot_stands_for_deltas_that_were_compacted_away() -> None:
    texts = told(at(ev.TurnDelta(text="Hel")), at(ev.TurnSnapshot(content=(TextBlock(text="Hello"),))))
    assert texts.of_stage("s") == "Hello"


def test_thinking_and_tool_input_are_no_text() -> None:
    call = ToolUseBlock(id="c", name="t", input={})
    texts = told(
        at(ev.TurnDelta(kind="thinking", text="hm")),
        at(ev.TurnDelta(text="Ye")),
        at(ev.TurnDelta(kind="tool_input", text="{", call_id="c", name="t")),
    )
    assert texts.of_stage("s") == "Ye"
    texts.apply(at(completed(ThinkingBlock(thinking="hm"), TextBlock(text="Yes"), call)))
    assert texts.of_stage("s") == "Yes"


def test_turns_stand_in_their_order_with_blank_lines_between() -> None:
    turns = [at(ev.TurnDelta(text=f"turn {n}"), turn=n) for n in (2, 10, 1)]
    silent = at(completed(ToolUseBlock(id="c", name="t", input={})), turn=3)
    assert told(*turns, silent).of_stage("s") == "turn 1\n\nturn 2\n\nturn 10"


def test_all_other_events_are_ignored() -> None:
    texts = told(at(sample(ev.StageCompleted)), at(sample(ev.TurnStarted)), at(sample(ev.Custom)))
    assert (texts.texts, texts.withdrawn) == ({}, set())


def test_a_delegates_words_are_no_part_of_the_stages_and_two_of_one_agent_stay_apart() -> None:
    def inside(text: str, call: str) -> Envelope:
        return envelope(ev.TurnDelta(text=text), stage="s", agent="a", turn=1, attempt=1, call=call)

    texts = told(at(ev.TurnDelta(text="own")), inside("one", "1.c1"), inside("two", "1.c2"))
    assert texts.of_stage("s") == "own"
    assert texts.texts[TextKey("s", "a", 1, 1, "1.c1")] == "one"
    gone = envelope(ev.TurnSuperseded(reason="r"), stage="s", agent="a", turn=1, attempt=1, call="1.c1")
    texts.apply(gone)
    assert sorted(texts.texts.values()) == ["own", "two"]
