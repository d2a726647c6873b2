"""How long a model may keep us waiting. The transport's own read timeout cannot say it: every ping resets it.

Only waiting counts. While the reader of a turn is busy with a chunk no clock runs but the whole turn's, so a slow
reader is never taken for a silent model.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from runtime.clock import Clock
from runtime.errors import ModelTimeout

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds a turn may take to get somewhere."""

    first_content_s: float
    """From the request to the first content; also the longest silence inside a block of thinking, which some models
    send only when it is over."""
    progress_s: float
    """From one content to the next; pings are none."""
    turn_s: float
    """For the whole turn."""


class Deadlines:
    """The timers of one turn; start it when the request goes out."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        now = clock.monotonic()
        self._turn_end = now + limits.turn_s
        self._content_by = now + limits.first_content_s
        self._words = f"the model sent no content within {limits.first_content_s:g} s"

    def progressed(self, *, thinks: bool = False) -> None:
        """Content has come; the next must come in time. ``thinks``: it is inside a block of thinking."""
        seconds = self._limits.first_content_s if thinks else self._limits.progress_s
        self._content_by = self._clock.monotonic() + seconds
        self._words = f"the model sent no further content for {seconds:g} s"

    async def wait(self, awaitable: Awaitable[T]) -> T:
        """What ``awaitable`` gives; raises :class:`ModelTimeout` when the earliest deadline comes first."""
        remaining = min(self._turn_end, self._content_by) - self._clock.monotonic()
        try:
            async with asyncio.timeout(remaining) as scope:
                return await awaitable
        except TimeoutError as error:
            if not scope.expired():
                raise
            raise ModelTimeout(self._reason()) from error

    def _reason(self) -> str:
        if self._turn_end <= self._content_by:
            return f"the model's turn took more than {self._limits.turn_s:g} s"
        return self._words
