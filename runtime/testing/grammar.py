"""The grammar of a run's log, as an automaton over its events: what must hold of every run, whatever happened to it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from runtime.events import catalog as ev
from runtime.events.envelope import Envelope
from runtime.events.messages import tool_uses
from runtime.log.log import TERMINAL_TYPES

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


def check_grammar(envelopes: Sequence[Envelope], *, ended: bool = True) -> None:
    """Hold a run's whole log to the grammar. Raises ``AssertionError`` naming the event that breaks a rule."""
    assert envelopes, "there are no events"
    assert [e.seq for e in envelopes] == list(range(1, len(envelopes) + 1)), "seq is not 1, 2, 3 ..."
    assert envelopes[0].event.type == "run.accepted", "the first event is not run.accepted"
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
