"""Where a run is shown: a live picture, lines, or its JSON as it came. All three are fed the same events."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Protocol

from rich.console import Console, RenderableType
from rich.live import Live

from runtime.cli.activity import Activity
from runtime.cli.ending import render_ending
from runtime.cli.plain import Plain, ending_lines
from runtime.cli.view import Size, render
from runtime.client import RunEvent
from runtime.clock import Clock
from runtime.events.envelope import Envelope
from runtime.events.fold import RunState, fold
from runtime.events.texts import Texts

TICK_S = 1 / 12
"""Between two pictures: smooth for the eye, cheap for a processor that also runs the agents."""


class Screen(Protocol):
    """Shows one run."""

    state: RunState

    def take(self, received: RunEvent) -> None:
        """One more event."""
        ...

    def tick(self) -> None:
        """Called about twelve times a second."""
        ...

    def say(self, words: str) -> None:
        """A line beside the run: what the command itself is doing."""
        ...

    def close(self) -> None:
        """No more events; leave the terminal as a person expects it. Safe to call twice."""
        ...


class LiveScreen:
    """The live picture. Drawn by ``tick`` alone, so that a thousand tokens cost one picture."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self.state = RunState()
        self._texts = Texts()
        self._activity = Activity()
        self._console = console
        self._clock = clock
        self._live = Live(console=console, auto_refresh=False, vertical_overflow="crop", transient=True)
        self._live.start()

    def take(self, received: RunEvent) -> None:
        if received.envelope is not None:
            self.state = fold(self.state, received.envelope)
            self._texts.apply(received.envelope)
            self._activity.apply(received.envelope)

    def tick(self) -> None:
        if self._live.is_started:
            self._live.update(self._picture(self._console.size.height), refresh=True)

    def say(self, words: str) -> None:
        self._console.print(words, style="dim", markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        if self._live.is_started:
            self._live.stop()  # transient: the picture goes, and stays once more below, whole however tall
            self._console.print(self._picture(1000))
            self._console.print(render_ending(self.state))

    def _picture(self, height: int) -> RenderableType:
        size = Size(self._console.size.width, height)
        return render(self.state, self._texts, self._activity, self._clock.now(), size)


class PlainScreen:
    """Lines, as they happen."""

    def __init__(self, write: Callable[[str], None], notice: Callable[[str], None], *, after: int = 0) -> None:
        self.state = RunState()
        self._plain = Plain()
        self._after = after  # earlier events are folded, since later ones build on them, and not written
        self._write = write
        self._notice = notice

    def take(self, received: RunEvent) -> None:
        if received.envelope is None:
            return
        self.state = fold(self.state, received.envelope)
        lines = self._plain.lines(self.state, received.envelope)
        if received.seq > self._after:
            for line in lines:
                self._write(line)

    def tick(self) -> None:
        """Nothing: lines are written when they happen."""

    def say(self, words: str) -> None:
        self._notice(words)

    def close(self) -> None:
        """Nothing: the ending was written with the run's last event."""


class JsonScreen(PlainScreen):
    """Every event's JSON as the server sent it, also of types unknown here; notices and errors go to stderr."""

    def take(self, received: RunEvent) -> None:
        self._write(received.line)
        envelope: Envelope | None = received.envelope
        if envelope is None:
            return
        self.state = fold(self.state, envelope)
        if self.state.status in ("failed", "expired"):
            for line in ending_lines(self.state):
                self._notice(line)


def stdout_line(text: str) -> None:
    """One line on standard output, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def stderr_line(text: str) -> None:
    """One line on standard error."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def choose(*, json: bool, plain: bool, clock: Clock, after: int = 0) -> Screen:
    """The screen for this terminal: JSON when asked for, the picture when stdout is a terminal, lines otherwise.

    ``after`` leaves out what a reader of lines has seen already; the picture is always whole.
    """
    if json:
        return JsonScreen(stdout_line, stderr_line)
    console = Console()
    if plain or not console.is_terminal or console.is_dumb_terminal:
        return PlainScreen(stdout_line, stderr_line, after=after)
    return LiveScreen(console, clock)
