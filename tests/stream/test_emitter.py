"""What is written has gone through the chain, stands at its place, and is never missing where a run's state needs it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest

from runtime.clock import ManualClock
from runtime.events import catalog as ev
from runtime.events.envelope import Draft, Record
from runtime.events.fold import RunState, fold, fold_all
from runtime.events.messages import TextBlock, ToolUseBlock, Usage
from runtime.stream.chain import Chain, process, transform
from runtime.stream.emitter import ESSENTIAL, Emitter
from tests.events.samples import by_type, envelope, every_event, numbered, sample

DISPENSABLE = {
    "run.accepted",  # written by the door, before there is a chain
    "run.cancel_requested",  # written by the hub
    "agent.started",
    "agent.completed",
    "agent.failed",
    "title.set",
    "stage.started",
    "citation.added",
    "recovery.fell_back",
}
"""Types that are folded into the state, and that a rule may withhold all the same: nothing is decided by them."""


class Box:
    """A sink that keeps what it is given, in the batches it was given in."""

    def __init__(self) -> None:
        self.offered: list[tuple[Record, ...]] = []
        self.committed: list[tuple[Record, ...]] = []
        self.drained = 0

    async def offer(self, *records: Record) -> None:
        self.offered.append(records)

    async def commit(self, *records: Record, wake_at: float | None = None, unless_said_after: int | None = None) -> int:
        self.committed.append(records)
        return len(self.committed)

    async def drain(self) -> None:
        self.drained += 1


@process()
def hide_all(draft: Draft) -> None:
    return None


def emitter(box: Box, *functions: Any) -> Emitter:
    return Emitter(box, Chain(functions), ManualClock(50.0), "run-1", stage="s", agent="a")


async def test_an_event_is_written_at_its_place_and_time() -> None:
    box = Box()
    await emitter(box).emit(ev.TurnDelta(text="words"), turn=2, attempt=3)
    (record,) = box.offered[0]
    body = orjson.loads(record.body)
    assert (record.type, record.family, record.stage) == ("turn.delta", "token", "s")
    del body["data"]
    place = {"stage": "s", "agent": "a", "turn": 2, "attempt": 3}
    assert body == {"run_id": "run-1", "family": "token", "type": "turn.delta", "at": 50.0, **place}


async def test_events_committed_together_are_one_batch_in_their_order() -> None:
    box = Box()
    await emitter(box).commit(ev.TurnSuperseded(reason="x"), sample(ev.RecoveryRetrying), turn=1, attempt=1)
    await emitter(box).drain()
    assert [[r.type for r in batch] for batch in box.committed] == [["turn.superseded", "recovery.retrying"]]
    assert (box.offered, box.drained) == ([], 1)


@pytest.mark.parametrize("event", every_event(), ids=by_type)
async def test_a_rule_withholds_an_event_exactly_when_it_is_not_essential(event: Any) -> None:
    box = Box()
    await emitter(box, hide_all).emit(event)
    (record,) = box.offered[0]
    assert record.type == (event.type if event.type in ESSENTIAL else "custom")


async def test_a_rule_may_change_what_an_essential_event_says_and_not_what_it_is() -> None:
    @process("object")
    def redact(draft: Draft) -> Draft:
        if isinstance(draft.event, ev.ToolCompleted):
            return replace(draft, event=draft.event.model_copy(update={"result": "[redacted]"}))
        return draft

    @process("object")
    def rename(draft: Draft) -> Draft:
        return replace(draft, event=ev.TitleSet(title="t")) if draft.event.type == "tool.called" else draft

    box = Box()
    await emitter(box, redact, rename).commit(
        ev.ToolCompleted(call_id="c", name="n", result="sk-x"), ev.ToolCalled(call_id="c", name="n", arguments={})
    )
    (completed, called) = box.committed[0]
    assert orjson.loads(completed.body)["data"]["result"] == "[redacted]"
    assert called.type == "tool.called"


async def test_a_transform_that_fails_writes_nothing() -> None:
    @transform()
    def broken(draft: Draft) -> Draft:
        raise KeyError("x")

    box = Box()
    with pytest.raises(KeyError):
        await emitter(box, broken).commit(ev.TitleSet(title="t"), ev.TitleSet(title="u"))
    assert box.committed == []


def _states() -> list[RunState]:
    """A run at points where some event of each type means something."""
    content = (TextBlock(text="x"), ToolUseBlock(id="c", name="n", input={}))
    turn = ev.TurnCompleted(content=content, stop_reason="tool_use", usage=Usage(), model="m")
    log = [
        ev.PlanCommitted(plan=sample(ev.PlanCommitted).plan),
        envelope(ev.TurnStarted(model="m", request_hash="h"), stage="one", turn=1, attempt=1),
        envelope(turn, stage="one", turn=1, attempt=1),
    ]
    return [fold_all(numbered(*log[:n])) for n in range(len(log) + 1)]


@pytest.mark.parametrize("event", every_event(), ids=by_type)
def test_whatever_the_state_of_a_run_is_folded_from_is_essential(event: Any) -> None:
    given = event.model_copy(update={"call_id": "c"}) if "call_id" in type(event).model_fields else event
    if event.type == "recovery.resumed":
        given = event.model_copy(update={"reason": "tool_call_limit"})
    changed = []
    for state in _states():
        here = envelope(given, state.last_seq + 1, stage="one", turn=1, attempt=1)
        after = fold(state, here)
        kept = {"run_id": "run", "last_seq": after.last_seq, "epoch": after.epoch, "last_at": after.last_at}
        changed.append(after != replace(state, **kept))  # type: ignore[arg-type]
    assert any(changed) == (event.type in ESSENTIAL | DISPENSABLE), event.type
    assert not ESSENTIAL & DISPENSABLE


async def test_a_rule_that_knows_nothing_of_delegates_does_not_move_their_events_into_the_stages_own_conversation() -> (
    None
):
    @transform("token")
    def older(draft: Draft) -> Draft:
        return Draft(draft.event, draft.stage, draft.agent, draft.turn, draft.attempt)

    box = Box()
    await emitter(box, older).of("1.c1", "helper").emit(ev.TurnDelta(text="words"), turn=1, attempt=1)
    body = orjson.loads(box.offered[0][0].body)
    assert (body["stage"], body["agent"], body["call"]) == ("s", "helper", "1.c1")
