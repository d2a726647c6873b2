"""A run as a picture for the terminal: pure, from the folds to rich's renderables. ``ending`` draws its end."""

from __future__ import annotations

from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from runtime.cli.activity import Activity, Call, Doing
from runtime.cli.terminal import arguments, counted, last_lines, one_line, safe, seconds
from runtime.events.fold import RunState, StageState, StageStatus
from runtime.events.texts import Texts

_AT_WORK = ("dispatched", "running")
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_MARKS: dict[StageStatus, tuple[str, str]] = {
    "pending": ("○", "dim"),
    "dispatched": ("◌", "cyan"),
    "running": ("", "cyan"),
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "skipped": ("-", "yellow"),
}
CALLS_SHOWN = 4
NOTES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Size:
    """The room there is to draw in."""

    width: int = 100
    height: int = 40


def render(state: RunState, texts: Texts, activity: Activity, now: float, size: Size | None = None) -> RenderableType:
    """The run as it stands. ``now`` is seconds since the epoch; the picture fits into ``size``."""
    size = size or Size()
    now = state.last_at if state.terminal else max(now, state.last_at)
    parts: list[RenderableType] = [_heading(state, now, size), *_planning(state, activity, now, size)]
    running = [s.todo.id for s in state.stages.values() if s.status == "running"]
    # Texts share what the checklist leaves free, so that a tall answer scrolls inside its stage and not off the screen.
    fixed = 6 + len(parts) + len(state.stages) + len(running) * (CALLS_SHOWN + NOTES_SHOWN)
    lines = max(3, min(16, (size.height - fixed) // max(1, len(running))))
    for number, stage in enumerate(state.stages.values(), 1):
        doing = activity.of(stage.todo.id)
        parts.append(_stage(number, stage, doing, now, size, stopped=state.terminal))
        parts.extend(_inside(stage, texts, doing, size, 0 if state.terminal else lines))
    if state.cancel_requested and not state.terminal:
        parts.append(Text("cancelling …", style="yellow"))
    return Group(*parts)


def spinner(now: float) -> str:
    """The spinner's picture at that time."""
    return _SPINNER[int(now * 10) % len(_SPINNER)]


def _heading(state: RunState, now: float, size: Size) -> RenderableType:
    question = state.accepted.input.question if state.accepted else ""
    elapsed = seconds(now - state.accepted_at) if state.accepted else ""
    line = Text().append(one_line(state.title or question or "…", size.width - 12), style="bold")
    line.append(f"  {elapsed}", style="dim")
    if not state.title or state.title == question:
        return line
    return Group(line, Text(one_line(question, size.width - 2), style="dim italic"))


def _planning(state: RunState, activity: Activity, now: float, size: Size) -> list[RenderableType]:
    parts: list[RenderableType] = []
    if state.agents:
        line = Text()
        for name, agent in state.agents.items():
            if agent.status == "running":
                line.append(f"{spinner(now)} {safe(name)}  ", style="cyan")
            elif agent.status == "completed":
                line.append("✓ ", style="green").append(f"{safe(name)} {seconds(agent.ms / 1000)}  ", style="dim")
            else:
                line.append(f"✗ {safe(name)}  ", style="red")
        parts.append(line)
    if state.verdict is not None and state.verdict.allowed:
        parts.append(Text(f"guardrail: allowed ({one_line(state.verdict.category, 40)})", style="green"))
    elif state.verdict is not None:
        words = f"{one_line(state.verdict.category, 60)}: {safe(state.verdict.reason)}"
        parts.append(
            Panel(Text(words), title="stopped by the guardrail", border_style="red", width=min(size.width, 100))
        )
    parts.extend(_notes(activity.of(None), size, indent=0))
    if activity.indexing is not None and activity.indexing[0] < activity.indexing[1] and not state.terminal:
        parts.append(indexing(*activity.indexing))
    return parts


def indexing(done: int, total: int) -> RenderableType:
    """The bar of an index being built."""
    grid = Table.grid(padding=(0, 1))
    grid.add_row(
        Text("indexing documents", style="cyan"),
        ProgressBar(total=max(1, total), completed=done, width=30),
        f"{done}/{total}",
    )
    return grid


def _stage(number: int, stage: StageState, doing: Doing, now: float, size: Size, *, stopped: bool) -> Text:
    mark, style = _MARKS[stage.status]
    if stopped and stage.status in _AT_WORK:
        mark, style = "■", "yellow"
    line = Text().append(f"{mark or spinner(now)} ", style=style)
    line.append(f"{number}. ", style="dim")
    line.append(one_line(stage.todo.title, max(20, size.width - 44)), style="" if stage.status != "pending" else "dim")
    line.append(f"  {one_line(stage.todo.agent, 20)}", style="magenta")
    facts = _facts(stage, doing, now)
    if facts:
        line.append(f"  {facts}", style="dim")
    return line


def _facts(stage: StageState, doing: Doing, now: float) -> str:
    words: list[str] = []
    if doing.began is not None:
        words.append(seconds((doing.ended or max(now, doing.began)) - doing.began))
    if doing.calls:
        words.append(counted(len(doing.calls), "tool call"))
    if stage.completed is not None and stage.completed.partial:
        words.append("partial")
    if stage.completed is not None and stage.completed.carried_from:
        words.append("carried over")
    return ", ".join(words)


def _inside(stage: StageState, texts: Texts, doing: Doing, size: Size, lines: int) -> list[RenderableType]:
    """What stands under a stage: everything while it runs, only what went wrong once it (or the run) is over."""
    parts = _notes(doing, size, indent=4)
    if stage.status in _AT_WORK and lines:
        parts.extend(_call(call, size) for call in list(doing.calls.values())[-CALLS_SHOWN:])
        tail = last_lines(texts.of_stage(stage.todo.id), size.width - 8, lines)
        if tail:
            parts.append(Padding(Text("\n".join(tail)), (0, 0, 0, 4)))
    if stage.status == "failed" and stage.failed is not None:
        words = f"    {one_line(stage.failed.message, size.width - 30)} ({stage.failed.code})"
        parts.append(Text(f"{words}, {_DECISIONS[stage.failed.decision]}", style="red"))
    return parts


_DECISIONS = {"continue": "the run goes on without it", "retry": "it is tried again", "stop": "the run stops here"}


def _notes(doing: Doing, size: Size, *, indent: int) -> list[RenderableType]:
    pad = " " * indent
    return [Text(f"{pad}↻ {one_line(n, size.width - indent - 2)}", style="yellow") for n in doing.notes[-NOTES_SHOWN:]]


def _call(call: Call, size: Size) -> Text:
    mark, style = ("…", "cyan") if call.result is None else ("✗", "red") if call.is_error else ("→", "dim")
    line = Text().append(f"    {mark} ", style=style)
    line.append(f"{one_line(call.name, 30)}({arguments(call.arguments, max(20, size.width - 50))})", style="dim")
    if call.is_error and call.result is not None:
        line.append(f" {one_line(call.result, 60)}", style="red")
    elif call.result is not None:
        line.append(f" {call.ms} ms", style="dim")
    line.truncate(size.width - 1)
    return line
