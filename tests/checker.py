"""What must hold of every run and every client, whatever happened to them (JOURNAL.md 3).

``check_run`` holds one stored log to the grammar (:mod:`runtime.testing.grammar`) and raises ``AssertionError`` naming the
event that breaks a rule. ``violations`` judges a whole :class:`tests.history.History`: logs, texts, budgets, model calls,
effects and what clients saw. Both are pure. ``python -m tests.checker FILE`` judges a history that was kept.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from runtime.events import catalog as ev
from runtime.events.codec import decode, money_of
from runtime.events.envelope import Envelope, Stored
from runtime.events.messages import text_of
from runtime.events.texts import TextKey, Texts
from runtime.log.log import TERMINAL_TYPES
from runtime.testing.grammar import check_grammar
from tests.history import History, RunHistory, Segment, seen


def check_run(events: Sequence[Stored], *, ended: bool = True) -> list[Envelope]:
    """Hold ``events``, a run's whole log, to the grammar; answers them decoded."""
    envelopes = [decode(stored) for stored in events]
    check_grammar(envelopes, ended=ended)
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
