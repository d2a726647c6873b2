"""Where a run stands: what is being done, how long it has taken and about how long it will take."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Progress:
    """Lines on stderr: on a terminal one that is rewritten, else one for each step. ``expected_s`` is the whole run."""

    def __init__(self, expected_s: float) -> None:
        self._expected_s = expected_s
        self._began = time.monotonic()
        self._done_s = 0.0
        self._step = ""
        self._step_s = 0.0
        self._step_began = self._began
        self._live = sys.stderr.isatty()

    @contextmanager
    def step(self, words: str, expected_s: float) -> Iterator[None]:
        """One thing that is done; ``expected_s`` is what the estimate of the whole holds for it."""
        self._step, self._step_s, self._step_began = words, expected_s, time.monotonic()
        if self._live:
            self.tick()
        else:
            print(self._line(), file=sys.stderr, flush=True)
        try:
            yield
        finally:
            self._done_s += expected_s
            if self._live:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()

    def tick(self, more: str = "") -> None:
        """Show that time passes; call it about once a second."""
        if self._live:
            sys.stderr.write("\r\x1b[K" + self._line(more))
            sys.stderr.flush()

    def say(self, words: str) -> None:
        """A line that stays."""
        if self._live:
            sys.stderr.write("\r\x1b[K")
        print(words, file=sys.stderr, flush=True)

    def remaining_s(self) -> float:
        """An estimate: what is left of the steps' expected times."""
        in_step = min(time.monotonic() - self._step_began, self._step_s)
        return max(0.0, self._expected_s - self._done_s - in_step)

    def _line(self, more: str = "") -> str:
        elapsed = time.monotonic() - self._began
        return f"[{clock(elapsed)} elapsed, about {clock(self.remaining_s())} left] {self._step}{more}"


def clock(seconds: float) -> str:
    """Minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"
