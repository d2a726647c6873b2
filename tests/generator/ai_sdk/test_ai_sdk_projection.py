"""The projection alone: what a client is told, and that every client may be told so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.events import catalog as ev
from runtime.events.envelope import Draft, Stored
from runtime.events.messages import ThinkingBlock, ToolUseBlock, Usage
from runtime.generator.protocols.ai_sdk.chunks import ClientVersion, frame
from runtime.generator.protocols.ai_sdk.message import Message
from runtime.generator.protocols.ai_sdk.projection import Projection
from tests.cli import runs_by_hand as by_hand
from tests.events.samples import EVENT_TYPES, sample
from tests.generator.ai_sdk.client_rules import ENDS, read_all
from tests.generator.ai_sdk.logs import (
    asks_for,
    at,
    begun,
    chunks_of,
    completed,
    delta,
    done,
    log,
    says_yes,
    started,
    turned,
    waits,
)  # fmt: skip
from tests.golden.make_logs import LOGS, GoldenLog

GOLDEN = {path.stem: list(GoldenLog.load(path).events) for path in sorted(LOGS.glob("*.jsonl"))}
BY_HAND = {
    name.lower(): getattr(by_hand, name)
    for name in ("RUNNING", "SUCCESS", "GUARDED", "FAILED", "LIMITED", "DOUBTFUL", "CANCELLED", "HOSTILE", "RESUMED")
}
VERSIONS = (5, 6, 7)


def message_of(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    message = Message()
    for chunk in chunks:
        message.add(chunk)
    return message.whole()


def texts(chunks: list[dict[str, Any]], *, withdrawn: bool = False) -> list[str]:
    """The texts of the message, those marked as withdrawn left out."""
    parts = [part for part in message_of(chunks)["parts"] if part["type"] == "text"]
    return [p["text"] for p in parts if withdrawn or not p["providerMetadata"]["headrace"].get("withdrawn")]


def of_type(chunks: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [chunk for chunk in chunks if chunk["type"] in kinds]


# --- the rules, over every log ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", [*GOLDEN, *BY_HAND])
def test_every_log_is_a_stream_that_clients_accept(name: str, version: ClientVersion) -> None:
    events = GOLDEN.get(name) or BY_HAND[name]
    chunks = chunks_of(events, version)
    client = read_all(chunks, version)
    assert chunks[0]["type"] == "start"
    assert chunks[1]["type"] == "start-step"
    last = events[-1].type
    if last in ("run.completed", "run.cancelled", "run.failed", "run.expired"):
        kind = {"run.completed": "finish", "run.cancelled": "abort"}.get(last, "error")
        assert chunks[-1]["type"] == kind
        assert not client.in_segment
    else:
        assert not of_type(chunks, *ENDS)


@pytest.mark.parametrize("name", [*GOLDEN, *BY_HAND])
def test_a_completed_run_shows_its_whole_answer_in_texts(name: str) -> None:
    events = GOLDEN.get(name) or BY_HAND[name]
    end = _event(events[-1])
    if not isinstance(end, ev.RunCompleted):
        pytest.skip("it did not complete")
    shown = {text.strip() for text in texts(chunks_of(events))}
    for output in end.outputs:
        assert output.text.strip() in shown
    assert shown, "a message without a word"


@pytest.mark.parametrize("name", [*GOLDEN, *BY_HAND])
def test_what_is_shown_does_not_depend_on_where_a_replay_is_cut(name: str) -> None:
    events = GOLDEN.get(name) or BY_HAND[name]
    whole = b"".join(map(frame, chunks_of(events, 7)))
    projection = Projection(7)
    shown = b""
    for stored in events:
        shown += b"".join(map(frame, projection.project(stored)))
        assert whole.startswith(shown)
    assert shown == whole


@pytest.mark.parametrize("name", [*GOLDEN, *BY_HAND])
def test_a_log_without_its_tokens_makes_a_message_of_the_same_words(name: str) -> None:
    events = GOLDEN.get(name) or BY_HAND[name]
    short = [stored for stored in events if stored.family != "token"]
    chunks = chunks_of(short)
    read_all(chunks)
    whole = texts(chunks_of(events))
    assert [text for text in whole if text.strip() in {t.strip() for t in texts(chunks)}] == texts(chunks)


_places = st.fixed_dictionaries(
    {
        "stage": st.sampled_from([None, "a", "b"]),
        "agent": st.sampled_from(["research", "planner"]),
        "turn": st.sampled_from([None, 1, 2]),
        "attempt": st.sampled_from([None, 1, 2]),
        "call": st.sampled_from([None, "1.c1"]),
    }
)


def _any_event() -> st.SearchStrategy[Any]:
    def vary(kind: type[Any]) -> st.SearchStrategy[Any]:
        base = sample(kind)
        changes: dict[str, st.SearchStrategy[Any]] = {}
        if "call_id" in kind.model_fields:
            changes["call_id"] = st.sampled_from(["c1", "c2"])
        if "approval" in kind.model_fields:
            changes["approval"] = st.sampled_from(["a:1.c1", "a:2.c1", "plan"])
        if kind is ev.TurnDelta:
            changes["kind"] = st.sampled_from(["text", "thinking", "tool_input"])
        if kind is ev.ApprovalRequested:
            changes["kind"] = st.sampled_from(["tool", "plan", "question"])
        if kind is ev.TurnCompleted:
            use = ToolUseBlock(id="c1", name="send", input={})
            changes["content"] = st.sampled_from([(), (use,), base.content])
            changes["purpose"] = st.sampled_from(["answer", "summary"])
        if kind is ev.StageFailed:
            changes["decision"] = st.sampled_from(["retry", "stop"])
        return st.fixed_dictionaries(changes).map(lambda made: base.model_copy(update=made))

    frequent = [
        ev.TurnDelta,
        ev.TurnCompleted,
        ev.ToolCalled,
        ev.ToolCompleted,
        ev.ApprovalRequested,
        ev.TurnSuperseded,
    ]
    kinds = [kind for kind in EVENT_TYPES if kind is not ev.RunAccepted]
    return st.sampled_from([*kinds, *frequent * 4]).flatmap(vary)


@given(
    drafts=st.lists(st.tuples(_any_event(), _places).map(lambda made: Draft(made[0], **made[1])), max_size=40),
    version=st.sampled_from(VERSIONS),
)
def test_whatever_is_in_a_log_clients_accept_the_stream(drafts: list[Draft], version: ClientVersion) -> None:
    events = log(sample(ev.RunAccepted), *drafts)
    chunks = chunks_of(events, version)
    read_all(chunks, version)
    message_of(chunks)


# --- words -----------------------------------------------------------------------------------------------------------


def test_words_are_streamed_and_marked_with_who_says_them() -> None:
    chunks = chunks_of(log(*begun(), started(), delta("Be"), delta("cause."), turned("Because.")))
    start, *deltas, end = of_type(chunks, "text-start", "text-delta", "text-end")
    assert start["providerMetadata"] == {"headrace": {"stage": "a", "agent": "research", "turn": 1}}
    assert [d["delta"] for d in deltas] == ["Be", "cause."]
    assert {d["id"] for d in (start, *deltas, end)} == {start["id"]}


def test_thinking_is_reasoning_before_the_text() -> None:
    chunks = chunks_of(log(*begun(), started(), delta("Hm.", kind="thinking"), delta("So."), turned("So.")))
    parts = [part for part in message_of(chunks)["parts"] if part["type"] in ("text", "reasoning")]
    assert [(part["type"], part["text"], part["state"]) for part in parts] == [
        ("reasoning", "Hm.", "done"),
        ("text", "So.", "done"),
    ]


def test_words_that_a_turn_has_beyond_its_tokens_are_added() -> None:
    chunks = chunks_of(log(*begun(), started(), delta("Be"), turned("Because.")))
    assert texts(chunks) == ["Because."]


def test_tokens_that_the_turn_did_not_keep_are_withdrawn() -> None:
    chunks = chunks_of(log(*begun(), started(), delta("the key is 123"), turned("the key is ***")))
    assert texts(chunks) == ["the key is ***"]
    assert texts(chunks, withdrawn=True) == ["the key is 123", "the key is ***"]


SUPERSEDED = (
    *begun(),
    started(),
    started("b"),
    delta("beside ", "b"),
    delta("a half an"),
    delta('{"t', kind="tool_input", call_id="c1", name="send"),
    at(ev.TurnSuperseded(reason="overloaded"), attempt=1),
    delta("a whole answer", attempt=2),
    delta("it", "b"),
    turned("a whole answer", attempt=2),
    turned("beside it", "b"),
)


def test_withdrawn_words_are_marked_where_a_client_cannot_take_them_back() -> None:
    chunks = chunks_of(log(*SUPERSEDED), 6)
    read_all(chunks, 6)
    assert texts(chunks) == ["beside it", "a whole answer"]
    assert texts(chunks, withdrawn=True) == ["beside it", "a half an", "a whole answer"]
    (note,) = [c for c in of_type(chunks, "data-run") if c["data"].get("note") == "withdrawn"]
    assert note["transient"]
    (tool,) = [part for part in message_of(chunks)["parts"] if part["type"] == "dynamic-tool"]
    assert (tool["state"], tool["errorText"]) == ("output-error", "The model began anew.")


def test_withdrawn_words_are_gone_from_a_client_that_can_take_them_back() -> None:
    chunks = chunks_of(log(*SUPERSEDED), 7)
    read_all(chunks, 7)
    assert texts(chunks, withdrawn=True) == ["beside it", "a whole answer"]
    parts = message_of(chunks)["parts"]
    assert not [part for part in parts if part["type"] == "dynamic-tool"]
    assert [part["data"]["status"] for part in parts if part["type"] == "data-stage"] == ["running", "running"]


def test_a_result_that_no_turn_said_is_said_in_a_text_of_its_own() -> None:
    carried = done("Found before.", carried_from="r0")
    chunks = chunks_of(log(*begun(), carried, completed("Found before.", ("a", "Found before."))))
    assert texts(chunks) == ["Found before."]


def test_a_result_that_a_turn_has_said_is_not_said_twice() -> None:
    chunks = chunks_of(
        log(*begun(), started(), delta("So."), turned("So."), done("So."), completed("So.", ("a", "So.")))
    )
    assert texts(chunks) == ["So."]


def test_what_a_guardrail_stops_says_why() -> None:
    verdict = ev.GuardrailVerdict(allowed=False, category="weapons", reason="It asks for harm.")
    chunks = chunks_of(log(*begun(), verdict, completed("", stopped="weapons: It asks for harm.")))
    assert texts(chunks) == ["weapons: It asks for harm."]
    assert chunks[-1]["finishReason"] == "content-filter"
    assert read_all(chunks).data["data-guardrail", "guardrail"]["allowed"] is False


def test_an_answer_that_was_cut_short_says_so() -> None:
    chunks = chunks_of(
        log(*begun(), started(), turned("So", stop="max_tokens"), done("So"), completed("So", ("a", "So")))
    )
    assert chunks[-1]["finishReason"] == "length"


def test_planning_agents_say_nothing_in_the_message() -> None:
    said = ev.TurnDelta(text='{"todos": []}')
    drafts = [Draft(ev.AgentStarted(model="m"), agent="planner"), Draft(said, agent="planner", turn=1, attempt=1)]
    chunks = chunks_of(log(*begun(), *drafts, Draft(ev.AgentCompleted(ms=3), agent="planner")))
    assert not of_type(chunks, "text-start")
    assert read_all(chunks).data["data-agent", "planner"] == {
        "name": "planner",
        "state": "completed",
        "model": "m",
        "ms": 3,
    }


# --- tools -----------------------------------------------------------------------------------------------------------

USE = ToolUseBlock(id="c1", name="send", input={"to": "x"})
CALLED = ev.ToolCalled(call_id="c1", name="send", title="Send", arguments={"to": "x"})


def test_a_call_is_written_made_and_answered() -> None:
    written = [
        delta('{"to":', kind="tool_input", call_id="c1", name="send"),
        delta('"x"}', kind="tool_input", call_id="c1", name="send"),
    ]
    answered = ev.ToolCompleted(call_id="c1", name="send", result="sent")
    chunks = chunks_of(log(*begun(), started(), *written, turned("", "a", USE), at(CALLED), at(answered)))
    (part,) = [part for part in message_of(chunks)["parts"] if part["type"] == "dynamic-tool"]
    assert part == {
        "type": "dynamic-tool", "toolCallId": "a:1.c1", "toolName": "send", "title": "Send", "state": "output-available",
        "input": {"to": "x"}, "output": "sent", "providerExecuted": True,
        "callProviderMetadata": {"headrace": {"stage": "a", "agent": "research"}},
    }  # fmt: skip
    assert len(of_type(chunks, "tool-input-delta")) == 2


def test_a_call_that_is_refused_unannounced_has_its_input_and_its_error() -> None:
    answered = ev.ToolCompleted(call_id="c1", name="send", result="Not run.", is_error=True)
    chunks = chunks_of(log(*begun(), started(), turned("", "a", USE), at(answered)))
    (part,) = [part for part in message_of(chunks)["parts"] if part["type"] == "dynamic-tool"]
    assert (part["input"], part["state"], part["errorText"]) == ({"to": "x"}, "output-error", "Not run.")


def test_calls_of_the_same_name_in_other_turns_are_other_parts() -> None:
    answered = ev.ToolCompleted(call_id="c1", name="send", result="sent")
    again = [turned("", "a", USE, turn=2), at(CALLED, turn=2), at(answered, turn=2)]
    chunks = chunks_of(log(*begun(), started(), turned("", "a", USE), at(CALLED), at(answered), *again))
    assert [c["toolCallId"] for c in of_type(chunks, "tool-input-start")] == ["a:1.c1", "a:2.c1"]


@pytest.mark.parametrize(
    "end", [ev.RunCancelled(reason="user"), completed("So."), done("So."), waits("plan")], ids=lambda end: type(end).__name__
)  # fmt: skip
def test_a_call_that_never_ended_is_closed(end: Any) -> None:
    chunks = chunks_of(log(*begun(), started(), turned("", "a", USE), at(CALLED), end))
    (part,) = [part for part in message_of(chunks)["parts"] if part["type"] == "dynamic-tool"]
    assert (part["state"], part["errorText"]) == ("output-error", "It did not come to an end.")


def test_steps_are_cut_only_where_nothing_is_open() -> None:
    parallel = [started(), delta("x"), started("b"), delta("y", "b"), turned("x"), turned("y", "b")]
    assert len(of_type(chunks_of(log(*begun(), *parallel)), "start-step")) == 2  # the beginning, and before stage a
    one_by_one = [started(), delta("x"), turned("x"), started("b"), delta("y", "b"), turned("y", "b")]
    assert len(of_type(chunks_of(log(*begun(), *one_by_one)), "start-step")) == 3


@pytest.mark.parametrize("open_call", [[at(CALLED)], [asks_for()]], ids=["running", "asked"])
def test_a_step_is_not_cut_while_a_call_waits_for_its_outcome(open_call: list[Draft]) -> None:
    """Clients look for approvals only in the last step, and version 7 finds what a call is given only in its own."""
    chunks = chunks_of(log(*begun(), started(), turned("", "a", USE), *open_call, started("b")))
    assert len(of_type(chunks, "start-step")) == 2


# --- people ----------------------------------------------------------------------------------------------------------

ASKED = (*begun(), started(), turned("", "a", USE), asks_for())


def test_a_call_that_waits_for_approval_ends_the_response_with_the_question() -> None:
    chunks = chunks_of(log(*ASKED, waits("a:1.c1")))
    asked = of_type(chunks, "tool-approval-request")
    assert asked == [
        {"type": "tool-approval-request", "approvalId": "a:1.c1#h", "toolCallId": "a:1.c1", "reason": "it sends"}
    ]
    assert chunks[-1] == {
        "type": "finish", "finishReason": "tool-calls", "messageMetadata": {"state": "waiting"},
    }  # fmt: skip
    assert read_all(chunks).tools == {"a:1.c1": "asked"}


GOES_ON = (
    waits("a:1.c1"),
    says_yes("a:1.c1"),
    ev.RunStarted(epoch=2, owner="e", code_version="0"),
    at(CALLED),
    at(ev.ToolCompleted(call_id="c1", name="send", result="sent")),
    delta("Sent.", turn=2),
    turned("Sent.", turn=2),
    done("Sent."),
    completed("Sent.", ("a", "Sent.")),
)


@pytest.mark.parametrize("version", [6, 7])
def test_after_the_answer_the_same_message_goes_on_in_a_step_of_its_own(version: ClientVersion) -> None:
    chunks = chunks_of(log(*ASKED, *GOES_ON), version)
    read_all(chunks, version)
    starts = of_type(chunks, "start")
    assert len(starts) == 2
    assert starts[0]["messageId"] == starts[1]["messageId"]
    again = chunks[chunks.index(starts[1], 1) :]
    assert again[1]["type"] == "start-step"
    assert not of_type(again, "tool-input-start", "tool-input-available")
    assert len([part for part in message_of(chunks)["parts"] if part["type"] == "dynamic-tool"]) == 1


def test_a_refused_call_is_denied() -> None:
    refused = ev.ToolCompleted(call_id="c1", name="send", result="Not run: a person refused it.", is_error=True)
    drafts = [*ASKED, waits("a:1.c1"), says_yes("a:1.c1", approved=False, text="no"), at(refused)]
    assert of_type(chunks_of(log(*drafts)), "tool-output-denied")
    assert not of_type(chunks_of(log(*drafts), 5), "tool-output-denied")


def test_version_5_is_asked_by_a_card() -> None:
    chunks = chunks_of(log(*ASKED, waits("a:1.c1")), 5)
    assert not of_type(chunks, "tool-approval-request")
    card = read_all(chunks, 5).data["data-approval", "a:1.c1"]
    assert (card["kind"], card["name"], card["arguments"], card["open"]) == ("tool", "send", {"to": "x"}, True)


def test_a_question_of_an_agent_is_a_call_that_the_person_answers() -> None:
    asked = asks_for("q1", kind="question")
    use = ToolUseBlock(id="q1", name="ask_person", input={"question": "Send it?"})
    drafts = [*begun(), started(), turned("", "a", use), asked]
    chunks = chunks_of(log(*drafts, waits("a:1.q1")))
    (whole,) = of_type(chunks, "tool-input-available")
    assert (whole["toolName"], whole["providerExecuted"]) == ("ask_person", False)
    assert whole["input"] == {"question": "Send it?", "options": []}
    answered = at(ev.ToolCompleted(call_id="q1", name="ask_person", result="yes"))
    chunks = chunks_of(log(*drafts, waits("a:1.q1"), says_yes("a:1.q1", text="yes"), answered))
    (end,) = of_type(chunks, "tool-output-available")
    assert (end["output"], end["providerExecuted"]) == ("yes", True)


def test_a_plan_to_be_approved_is_a_card_that_shows_the_answer() -> None:
    asked = ev.ApprovalRequested(approval="plan", kind="plan", what="Approve?", arguments_hash="h", expires_at=9e9)
    chunks = chunks_of(log(*begun(), asked, waits("plan")))
    assert chunks[-1]["finishReason"] == "other"
    assert read_all(chunks).data["data-approval", "plan"]["open"] is True
    chunks = chunks_of(log(*begun(), asked, waits("plan"), says_yes("plan", text="fine")))
    card = read_all(chunks).data["data-approval", "plan"]
    assert (card["open"], card["approved"], card["text"]) == (False, True, "fine")


def test_a_run_that_waits_for_a_model_is_no_end() -> None:
    chunks = chunks_of(log(*begun(), ev.RunWaiting(reason="overloaded", until=5.0)))
    assert not of_type(chunks, *ENDS)


# --- everything else -------------------------------------------------------------------------------------------------


def test_the_plan_is_shown_whole_each_time_one_of_its_steps_changes() -> None:
    chunks = chunks_of(log(*begun(), started(), done("So.")))
    plans = [[todo["status"] for todo in c["data"]["todos"]] for c in of_type(chunks, "data-plan")]
    assert plans == [["pending", "pending"], ["running", "pending"], ["completed", "pending"]]
    assert {c["id"] for c in of_type(chunks, "data-plan")} == {"plan"}


@pytest.mark.parametrize(
    ("location", "kind", "told"),
    [
        ("https://example.org/a", "source-url", {"url": "https://example.org/a"}),
        ("notes/guide.md:120", "source-document", {"filename": "notes/guide.md", "mediaType": "text/markdown"}),
        ("paper.pdf#page=3", "source-document", {"filename": "paper.pdf", "mediaType": "application/pdf"}),
        ("README", "source-document", {"filename": "README", "mediaType": "text/plain"}),
    ],
)
def test_citations_are_sources(location: str, kind: str, told: dict[str, str]) -> None:
    cited = ev.CitationAdded(source_id="1", title="Guide", location=location, quote="So it is.")
    (chunk,) = of_type(chunks_of(log(*begun(), at(cited))), "source-url", "source-document")
    assert chunk["type"] == kind
    assert told.items() <= chunk.items()
    assert chunk["sourceId"] == "a:1"
    assert chunk["providerMetadata"]["headrace"]["quote"] == "So it is."


def test_a_failed_run_tells_what_and_how_to_go_on_before_the_error() -> None:
    failed = ev.RunFailed(
        code="overloaded", message="The model is busy.", layer="model", retryable=True,
        resume=ev.ResumeHint(possible=True, how="Resume it."), usage=Usage(),
    )  # fmt: skip
    chunks = chunks_of(log(*begun(), started(), delta("Be"), failed))
    assert chunks[-1] == {"type": "error", "errorText": "The model is busy."}
    metadata = message_of(chunks)["metadata"]
    assert metadata["state"] == "failed"
    assert metadata["error"] == {"code": "overloaded", "message": "The model is busy."}
    assert metadata["resume"] == {"possible": True, "how": "Resume it."}


def test_a_tools_own_event_is_a_data_part_that_cannot_pass_for_ours() -> None:
    chunks = chunks_of(log(*begun(), ev.Custom(name="chart", value=[1]), ev.Custom(name="plan", value="mine")))
    assert of_type(chunks, "data-chart") == [{"type": "data-chart", "data": [1]}]
    assert of_type(chunks, "data-custom-plan") == [{"type": "data-custom-plan", "data": "mine"}]


def test_an_event_of_a_newer_version_is_passed_over() -> None:
    events = log(*begun())
    strange = Stored(
        4, 1, "turn.sung", "object", None, b'{"run_id":"r","family":"object","type":"turn.sung","at":1,"data":{}}'
    )
    assert chunks_of([*events, strange]) == chunks_of(events)


def test_a_turn_without_tokens_shows_its_thinking_too() -> None:
    turn = turned("So.")
    assert isinstance(turn.event, ev.TurnCompleted)
    content = (ThinkingBlock(thinking="Hm."), *turn.event.content)
    whole = Draft(turn.event.model_copy(update={"content": content}), stage="a", agent="research", turn=1, attempt=1)
    parts = [part for part in message_of(chunks_of(log(*begun(), started(), whole)))["parts"] if "text" in part]
    assert [(part["type"], part["text"]) for part in parts] == [("reasoning", "Hm."), ("text", "So.")]


def _event(stored: Stored) -> Any:
    from runtime.events.codec import decode

    return decode(stored).event


def test_golden_logs_are_there() -> None:
    assert len(GOLDEN) > 20
    assert Path(LOGS).is_dir()
