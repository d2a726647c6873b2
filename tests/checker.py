"""What must hold of every run and every client, whatever happened to them (JOURNAL.md 3).

``check_run`` holds one log to its grammar, an automaton over the stored events, and raises ``AssertionError`` naming the
event that breaks a rule. ``violations`` judges a whole :class:`tests.history.History`: logs, texts, budgets, model calls,
effects and what clients saw. Both are pure. ``python -m tests.checker FILE`` judges a history that was kept.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from runtime.events import catalog as ev
from runtime.events.codec import decode, money_of
from runtime.events.envelope import Envelope, Stored
from runtime.events.messages import text_of, tool_uses
from runtime.events.texts import TextKey, Texts
from runtime.log.log import TERMINAL_TYPES
from tests.history import History, RunHistory, Segment, seen

Lane = tuple[str | None, str | None, str | None]
"""Stage, agent and, for a delegate, the call it answers: whose turns are numbered together."""


@dataclass
class _Checker:
    epoch: int = 0
    ended: bool = False
    planned: bool = False
    planning: int = 1
    cancelled: bool = False
    open: dict[Lane, tuple[int, int]] = field(default_factory=dict)
    shut: set[Lane] = field(default_factory=set)
    begun: set[tuple[Lane, int, int]] = field(default_factory=set)
    completed_turns: set[tuple[Lane, int]] = field(default_factory=set)
    offered: set[tuple[Lane, str]] = field(default_factory=set)
    called: set[tuple[Lane, str]] = field(default_factory=set)
    answered: set[tuple[Lane, str]] = field(default_factory=set)
    dispatches: dict[str, int] = field(default_factory=dict)
    over: set[str] = field(default_factory=set)
    once: Counter[str] = field(default_factory=Counter)

    def see(self, e: Envelope) -> None:
        assert not self.ended, "an event after the terminal one"
        assert e.epoch >= self.epoch, f"epoch fell from {self.epoch} to {e.epoch}"
        self.epoch = e.epoch
        lane, turn, attempt = (e.stage, e.agent, e.call), e.turn or 0, e.attempt or 0
        match e.event:
            case ev.RunStarted(epoch=epoch):
                assert epoch == e.epoch, "run.started names another epoch than its own"
            case ev.RunCancelRequested():
                self.cancelled = True
            case ev.PlanCommitted() | ev.TitleSet() | ev.GuardrailVerdict():
                self.once[e.event.type] += 1
                assert self.once[e.event.type] == 1, f"{e.event.type} twice"
                self.planned = self.planned or isinstance(e.event, ev.PlanCommitted)
            case ev.StageDispatched(dispatch=dispatch) if e.stage is None:
                assert not self.planned, "a planned run is given to be planned again"
                assert dispatch > self.planning, "a planning dispatch that does not grow"
                self.planning = dispatch
                self.shut |= self.open.keys()
            case ev.StageDispatched(dispatch=dispatch):
                assert self.planned, "a stage before its plan"
                assert e.stage is not None
                assert e.stage not in self.over, "a stage that was over is dispatched again"
                assert dispatch > self.dispatches.get(e.stage, 0), "a dispatch number that does not grow"
                self.dispatches[e.stage] = dispatch
                # whoever made an open turn is shut out: it may only be withdrawn now
                self.shut |= {open_lane for open_lane in self.open if open_lane[0] == e.stage}
            case ev.StageCompleted(carried_from=str()):
                assert self.planned, "a carried stage before its plan"
                assert self.epoch == 0, "a stage is carried over after an owner took the run"
                assert e.stage is not None
                assert e.stage not in self.over, "a stage is carried over twice"
                self.over.add(e.stage)
            case ev.StageCompleted() | ev.StageFailed():
                assert e.stage in self.dispatches, "the end of a stage that was never dispatched"
                assert e.stage not in self.over, "a second end of a stage"
                assert e.stage not in {open_lane[0] for open_lane in self.open}, "a stage ends with an open turn"
                if not (isinstance(e.event, ev.StageFailed) and e.event.decision == "retry"):
                    self.over.add(e.stage)
            case ev.TurnStarted():
                assert not self.cancelled, "a model turn after the cancel request"
                assert lane not in self.open, "a turn starts while another is open"
                assert (lane, turn) not in self.completed_turns, "a completed turn is repeated"
                assert (lane, turn, attempt) not in self.begun, "an attempt's key is used twice"
                assert e.stage is None or e.stage in self.dispatches, "a turn before its stage's dispatch"
                self.begun.add((lane, turn, attempt))
                self.open[lane] = (turn, attempt)
            case ev.TurnDelta():
                assert self.open.get(lane) == (turn, attempt), "a delta outside its open attempt"
                assert lane not in self.shut, "a delta of an agent that was shut out by a newer dispatch"
            case ev.TurnCompleted(content=content):
                assert lane not in self.shut, "a turn of an agent that was shut out by a newer dispatch"
                assert self.open.pop(lane, None) == (turn, attempt), "a turn completes that is not open"
                self.completed_turns.add((lane, turn))
                self.offered |= {(lane, use.id) for use in tool_uses(content)}
            case ev.TurnSuperseded() | ev.TurnFailed():
                assert self.open.pop(lane, None) == (turn, attempt), f"{e.event.type} of an attempt that is not open"
                self.shut.discard(lane)
            case ev.ToolCalled(call_id=call):
                assert not self.cancelled, "a tool call after the cancel request"
                assert (lane, call) in self.offered, "a tool before its turn completed"
                assert (lane, call) not in self.called, "a tool is called twice"
                self.called.add((lane, call))
            case ev.ToolCompleted(call_id=call):
                assert (lane, call) in self.offered, "a result of a call nobody asked for"
                assert (lane, call) not in self.answered, "a completed tool call is answered again"
                self.answered.add((lane, call))
            case _:
                pass
        self.ended = e.event.type in TERMINAL_TYPES


def check_run(events: Sequence[Stored], *, ended: bool = True) -> list[Envelope]:
    """Hold ``events``, a run's whole log, to the grammar; answers them decoded."""
    envelopes = [decode(stored) for stored in events]
    assert [e.seq for e in envelopes] == list(range(1, len(events) + 1)), "seq is not 1, 2, 3 ..."
    assert envelopes[0].event.type == "run.accepted"
    checker = _Checker()
    for e in envelopes:
        try:
            checker.see(e)
        except AssertionError as error:
            history = "\n".join(
                f"{x.seq}.{x.epoch} {x.event.type} {x.stage} {x.agent} {x.turn}.{x.attempt}"
                for x in envelopes[max(0, e.seq - 40) : e.seq]
            )
            raise AssertionError(f"event {e.seq} ({e.event.type}): {error}\n{history}") from error
    assert checker.ended or not ended, f"the run has no terminal event; it stops at {envelopes[-1].event.type}"
    return envelopes


def attempts(envelopes: Sequence[Envelope]) -> Counter[tuple[str | None, str | None, int]]:
    """How many attempts each turn took; delegations to one agent within a stage are counted together."""
    return Counter((e.stage, e.agent, e.turn or 0) for e in envelopes if e.event.type == "turn.started")


# --- whole histories -------------------------------------------------------------------------------------------------


class Violation(NamedTuple):
    """A promise broken: which kind, in which run, and how."""

    kind: str
    run: str
    words: str


def violations(history: History) -> list[Violation]:
    """Everything that is wrong with a history; empty when all promises were kept."""
    found = [v for run_id, run in history.runs.items() for v in _of_run(history, run_id, run)]
    wholes = {run_id: [seen(event) for event in run.events] for run_id, run in history.runs.items()}
    return found + [v for segment in history.segments for v in _of_segment(segment, wholes.get(segment.run, []))]


def _of_run(history: History, run_id: str, run: RunHistory) -> Iterator[Violation]:
    if [e.seq for e in run.events] != list(range(1, len(run.events) + 1)):
        yield Violation("seq", run_id, f"seq is not 1, 2, 3 ...: {[e.seq for e in run.events][-10:]}")
        return
    ends = [e.seq for e in run.events if e.type in TERMINAL_TYPES]
    if ends != [len(run.events)]:
        yield Violation("terminal", run_id, f"terminal events at {ends}, the log ends at {len(run.events)}")
    elif TERMINAL_TYPES[run.events[-1].type] != run.status:
        yield Violation("terminal", run_id, f"the log ends with {run.events[-1].type}, the run is {run.status}")
    try:
        envelopes = check_run(run.events, ended=False)
    except AssertionError as error:
        yield Violation("grammar", run_id, str(error))
        envelopes = [decode(stored) for stored in run.events]
    yield from _texts(run_id, envelopes)
    yield from _budget(run_id, run, envelopes)
    if history.counts_calls:
        yield from _calls(history, run_id, envelopes)
    yield from _effects(history, run_id, run, envelopes)


def _texts(run_id: str, envelopes: Sequence[Envelope]) -> Iterator[Violation]:
    """What a client shows from deltas alone is the canonical text when the turn completes, and stays."""
    shown, canonical = Texts(), dict[TextKey, str]()
    for e in envelopes:
        key = TextKey.of(e)
        if isinstance(e.event, ev.TurnCompleted):
            canonical[key] = text_of(e.event.content)
            if key in shown.texts and shown.texts[key] != canonical[key]:
                yield Violation("text", run_id, f"{key}: {shown.texts[key]!r} was shown, {canonical[key]!r} completed")
        shown.apply(e)
    left = {key: text for key, text in shown.texts.items() if canonical.get(key) != text}
    whole = bool(envelopes) and envelopes[-1].event.type == "run.completed"
    if whole and left:
        yield Violation("text", run_id, f"text of attempts that neither completed nor were withdrawn: {left}")


def _budget(run_id: str, run: RunHistory, envelopes: Sequence[Envelope]) -> Iterator[Violation]:
    """Spend within the budget at every moment, sums as the row has them, nothing held back after the end."""
    reserved = spent = 0
    for e in envelopes:
        if (money := money_of(e.event)) is not None:
            reserved, spent = max(0, reserved + money.reserve), spent + money.spend
            if run.budget is not None and money.reserve > 0 and reserved + spent > run.budget:
                yield Violation("budget", run_id, f"event {e.seq} holds back past the budget of {run.budget}")
    if run.reserved != 0 and run.status in TERMINAL_TYPES.values():
        yield Violation("budget", run_id, f"{run.reserved} is still held back after the end")
    if run.budget is not None and run.spent > run.budget:
        yield Violation("budget", run_id, f"spent {run.spent} of {run.budget}")
    if run.status in TERMINAL_TYPES.values() and run.spent != spent + reserved:
        yield Violation("budget", run_id, f"the row says {run.spent} spent, the log {spent + reserved}")


def _calls(history: History, run_id: str, envelopes: Sequence[Envelope]) -> Iterator[Violation]:
    """Every request to the model was announced: for each turn 1 + the superseded, and none after its completion."""
    announced: Counter[str] = Counter()
    for (_, agent, turn), n in attempts(envelopes).items():
        announced[f"{run_id}/{agent}/{turn}"] += n
    for key, n in history.calls.items():
        if key.startswith(f"{run_id}/") and n > announced[key]:
            yield Violation("calls", run_id, f"{key}: {n} requests to the model, {announced[key]} announced")


def _effects(history: History, run_id: str, run: RunHistory, envelopes: Sequence[Envelope]) -> Iterator[Violation]:
    """``at_most_once``: at most one execution, and one without a result is reported; ``idempotent``: one key."""
    answered = {(e.stage, e.event.call_id) for e in envelopes if isinstance(e.event, ev.ToolCompleted)}
    unknown = {(e.stage, e.event.call_id) for e in envelopes if isinstance(e.event, ev.ToolOutcomeUnknown)}
    asked = {(e.stage, e.event.call_id) for e in envelopes if isinstance(e.event, ev.ToolCalled)}
    keys: defaultdict[tuple[str, str, str], list[str]] = defaultdict(list)
    for effect in history.effects:
        if effect.run == run_id:
            keys[effect.stage, effect.call, effect.kind].append(effect.key)
    for (stage, call, kind), given in keys.items():
        place = (stage, given[0].rpartition(":")[2])
        if place not in asked:
            yield Violation("effects", run_id, f"{stage}/{call} ran without an intent in the log")
        if kind == "at_most_once" and len(given) > 1:
            yield Violation("effects", run_id, f"{stage}/{call} is at_most_once and ran {len(given)} times")
        if kind == "idempotent" and len(set(given)) > 1:
            yield Violation("effects", run_id, f"{stage}/{call} got the keys {sorted(set(given))}")
        if kind == "at_most_once" and run.status == "completed" and place not in answered | unknown:
            yield Violation("effects", run_id, f"{stage}/{call} ran, and the log says nothing of its outcome")


def _of_segment(segment: Segment, whole: Sequence[tuple[str, str]]) -> Iterator[Violation]:
    """A client's segment is a byte-equal slice of the final log, right after its cursor."""
    start = int(segment.after.partition(".")[0] or 0)
    expected = list(whole[start : start + len(segment.events)])
    if segment.events != expected:
        pairs = zip(segment.events, expected, strict=False)
        at = next((n for n, (got, want) in enumerate(pairs) if got != want), len(expected))
        got = segment.events[at] if at < len(segment.events) else None
        want = expected[at] if at < len(expected) else None
        words = f"{segment.client} after {segment.after or 0}: got {got}, the log has {want} there"
        yield Violation("client", segment.run, words)
    if segment.end == "whole" and start + len(segment.events) != len(whole):
        yield Violation("client", segment.run, f"{segment.client} took {start + len(segment.events)} for the whole")


def main(arguments: Sequence[str]) -> int:
    """Judge the histories in these files; 1 when any promise was broken."""
    bad = 0
    for name in arguments:
        found = violations(History.from_json(Path(name).read_text()))
        bad += len(found)
        for violation in found:
            print(f"{name}: {violation.kind} in {violation.run}: {violation.words}")
        print(f"{name}: {len(found)} violations")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
