"""A run as lines: for pipes, logs and terminals without a screen. Pure: events in, lines out."""

from __future__ import annotations

from dataclasses import dataclass, field

from runtime.cli.activity import note
from runtime.cli.ending import expired_lines, failed_lines, source_lines, stop_words, usage_line
from runtime.cli.terminal import arguments, counted, one_line, safe, seconds
from runtime.events import catalog as ev
from runtime.events.envelope import Envelope
from runtime.events.fold import RunState
from runtime.events.messages import text_of
from runtime.events.plan import Plan
from runtime.events.texts import TextKey

LINE_WIDTH = 110
INDEXING_STEPS = 10


@dataclass(slots=True)
class Plain:
    """Turns events into lines. Text streams line by line under its stage's mark: parallel stages stay apart."""

    _pending: dict[TextKey, str] = field(default_factory=dict)
    """Text that has not filled a line."""
    _spoken: set[TextKey] = field(default_factory=set)
    _indexed: int = -1

    def lines(self, state: RunState, envelope: Envelope) -> list[str]:
        """What to print for one event; ``state`` is the fold up to and including it."""
        key = TextKey.of(envelope)
        mark = _mark(state, envelope)
        event = envelope.event
        match event:
            case ev.TurnDelta(kind="text") if envelope.stage:
                return self._speak(key, mark, event.text)
            case ev.TurnCompleted(purpose="answer") if envelope.stage:
                unheard = "" if key in self._spoken else text_of(event.content)
                return [*self._speak(key, mark, unheard), *self._flush(key, mark)]
            case ev.TurnSuperseded():
                return [*self._flush(key, mark), f"{mark}~ {note(envelope)}"]
            case ev.Custom(name="indexing"):
                return self._indexing(event.value)
            case _:
                return [f"{mark}{line}" for line in _said(state, envelope)]

    def _speak(self, key: TextKey, mark: str, text: str) -> list[str]:
        if not text:
            return []
        self._spoken.add(key)
        *whole, rest = (self._pending.get(key, "") + safe(text)).split("\n")
        while len(rest) > LINE_WIDTH and " " in rest:
            cut = rest.rfind(" ", 0, LINE_WIDTH)
            cut = cut if cut > 0 else rest.index(" ")
            whole.append(rest[:cut])
            rest = rest[cut + 1 :]
        self._pending[key] = rest
        return [f"{mark}| {line}".rstrip() for line in whole]

    def _flush(self, key: TextKey, mark: str) -> list[str]:
        rest = self._pending.pop(key, "")
        return [f"{mark}| {rest}"] if rest.strip() else []

    def _indexing(self, value: object) -> list[str]:
        if not (isinstance(value, dict) and isinstance(value.get("done"), int) and isinstance(value.get("total"), int)):
            return []
        done, total = value["done"], max(1, value["total"])
        step = INDEXING_STEPS * done // total
        if step == self._indexed:
            return []
        self._indexed = step
        return [f"indexing documents: {done} of {value['total']}"]


def _mark(state: RunState, envelope: Envelope) -> str:
    if envelope.stage is None:
        return ""
    ids = list(state.stages)
    number = ids.index(envelope.stage) + 1 if envelope.stage in ids else envelope.stage
    delegate = f" {envelope.agent}" if envelope.call else ""
    return f"[{number}{delegate}] "


def _said(state: RunState, envelope: Envelope) -> list[str]:  # one thought: a table from events to lines
    event = envelope.event
    match event:
        case ev.RunAccepted():
            resumed = f", resumed from {one_line(event.resumed_from, 64)}" if event.resumed_from else ""
            titled = [f"conversation: {one_line(event.title, 200)}"] if event.title else []
            return [f"run {envelope.run_id}{resumed}", *titled, f"question: {one_line(event.input.question, 400)}"]
        case ev.RunStarted() if event.models:
            return ["models: " + ", ".join(f"{agent} {model}" for agent, model in event.models.items())]
        case ev.AgentCompleted():
            return [f"{envelope.agent} done in {seconds(event.ms / 1000)}"]
        case ev.TitleSet():
            return [f"title: {one_line(event.title, 200)}"]
        case ev.GuardrailVerdict():
            verdict = "allowed" if event.allowed else "NOT allowed"
            return [f"guardrail: {verdict} ({one_line(event.category, 60)}): {one_line(event.reason, 300)}"]
        case ev.PlanCommitted():
            return ["plan:", *_plan(event.plan)]
        case ev.PlanRevised():
            return [f"plan revised: {one_line(event.reason, 300)}", *_plan(event.plan)]
        case ev.StageStarted():
            return [f"started: {one_line(event.title, 200)} ({envelope.agent or '?'}, {event.index} of {event.of})"]
        case ev.StageCompleted(carried_from=str()):
            return [f"carried over: {one_line(event.title, 200)} ({envelope.agent or '?'})"]
        case ev.StageCompleted():
            partial = ", partial: it ended at a limit" if event.partial else ""
            return [f"done: {one_line(event.title, 200)} ({counted(event.tool_calls, 'tool call')}{partial})"]
        case ev.StageSkipped():
            return [f"skipped: {one_line(event.title, 200)}: {one_line(event.reason, 200)}"]
        case ev.StageFailed():
            words = f"failed: {one_line(event.message, 300)} (code {event.code}, {counted(event.attempts, 'attempt')})"
            return [f"{words}; decision: {event.decision}"]
        case ev.ToolCalled():
            return [f"tool {event.name}({arguments(event.arguments, 100)})"]
        case ev.ToolCompleted():
            outcome = f"failed: {one_line(event.result, 200)}" if event.is_error else f"answered in {event.ms} ms"
            return [f"tool {event.name} {outcome}"]
        case ev.ToolOutcomeUnknown():
            return [f"! outcome unknown: {one_line(note(envelope) or '', 400)}"]
        case ev.ToolArgumentsInvalid():
            return [f"tool {event.name}: arguments cannot be used: {one_line(event.message, 200)}"]
        case ev.RunCompleted() | ev.RunFailed() | ev.RunExpired() | ev.RunCancelled():
            return ending_lines(state)
        case _:
            noted = note(envelope)
            return [f"! {one_line(noted, 400)}"] if noted else []


def _plan(plan: Plan) -> list[str]:
    return [f"  {number}. {one_line(todo.title, 200)} ({todo.agent})" for number, todo in enumerate(plan.todos, 1)]


def ending_lines(state: RunState) -> list[str]:
    """The end of a finished run in plain words: the answer and its sources, or why there is none."""
    match state.end:
        case ev.RunCompleted() as end:
            lines = [f"stopped: {stop_words(state, end)}"] if end.stopped else []
            if end.answer.strip():
                lines += ["", *safe(end.answer).strip().splitlines(), ""]
                sources = source_lines(state)
                lines += [*sources, ""] if sources else []
            lines += [safe(end.note)] if end.note else []
            return [*lines, usage_line(state, end.usage, end.elapsed_s)]
        case ev.RunFailed() as end:
            return [*failed_lines(state, end), *_outputs(end.completed)]
        case ev.RunExpired() as end:
            return [*expired_lines(end), *_outputs(end.completed)]
        case ev.RunCancelled() as end:
            return [f"cancelled: {safe(end.reason)}", *_outputs(end.outputs)]
        case None:
            return []


def _outputs(outputs: tuple[ev.StageOutput, ...]) -> list[str]:
    lines: list[str] = []
    for output in outputs:
        lines += ["", f"{one_line(output.title, 200)} ({output.agent}):", *safe(output.text).splitlines()]
    return lines
