"""Turns and tool calls of a stage or a planning agent, as a fold of its events: what people want to watch.

Text is keyed by turn, attempt and call: ``turn.completed`` replaces what its deltas said, ``turn.superseded`` withdraws
it. The same in TypeScript is web/src/headrace/lanes.ts; tests/fixtures/folds holds both to account.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from runtime.events import catalog as ev
from runtime.events.calls import call_path
from runtime.events.envelope import Envelope
from runtime.events.messages import ContentBlock, ThinkingBlock, Usage, text_of, tool_uses
from runtime.events.turn_events import Purpose


@dataclass(frozen=True, slots=True)
class ToolUseView:
    """A tool call as the model writes it: ``text`` grows, then ``input`` is whole."""

    call_id: str
    name: str
    text: str = ""
    input: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class TurnError:
    """Why a turn failed."""

    code: str
    message: str
    attempts: int


@dataclass(frozen=True, slots=True)
class TurnView:
    """One attempt at a turn of a model."""

    turn: int
    attempt: int
    agent: str | None
    call: str | None
    """In a delegate's work: the ``path`` of the call it answers."""
    started_at: float
    first_seq: int
    last_seq: int = 0
    purpose: Purpose = "answer"
    model: str = ""
    status: Literal["running", "completed", "failed", "superseded", "stopped"] = "running"
    """``superseded``: withdrawn, its text is gone; ``stopped``: its stage or run ended meanwhile."""
    text: str = ""
    thinking: str = ""
    tool_uses: tuple[ToolUseView, ...] = ()
    content: tuple[ContentBlock, ...] | None = None
    """The canonical blocks, once the turn is completed."""
    stop_reason: str | None = None
    truncated: bool = False
    usage: Usage | None = None
    reserved_usd: float = 0.0
    spent_usd: float = 0.0
    error: TurnError | None = None
    reason: str | None = None
    """Why it was withdrawn."""
    ended_at: float | None = None


@dataclass(frozen=True, slots=True)
class CallView:
    """One tool call."""

    call_id: str
    turn: int
    agent: str | None
    call: str | None
    """Who calls, when it is a delegate: the ``path`` of the call it answers."""
    path: str
    """What the events of the work it delegates carry in ``call``."""
    name: str
    title: str = ""
    icon: str = ""
    description: str = ""
    kind: Literal["read", "idempotent", "at_most_once"] | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    delegate: str | None = None
    """The agent that the task is given to."""
    status: Literal["running", "completed", "failed", "unknown", "invalid", "stopped"] = "running"
    """``unknown``: it may or may not have had its effect; ``invalid``: its arguments could not be used."""
    result: str | None = None
    """The answer, or what went wrong."""
    ms: int | None = None
    times: int = 0
    """How often it was begun; more than once when a lost process had begun it; 0: never."""
    started_at: float | None = None
    """None when it was answered without being run."""
    ended_at: float | None = None


@dataclass(frozen=True, slots=True)
class Lane:
    """A conversation with a model, with the conversations of its delegates."""

    turns: tuple[TurnView, ...] = ()
    calls: tuple[CallView, ...] = ()
    recoveries: dict[str, int] = field(default_factory=dict)
    usage: Usage = field(default_factory=Usage)
    started_at: float | None = None
    ended_at: float | None = None

    @property
    def text(self) -> str:
        """What its agent itself says so far: its turns' texts joined by blank lines, delegates left out."""
        own = (t.text.strip("\n") for t in self.turns if t.call is None and t.purpose == "answer")
        return "\n\n".join(text for text in own if text)


_L = TypeVar("_L", bound=Lane)


def advance(lane: _L, e: Envelope) -> _L:
    """The lane after an event of a turn or a tool; the same object when the event says nothing about either."""
    event = e.event
    match event:
        case ev.TurnStarted():
            changes = {"model": event.model, "purpose": event.purpose, "reserved_usd": event.reserved_cost_usd}
            return _turn(lane, e, lambda t: replace(t, status="running", **changes))  # type: ignore[arg-type]  # by name
        case ev.TurnDelta():
            return _turn(lane, e, lambda t: _grown(t, event) if t.status == "running" else t)
        case ev.TurnCompleted():
            after = _turn(lane, e, lambda t: _completed(_said(t, event.content), event, e.at))
            return replace(after, usage=after.usage.plus(event.usage))
        case ev.TurnSnapshot():
            return _turn(lane, e, lambda t: _said(t, event.content))
        case ev.TurnFailed():
            error = TurnError(event.code, event.message, event.attempts)
            spent = event.spent_cost_usd
            return _turn(lane, e, lambda t: replace(t, status="failed", error=error, spent_usd=spent, ended_at=e.at))
        case ev.TurnSuperseded():
            return _turn(lane, e, lambda t: _withdrawn(t, event, e.at))
        case ev.ToolCalled():
            return _call(lane, e, event, lambda c: _called(c, event, e.at))
        case ev.ToolCompleted():
            return _answered(lane, e, event, "failed" if event.is_error else "completed", event.result, event.ms)
        case ev.ToolOutcomeUnknown():
            return _answered(lane, e, event, "unknown", event.known, None)
        case ev.ToolArgumentsInvalid():
            return _answered(lane, e, event, "invalid", event.message, None)
        case _:
            return lane


def closed(lane: _L, at: float) -> _L:
    """The lane when its stage or run has ended at ``at``: what was open in it will never end by itself."""
    turns = tuple(replace(t, status="stopped", ended_at=at) if t.status == "running" else t for t in lane.turns)
    calls = tuple(replace(c, status="stopped", ended_at=at) if c.status == "running" else c for c in lane.calls)
    return replace(lane, turns=turns, calls=calls)


def _turn(lane: _L, e: Envelope, change: Callable[[TurnView], TurnView]) -> _L:
    key = (e.turn or 0, e.attempt or 0, e.call)
    index = _last(lane.turns, lambda t: (t.turn, t.attempt, t.call) == key)
    before = lane.turns[index] if index is not None else TurnView(*key[:2], e.agent, e.call, e.at, e.seq)
    after = change(before)
    if after is before and index is not None:
        return lane
    return replace(lane, turns=_put(lane.turns, index, replace(after, last_seq=e.seq)))


def _grown(turn: TurnView, delta: ev.TurnDelta) -> TurnView:
    match delta.kind:
        case "text":
            return replace(turn, text=turn.text + delta.text)
        case "thinking":
            return replace(turn, thinking=turn.thinking + delta.text)
        case "tool_input":
            call_id = delta.call_id or ""
            index = _last(turn.tool_uses, lambda use: use.call_id == call_id)
            use = turn.tool_uses[index] if index is not None else ToolUseView(call_id, delta.name or "")
            return replace(turn, tool_uses=_put(turn.tool_uses, index, replace(use, text=use.text + delta.text)))


def _said(turn: TurnView, content: tuple[ContentBlock, ...]) -> TurnView:
    """The turn with its canonical content in place of what the deltas said."""
    thinking = "".join(block.thinking for block in content if isinstance(block, ThinkingBlock))
    uses = tuple(ToolUseView(use.id, use.name, "", use.input) for use in tool_uses(content))
    return replace(turn, text=text_of(content), thinking=thinking, tool_uses=uses, content=content)


def _completed(turn: TurnView, event: ev.TurnCompleted, at: float) -> TurnView:
    return replace(
        turn,
        status="completed",
        model=event.model,
        purpose=event.purpose,
        stop_reason=event.stop_reason,
        truncated=event.truncated,
        usage=event.usage,
        spent_usd=event.usage.cost_usd,
        ended_at=at,
    )


def _withdrawn(turn: TurnView, event: ev.TurnSuperseded, at: float) -> TurnView:
    return replace(
        turn,
        status="superseded",
        text="",
        thinking="",
        tool_uses=(),
        content=None,
        reason=event.reason,
        spent_usd=event.spent_cost_usd,
        ended_at=at,
    )


_ToolEvent = ev.ToolCalled | ev.ToolCompleted | ev.ToolOutcomeUnknown | ev.ToolArgumentsInvalid


def _call(lane: _L, e: Envelope, event: _ToolEvent, change: Callable[[CallView], CallView]) -> _L:
    key = (event.call_id, e.turn or 0, e.call)
    index = _last(lane.calls, lambda c: (c.call_id, c.turn, c.call) == key)
    before = lane.calls[index] if index is not None else _unseen(lane, e, event)
    return replace(lane, calls=_put(lane.calls, index, change(before)))


def _unseen(lane: Lane, e: Envelope, event: _ToolEvent) -> CallView:
    """A call that has not been begun; what it would be called with is known from its turn."""
    turn, named = e.turn or 0, isinstance(event, ev.ToolCalled | ev.ToolCompleted)
    asked = [t for t in lane.turns if (t.turn, t.call, t.status) == (turn, e.call, "completed")][-1:]
    given = [use.input for t in asked for use in t.tool_uses if use.call_id == event.call_id]
    return CallView(
        call_id=event.call_id,
        turn=turn,
        agent=e.agent,
        call=e.call,
        path=call_path(e.call, turn, event.call_id),
        name=event.name,
        title=event.title if named else "",  # type: ignore[union-attr]  # named
        icon=event.icon if named else "",  # type: ignore[union-attr]  # named
        arguments=(given[0] if given else None) or {},
    )


def _called(call: CallView, event: ev.ToolCalled, at: float) -> CallView:
    return replace(
        call,
        name=event.name,
        title=event.title,
        icon=event.icon,
        description=event.description,
        kind=event.kind,
        arguments=event.arguments,
        delegate=event.delegate,
        status="running",
        result=None,
        times=call.times + 1,
        started_at=at if call.started_at is None else call.started_at,
        ended_at=None,
    )


def _answered(
    lane: _L,
    e: Envelope,
    event: _ToolEvent,
    status: Literal["completed", "failed", "unknown", "invalid"],
    result: str,
    ms: int | None,
) -> _L:
    return _call(lane, e, event, lambda c: replace(c, status=status, result=result, ms=ms, ended_at=e.at))


_T = TypeVar("_T")


def _last(items: tuple[_T, ...], fits: Callable[[_T], bool]) -> int | None:
    return next((i for i in range(len(items) - 1, -1, -1) if fits(items[i])), None)


def _put(items: tuple[_T, ...], index: int | None, item: _T) -> tuple[_T, ...]:
    return (*items, item) if index is None else (*items[:index], item, *items[index + 1 :])
