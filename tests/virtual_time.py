"""Time that passes only when nothing else can happen: hours of leases and back-offs in milliseconds, in one fixed order.

A test marked :func:`virtual_time` runs on such a loop; ``asyncio.sleep`` and ``asyncio.timeout`` obey it, and
:class:`LoopClock` reads it.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

START = 1_700_000_000.0


class _Selector(selectors.SelectSelector):
    """Instead of waiting for a timer, moves the time to it."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:  # nothing is left to happen but what comes from outside the loop
            return super().select(None)
        if timeout <= 0:
            return []
        ready = super().select(0)
        if not ready:
            self.passed += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time. It does not wait for threads: do not use any beside it."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        return self._virtual.passed


def virtual_time(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run an ``async def test_...`` on a loop of its own with virtual time."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(test(*args, **kwargs))

    return run


class LoopClock:
    """The ``Clock`` of a virtual loop."""

    def now(self) -> float:
        return START + self.monotonic()

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def until(condition: Callable[[], bool], *, within_s: float = 60.0) -> None:
    """Wait (virtually) until ``condition`` holds; fails when it does not in time."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.001)
