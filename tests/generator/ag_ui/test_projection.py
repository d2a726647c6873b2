"""The projection over every kept log: the rules at every prefix, nothing lost, nothing shown that was taken back, the same bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from functools import cache

import pytest
from ag_ui_validate.pytest_plugin import validate_agui

from runtime.events import catalog as ev
from runtime.events.codec import decode, encode
from runtime.events.envelope import Draft, Stored
from runtime.events.texts import Texts
from runtime.generator.protocols.ag_ui.framing import AgUi, Thread
from runtime.generator.protocols.ag_ui.projection import Reader
from runtime.log.log import TERMINAL_TYPES
from runtime.stream.view import View
from tests.generator.ag_ui.verifier import Client, Json
from tests.golden.make_logs import LOGS, GoldenLog

NAMES = sorted(path.stem for path in LOGS.glob("*.jsonl"))
STRICTER = {"AGUI204"}
"""Arguments that a cancellation cut are no JSON: the rule is stricter than the protocol (PROTOCOLS.md 1.5)."""


ENDS: tuple[ev.Event, ...] = (
    ev.RunCancelled(reason="user"),
    ev.RunCompleted(answer="So."),
    ev.RunFailed(code="x", message="m", layer="agent", retryable=False, resume=ev.ResumeHint(possible=False, how="")),
)


@cache
def log_of(name: str) -> tuple[Stored, ...]:
    return GoldenLog.load(LOGS / f"{name}.jsonl").events


def framing(*, versioned: bool = True, **options: object) -> AgUi:
    return AgUi(Thread(Reader("thread-1", versioned=versioned), until=("r1", 0), **options), View())  # type: ignore[arg-type]


def told(events: Sequence[Stored], *, versioned: bool = True) -> list[Json]:
    return parsed(framing(versioned=versioned).bytes_of(list(events)) if events else b"")


def parsed(raw: bytes) -> list[Json]:
    """As the reference client reads it."""
    assert b"\r" not in raw
    frames = [frame for frame in raw.decode().split("\n\n") if frame]
    data = [[line for line in frame.split("\n") if line.startswith("data: ")] for frame in frames]
    assert all(len(lines) == 1 for lines in data)
    return [json.loads(lines[0].removeprefix("data: ")) for lines in data]


def ended(events: Sequence[Stored], end: ev.Event) -> list[Stored]:
    """The log with an end of its own."""
    record = encode(Draft(end), "r1", 1700000999.0)
    return [*events, Stored(events[-1].seq + 1, events[-1].epoch, record.type, record.family, None, record.body)]


def client_of(events: Sequence[Json]) -> Client:
    client = Client()
    for event in events:
        client.take(event)
    return client


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_every_prefix_keeps_the_rules_and_can_be_ended_there(name: str, versioned: bool) -> None:
    log = log_of(name)
    client_of(told(log, versioned=versioned))
    for length in range(1, len(log) + (log[-1].type not in TERMINAL_TYPES)):
        client = client_of(told(ended(log[:length], ENDS[length % len(ENDS)]), versioned=versioned))
        assert client.running is None and len(client.runs) == 1


@pytest.mark.parametrize("name", NAMES)
def test_ag_ui_validate_finds_nothing(name: str) -> None:
    log = log_of(name)
    for versioned in (True, False):
        for events in (log, ended(log[: len(log) // 2], ev.RunCancelled(reason="user"))):
            if not told(events, versioned=versioned)[-1]["type"].startswith("RUN_"):
                continue  # an unfinished log
            report = validate_agui(told(events, versioned=versioned))
            found = [d for d in report.diagnostics if d.severity != "info" and d.rule_id not in STRICTER]
            assert not found, found


@pytest.mark.parametrize("name", NAMES)
def test_the_client_ends_with_the_texts_of_the_run_and_none_that_was_withdrawn(name: str) -> None:
    log = log_of(name)
    client, texts = client_of(told(log)), Texts()
    answer = ""
    for stored in log:
        envelope = decode(stored)
        texts.apply(envelope)
        if isinstance(envelope.event, ev.RunCompleted):
            answer = envelope.event.answer or envelope.event.stopped or ""
    said = sorted(text for key, text in texts.texts.items() if key.stage and text)
    shown = sorted(client.texts.values())
    if answer and answer not in said:
        said = sorted([*said, answer])
    assert shown == said


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_however_it_is_cut_into_batches_the_bytes_are_the_same(name: str, versioned: bool) -> None:
    log = list(log_of(name))
    whole = framing(versioned=versioned).bytes_of(log)
    for seed in range(5):
        one, rest, found = framing(versioned=versioned), list(log), b""
        luck = random.Random(seed)
        while rest:
            size = luck.randint(1, 7)
            found += one.bytes_of(rest[:size])
            rest = rest[size:]
        assert found == whole


def test_a_superseded_attempt_is_taken_back_with_a_complete_snapshot() -> None:
    log = log_of("takeover")
    events = told(log)
    client = client_of(events)
    snapshots = [event for event in events if event["type"] == "MESSAGES_SNAPSHOT"]
    assert len(snapshots) == 1
    kept = [(m["role"], m.get("content")) for m in snapshots[0]["messages"]]
    assert kept == [("user", "Why?"), ("assistant", "words of research about Find")]
    assert client.texts == {
        "r1/find/1": "words of research about Find",
        "r1/weigh/1@2": "one two three four five six",
        "r1/write/1": "words of writing about Write",
    }
    assert [event["stepName"] for event in events if event["type"] == "STEP_STARTED"] == ["Find", "Weigh", "Write"]


def test_parallel_stages_stream_side_by_side_each_under_its_agent() -> None:
    events = told(log_of("completed_in_parallel"))
    places = [(e["type"], e["messageId"]) for e in events if e["type"].startswith("TEXT_MESSAGE")]
    left, right = "r1/left/1", "r1/right/1"
    assert places.index(("TEXT_MESSAGE_START", right)) < places.index(("TEXT_MESSAGE_END", left))
    starts = {e["messageId"]: e["subagentRunId"] for e in events if e["type"] == "TEXT_MESSAGE_START"}
    assert starts["r1/left/1"] == "r1/left" and starts["r1/right/1"] == "r1/right"
    names = {e["subagentRunId"]: e["name"] for e in events if e["type"] == "SUBAGENT_STARTED"}
    assert names == {
        "r1/planning/guardrail": "guardrail",
        "r1/planning/planner": "planner",
        "r1/planning/titler": "titler",
        "r1/left": "research",
        "r1/right": "analysis",
        "r1/write": "writing",
    }


def test_a_client_that_names_no_version_is_sent_nothing_that_it_breaks_on() -> None:
    for name in NAMES:
        for event in told(log_of(name), versioned=False):
            assert not event["type"].startswith("SUBAGENT_") and "subagentRunId" not in event
            assert event.get("outcome", {}).get("type") != "cancelled"
    cancelled = told(log_of("cancelled"), versioned=False)[-1]
    assert cancelled["type"] == "RUN_FINISHED" and cancelled["result"]["cancelled"] is True
    assert told(log_of("cancelled"))[-1]["outcome"] == {"type": "cancelled"}


def test_state_and_plan_follow_the_run() -> None:
    client = client_of(told(log_of("failed_step_continued")))
    statuses = {todo["id"]: todo["status"] for todo in client.state["plan"]}
    assert statuses == {"find": "completed", "weigh": "failed", "write": "completed"}
    assert client.messages["r1/plan"]["content"] == {"todos": client.state["plan"]}
    assert client.state["status"] == "completed" and client.state["title"] == "Why?"
    assert client.state["guardrail"]["allowed"] is True
    assert client.state["usage"]["input_tokens"] == 1912


def test_a_refusal_is_said() -> None:
    client = client_of(told(log_of("guardrail_refused")))
    assert client.texts == {"r1/answer": "malware: it harms"}
    assert client.state["guardrail"] == {"allowed": False, "category": "malware", "reason": "it harms"}
    assert client.runs[0]["result"]["stopped"] == "malware: it harms"


def test_a_failure_is_an_error_with_its_code() -> None:
    for name, code in (("failed", None), ("expired", "run_expired")):
        last = told(log_of(name))[-1]
        assert last["type"] == "RUN_ERROR" and last["message"] and code in (None, last["code"])


def test_usage_is_told_by_model_with_cached_tokens_inside_the_input() -> None:
    finished = told(log_of("completed"))[-1]
    usage = json.loads(log_of("completed")[-1].body)["data"]["usage"]
    assert len(finished["usage"]) == 1
    told_usage = finished["usage"][0]
    assert told_usage["inputTokens"] == usage["input_tokens"] and told_usage["outputTokens"] == usage["output_tokens"]
    assert told_usage["totalTokens"] == told_usage["inputTokens"] + told_usage["outputTokens"]
    assert "cachedInputTokens" not in told_usage  # unknown, and not 0


def test_every_event_of_ours_ends_with_its_cursor() -> None:
    log = log_of("completed")
    ids = [line for line in framing().bytes_of(list(log)).decode().split("\n") if line.startswith("id: ")]
    assert ids == sorted(ids, key=lambda line: int(line[4:].split(".")[0])) and len(ids) == len(set(ids))
    assert ids[-1] == f"id: {log[-1].seq}.{log[-1].epoch}"
