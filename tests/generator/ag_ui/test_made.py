"""Sequences made by hand: thinking, calls side by side, delegates, attempts taken back, people."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from ag_ui.core import types as agt
from ag_ui_validate.pytest_plugin import validate_agui
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.errors import Busy, StoreUnavailable
from runtime.events import catalog as ev
from runtime.events.envelope import Stored
from runtime.events.messages import TextBlock
from runtime.generator.protocols.ag_ui.framing import AgUi, Thread
from runtime.generator.protocols.ag_ui.projection import NO_RESULT, Reader
from runtime.stream.view import View
from tests.generator.ag_ui.made import RUN, Made, turned, use, with_everything, with_people
from tests.generator.ag_ui.test_projection import client_of, parsed
from tests.generator.ag_ui.verifier import Client, Json


def framing(*, versioned: bool = True, after: int = 0, until: int = 10**9, **reader: object) -> AgUi:
    thread = Thread(Reader("t", versioned=versioned, **reader), after=after, until=(RUN, until))  # type: ignore[arg-type]
    return AgUi(thread, View())


def told(events: Sequence[Stored], **options: object) -> list[Json]:
    return parsed(framing(**options).bytes_of(list(events)))  # type: ignore[arg-type]


def of(events: Sequence[Json], *kinds: str) -> list[Json]:
    return [event for event in events if event["type"] in kinds]


@pytest.mark.parametrize("versioned", [True, False])
def test_everything_at_once_keeps_the_rules_and_ends_with_what_stands(versioned: bool) -> None:
    events = told(with_everything(), versioned=versioned)
    client = client_of(events)
    texts = {name.removeprefix(f"{RUN}/"): text for name, text in client.texts.items()}
    mine = {
        "a/1": "First part.",
        "b/1@2": "Right so.",
        "b/2": "Best",
        "answer": "The answer.",
    }
    assert texts == (mine | {"a/1.c1/1": "inner words"} if versioned else mine)
    report = validate_agui(events)
    assert not [d for d in report.diagnostics if d.severity != "info"], report.diagnostics


def test_reasoning_is_a_message_of_its_own_each_time_it_begins() -> None:
    client = client_of(told(with_everything()))
    thoughts = {m["id"]: m["content"] for m in client.messages.values() if m["role"] == "reasoning"}
    assert thoughts == {f"{RUN}/a/1/thinking": "hm so", f"{RUN}/a/1/thinking-2": "again"}


def test_calls_side_by_side_keep_their_arguments_apart_and_stand_in_their_turns_message() -> None:
    client = client_of(told(with_everything()))
    calls = [(c["id"], json.loads(c["function"]["arguments"])) for c in client.messages[f"{RUN}/a/1"]["toolCalls"]]
    assert calls == [(f"{RUN}/a/1.c1", {"agent": "helper"}), (f"{RUN}/a/1.c2", {"q": 1})]
    assert client.results()[f"{RUN}/a/1.c2"] == "2" and client.results()[f"{RUN}/a/1.c1"] == "inner answer"


def test_a_delegate_is_a_sub_agent_of_the_stages_and_names_the_call_that_began_it() -> None:
    events = told(with_everything())
    started = {e["subagentRunId"]: e for e in of(events, "SUBAGENT_STARTED")}
    helper = started[f"{RUN}/a/1.c1"]
    assert helper["name"] == "helper"
    assert helper["parentSubagentRunId"] == f"{RUN}/a" and helper["parentToolCallId"] == f"{RUN}/a/1.c1"
    kinds = [(e["type"], e.get("subagentRunId", e.get("toolCallId"))) for e in events]
    ended = kinds.index(("SUBAGENT_FINISHED", f"{RUN}/a/1.c1"))
    result = next(i for i, e in enumerate(events) if e["type"] == "TOOL_CALL_RESULT" and e["content"] == "inner answer")
    assert ended < result


def test_a_stage_that_is_tried_again_is_another_invocation_and_another_step() -> None:
    events = told(with_everything())
    assert [e["stepName"] for e in of(events, "STEP_STARTED")] == ["Look", "Look (2)", "Look (3)"]
    assert [e["subagentRunId"] for e in of(events, "SUBAGENT_ERROR")] == [f"{RUN}/b"]
    assert f"{RUN}/b#2" in {e["subagentRunId"] for e in of(events, "SUBAGENT_STARTED")}


def test_a_canonical_text_that_differs_takes_the_streamed_ones_place() -> None:
    client = client_of(told(with_everything()))
    assert client.texts[f"{RUN}/b/2"] == "Best"


def test_withdrawn_reasoning_is_gone_even_when_it_was_all_there_was() -> None:
    place = {"stage": "a", "agent": "research", "turn": 1, "attempt": 1}
    made = Made().planned().begun("a", "research").say(ev.TurnDelta(kind="thinking", text="wrong"), **place)
    client = client_of(told(made.say(ev.TurnSuperseded(reason="overloaded"), **place).events))
    assert [m["content"] for m in client.messages.values() if m["role"] == "reasoning"] == [""]


def test_an_attempt_that_said_nothing_needs_no_snapshot() -> None:
    place = {"stage": "a", "agent": "research", "turn": 1, "attempt": 1}
    made = Made().planned().begun("a", "research").say(ev.TurnSuperseded(reason="overloaded"), **place)
    assert not of(told(made.events), "MESSAGES_SNAPSHOT")


def test_a_snapshot_keeps_what_the_client_had_before() -> None:
    before = (
        agt.UserMessage(id="u1", content="Before?"),
        agt.AssistantMessage(id="other/1", content="Then."),
        agt.UserMessage(id="u2", content="Why?"),
    )
    place = {"stage": "a", "agent": "research", "turn": 1, "attempt": 1}
    made = Made(metadata={"ag-ui.messageId": "u2", "ag-ui.runId": "mine"}).planned().begun("a", "research")
    made.say(ev.TurnDelta(text="wrong"), **place).say(ev.TurnSuperseded(reason="overloaded"), **place)
    events = told(made.events, before=before)
    assert [m["id"] for m in of(events, "MESSAGES_SNAPSHOT")[0]["messages"]] == ["u1", "other/1", "u2"]
    assert events[0]["runId"] == "mine"
    assert events[0]["input"]["messages"] == [{"id": "u2", "role": "user", "content": "Why?"}]


def test_a_call_without_a_result_gets_one_when_the_run_completes() -> None:
    place = {"stage": "a", "agent": "research", "turn": 1, "attempt": 1}
    made = Made().planned().begun("a", "research").say(turned(use("c1")), **place)
    made.say(ev.ToolCalled(call_id="c1", name="look", arguments={}), stage="a", agent="research", turn=1)
    client = client_of(told(made.say(ev.RunCompleted(answer="So.")).events))
    assert client.results() == {f"{RUN}/a/1.c1": NO_RESULT}


def test_a_summary_for_the_model_is_not_said() -> None:
    place = {"stage": "a", "agent": "research", "turn": 2, "attempt": 1}
    made = Made().planned().begun("a", "research")
    made.say(turned(TextBlock(text="what was said so far"), purpose="summary"), **place)
    events = told(made.say(ev.RunCompleted(answer="So.")).events)
    assert list(client_of(events).texts.values()) == ["So."]
    used = events[-1]["usage"][0]
    assert used == {
        "model": "m", "inputTokens": 17, "outputTokens": 2, "totalTokens": 19, "cachedInputTokens": 3,
        "cacheWriteInputTokens": 4,
    }  # fmt: skip


# --- people ----------------------------------------------------------------------------------------------------------


def test_people_are_asked_by_an_interrupt_and_answered_in_the_next_run() -> None:
    log, first, second = with_people()
    events = told(log)
    client = client_of(events)
    assert [run.get("outcome", {}).get("type") for run in client.runs] == ["interrupt", "interrupt", "success"]
    assert [run["runId"] for run in client.runs] == [RUN, f"{RUN}.2", f"{RUN}.3"]
    (plan,) = client.runs[0]["outcome"]["interrupts"]
    assert plan["reason"] == "confirmation" and plan["id"] == f"{RUN}.aa.plan"
    tool, question = client.runs[1]["outcome"]["interrupts"]
    assert (
        tool["reason"] == "tool_call" and tool["toolCallId"] == f"{RUN}/a/1.c1" and tool["subagentRunId"] == f"{RUN}/a"
    )
    assert tool["metadata"]["headrace"]["arguments"] == {"to": "x"}
    assert question["reason"] == "input_required" and question["toolCallId"] == f"{RUN}/b/1.q1"
    assert question["responseSchema"]["properties"]["text"]["examples"] == ["here", "there"]
    assert question["expiresAt"] == "2023-11-14T22:13:20.000+00:00"
    suspended = [e["outcome"] for e in of(events, "SUBAGENT_FINISHED") if "outcome" in e]
    assert suspended == [
        {"type": "suspended", "interruptIds": [question["id"]]},
        {"type": "suspended", "interruptIds": [tool["id"]]},
    ]
    assert len(of(events, "TOOL_CALL_START")) == 2, "the calls are not made again"
    assert client.results() == {f"{RUN}/a/1.c1": "sent", f"{RUN}/b/1.q1": "here"}


def test_the_stream_is_over_at_the_interrupt_and_the_answer_gets_what_follows() -> None:
    log, first, second = with_people()
    begun = framing(until=0)
    shown = parsed(begun.bytes_of(log))
    assert begun.over and shown[-1]["outcome"]["type"] == "interrupt" and len(of(shown, "RUN_STARTED")) == 1
    resumed = framing(after=first, until=first + 1, resumed=(first, "r-2"))
    after = parsed(resumed.bytes_of(log))
    assert resumed.over and after[0]["type"] == "RUN_STARTED" and after[0]["runId"] == "r-2"
    last = parsed(framing(after=second, until=second + 1, resumed=(second, "r-3")).bytes_of(log))
    client = client_of(shown)
    for event in [*after, *last]:
        client.take(event)
    assert [run["runId"] for run in client.runs] == [RUN, "r-2", "r-3"]
    whole = client_of(told(log))
    assert (client.messages, client.state) == (whole.messages, whole.state)
    for part in (shown, after, last):
        assert not [d for d in validate_agui(part).diagnostics if d.severity != "info"]


def test_a_wait_that_nobody_is_to_end_interrupts_nothing() -> None:
    made = Made().planned().say(ev.RunWaiting(reason="the model wants a pause", until=1.7e9))
    events = told(made.events)
    assert events[-1]["name"] == "headrace.run.waiting" and not of(events, "RUN_FINISHED")


# --- properties ------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), versioned=st.booleans())
def test_any_cut_of_any_log_gives_the_same_bytes_and_keeps_the_rules(data: st.DataObject, versioned: bool) -> None:
    log = data.draw(st.sampled_from([with_everything(), with_people()[0]]))
    whole = framing(versioned=versioned).bytes_of(log)
    cut = data.draw(st.integers(1, len(log) - 1))
    one = framing(versioned=versioned)
    assert one.bytes_of(log[:cut]) + one.bytes_of(log[cut:]) == whole
    client_of(parsed(framing(versioned=versioned).bytes_of(log[:cut])))


@pytest.mark.parametrize("versioned", [True, False])
def test_whatever_is_under_way_is_closed_from_the_inside_out(versioned: bool) -> None:
    for log in (with_everything(), with_people()[0]):
        for length in range(1, len(log)):
            made = Made()
            made.events = log[:length]
            made.say(ev.RunCancelled(reason="user"), epoch=9)
            client = client_of(told(made.events, versioned=versioned))
            assert client.running is None and client.runs


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_events_that_are_missing_or_of_a_newer_version_break_no_rule(data: st.DataObject) -> None:
    log = data.draw(st.sampled_from([with_everything(), with_people()[0]]))
    gone = data.draw(st.sets(st.integers(2, len(log) - 1), max_size=6))
    left = [stored._replace(body=b'{"type":"x"}') if i in gone else stored for i, stored in enumerate(log)]
    client_of(parsed(framing().bytes_of(left)))


# --- the end of a stream that is not the run's ---------------------------------------------------------------------------


@pytest.mark.parametrize("error", [Busy("too many", 5.0), StoreUnavailable("away"), None])
def test_a_stream_that_cannot_go_on_says_so_instead_of_passing_for_success(
    error: Busy | StoreUnavailable | None,
) -> None:
    log = with_everything()
    for length in (0, 5, len(log) // 2):
        one = framing()
        client = client_of(parsed(one.bytes_of(log[:length]))) if length else Client()
        said = parsed(one.farewell(error))
        assert [event["type"] for event in said] == ["RUN_ERROR"]
        if length:
            client.take(said[0])
    whole = framing()
    whole.bytes_of(log)
    assert whole.farewell(error) == b""


def test_silence_is_a_comment() -> None:
    one = framing()
    assert one.bytes_of([]).startswith(b": ") and one.bytes_of(None).startswith(b": ")
