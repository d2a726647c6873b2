"""The projection over every log there is, and any other: held to the rules of clients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.events import catalog as ev
from runtime.events.codec import decode
from runtime.events.envelope import Draft
from runtime.events.messages import ToolUseBlock
from runtime.generator.protocols.ai_sdk.chunks import ClientVersion, frame
from runtime.generator.protocols.ai_sdk.projection import Projection
from tests.cli import runs_by_hand as by_hand
from tests.events.samples import EVENT_TYPES, sample
from tests.generator.ai_sdk.client_rules import ENDS, read_all
from tests.generator.ai_sdk.logs import (
    chunks_of,
    log,
    message_of,
    of_type,
    texts,
)  # fmt: skip
from tests.golden.make_logs import LOGS, GoldenLog

GOLDEN = {path.stem: list(GoldenLog.load(path).events) for path in sorted(LOGS.glob("*.jsonl"))}
BY_HAND = {
    name.lower(): getattr(by_hand, name)
    for name in ("RUNNING", "SUCCESS", "GUARDED", "FAILED", "LIMITED", "DOUBTFUL", "CANCELLED", "HOSTILE", "RESUMED")
}
VERSIONS = (5, 6, 7)
COMPLETED = [name for name, events in {**GOLDEN, **BY_HAND}.items() if events[-1].type == "run.completed"]


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


@pytest.mark.parametrize("name", COMPLETED)
def test_a_completed_run_shows_its_whole_answer_in_texts(name: str) -> None:
    events = GOLDEN.get(name) or BY_HAND[name]
    end = decode(events[-1]).event
    assert isinstance(end, ev.RunCompleted)
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


def test_golden_logs_are_there() -> None:
    assert len(GOLDEN) > 20
    assert Path(LOGS).is_dir()
