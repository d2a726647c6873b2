"""What stands at the end of a run: the answer with its sources, or why there is none. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.markdown import Markdown
from rich.rule import Rule
from rich.text import Text

from runtime.cli.terminal import counted, one_line, safe, seconds
from runtime.events import catalog as ev
from runtime.events.fold import RunState
from runtime.events.messages import Usage

_SOURCE_LINE = re.compile(r"\n(?=\[[^\]\n]{1,8}\] )")
_HAS_SOURCES = re.compile(r"^\W*sources\W*$", re.IGNORECASE | re.MULTILINE)


def render_ending(state: RunState) -> RenderableType:
    """The end of a finished run; of an unfinished one, nothing."""
    match state.end:
        case ev.RunCompleted() as end:
            return Group(*_completed(state, end))
        case ev.RunFailed() as end:
            return Group(*_paint(failed_lines(state, end), "red"), *_outputs(end.completed))
        case ev.RunExpired() as end:
            return Group(*_paint(expired_lines(end), "red"), *_outputs(end.completed))
        case ev.RunCancelled() as end:
            return Group(Text(f"cancelled: {safe(end.reason)}", style="yellow"), *_outputs(end.outputs))
        case None:
            return Group()


def _completed(state: RunState, end: ev.RunCompleted) -> Iterable[RenderableType]:
    if end.stopped:
        yield Text(f"stopped: {stop_words(state, end)}", style="red")
    if end.answer.strip():
        yield Rule("answer", style="green")
        yield _markdown(end.answer)
        yield from (Text(line, style="dim") for line in ["", *source_lines(state)] if line or source_lines(state))
        yield Rule(style="green")
    if end.note:
        yield Text(safe(end.note), style="yellow")
    yield Text(usage_line(state, end.usage, end.elapsed_s), style="dim")


def stop_words(state: RunState, end: ev.RunCompleted) -> str:
    """Who stopped the run and why: the guardrail's verdict, or a hook's reason."""
    verdict = state.verdict
    if verdict is not None and guarded(state):
        return f"the guardrail's verdict is {one_line(verdict.category, 60)!r}: {safe(verdict.reason)}"
    return safe(end.stopped or "")


def guarded(state: RunState) -> bool:
    """Whether the guardrail said no: then there is nothing to go on with."""
    return state.verdict is not None and not state.verdict.allowed


def failed_lines(state: RunState, end: ev.RunFailed) -> list[str]:
    """Why there is no answer: code, layer, what was completed, whether a retry helps, how to go on."""
    again = "trying again may help" if end.retryable else "trying the same again does not help"
    return [
        f"failed in layer {end.layer}: {safe(end.message)} (code {end.code})",
        _completed_line(end.completed),
        _budget_line(state) if end.code == "budget_exceeded" else again,
        f"to go on: {safe(end.resume.how)}",
    ]


def _budget_line(state: RunState) -> str:
    """Which budget may have ended the run, and what helps. The log does not say which of the two it was."""
    limit = state.accepted.limits.budget_usd if state.accepted else None
    day = "the server's budget for the day (UTC), which runs created tomorrow do not share"
    if limit is None:
        return f"the budget: {day}"
    return f"the budget: this run's ${limit:g}, which `headrace resume --budget USD` sets anew; or {day}"


def expired_lines(end: ev.RunExpired) -> list[str]:
    """The same for a run whose deadline passed."""
    again = "trying again with more time may help"
    return [
        f"expired: {safe(end.message)} (code expired)",
        _completed_line(end.completed),
        again,
        f"to go on: {safe(end.resume.how)}",
    ]


def _completed_line(outputs: tuple[ev.StageOutput, ...]) -> str:
    if not outputs:
        return "completed before that: nothing"
    return "completed before that: " + ", ".join(f"{one_line(o.title, 60)} ({o.agent})" for o in outputs)


def source_lines(state: RunState) -> list[str]:
    """The answer's sources, one a line, unless the answer lists them itself."""
    if not isinstance(state.end, ev.RunCompleted) or _HAS_SOURCES.search(state.end.answer):
        return []
    answer = state.end.answer
    cited = _answering_citations(state, answer)
    used = [c for c in cited if f"[{c.source_id}]" in answer] or cited
    lines = {f"[{c.source_id}] {one_line(c.title, 60)}, {one_line(c.location, 100)}": None for c in used}
    return ["Sources", *lines] if lines else []


def _answering_citations(state: RunState, answer: str) -> list[ev.CitationAdded]:
    # Marks are unique in their stage only: those of the stage whose words the answer is, else of the last with any.
    stages = [s for s in state.stages.values() if s.citations]
    speaking = [s for s in stages if s.completed is not None and s.completed.output.strip() == answer.strip()]
    chosen = speaking or stages[-1:]
    return list(chosen[-1].citations) if chosen else []


def usage_line(state: RunState, usage: Usage, elapsed_s: float) -> str:
    """Tokens, money, tool calls and time on one line."""
    cost = f", ${usage.cost_usd:.4f}" if usage.cost_usd else ""
    tokens = f"{usage.input_tokens} tokens in, {usage.output_tokens} out{cost}"
    took = elapsed_s or max(0.0, state.last_at - state.accepted_at)
    return f"{seconds(took)}, {counted(state.tool_calls, 'tool call')}, {tokens}"


def _outputs(outputs: tuple[ev.StageOutput, ...]) -> Iterable[RenderableType]:
    for output in outputs:
        yield Rule(f"{one_line(output.title, 60)} ({output.agent})", style="dim")
        yield _markdown(output.text)


def _markdown(text: str) -> Markdown:
    """Rendered; a list of sources keeps its lines, and a link is shown, never hidden behind other words."""
    return Markdown(_SOURCE_LINE.sub("  \n", safe(text)), hyperlinks=False)


def _paint(lines: list[str], style: str) -> Iterable[RenderableType]:
    return [Text(line, style=style if i == 0 else "") for i, line in enumerate(lines)]
