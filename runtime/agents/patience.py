"""How long work may take in all, and how long nothing may come of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


class TimeIsUp(TimeoutError):
    """The work was stopped; ``reason`` is ``stage_timeout`` or ``stage_idle``, ``words`` say the same to people."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason = reason
        self.words = words


class Patience:
    """Two limits of one piece of work: ``hard_s`` in all, and ``idle_s`` since its last progress."""

    def __init__(self, hard_s: float, idle_s: float, outer: Patience | None = None) -> None:
        """``outer``: of the work that this is a part of; what is progress here is progress there."""
        self._hard_s = hard_s
        self._idle_s = idle_s
        self._outer = outer
        self._begun = 0.0
        self._last = 0.0

    def progress(self) -> None:
        """Something came of the work: content of a model, a whole turn, a tool's answer. Cheap: called for every token."""
        self._last = asyncio.get_running_loop().time()
        if self._outer is not None:
            self._outer.progress()

    async def run(self, work: Awaitable[T]) -> T:
        """The outcome of ``work``. Raises :class:`TimeIsUp` after cancelling it."""
        loop, timeout = asyncio.get_running_loop(), asyncio.timeout(None)
        self._begun = self._last = loop.time()
        alarm: asyncio.TimerHandle | None = None

        def look() -> None:
            nonlocal alarm
            if self._due() <= loop.time():
                timeout.reschedule(loop.time())
            else:
                alarm = loop.call_at(self._due(), look)

        try:
            async with timeout:
                look()
                return await work
        except TimeoutError as error:
            if not timeout.expired():
                raise  # of the work itself
            raise self._time_is_up() from error
        finally:
            if alarm is not None:
                alarm.cancel()

    def _due(self) -> float:
        return min(self._begun + self._hard_s, self._last + self._idle_s)

    def _time_is_up(self) -> TimeIsUp:
        if self._begun + self._hard_s <= self._last + self._idle_s:
            return TimeIsUp("stage_timeout", f"took longer than {self._hard_s:g} s")
        return TimeIsUp("stage_idle", f"made no progress for {self._idle_s:g} s")
