"""Threads for sync tools: one for each call, so many at a time.

No thread can be stopped. One whose caller has given up works on unheard, and its place is free for the next call at once:
hung calls must not block the tools of a whole process. So that a tool that hangs every time does not fill the process with
threads, each tool may have only so many of them left behind; then calls of that tool alone are refused.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from runtime.telemetry import logger

AT_ONCE = 16
"""Sync tools of one agent at work at one time in one process."""
LEFT_BEHIND = 16
"""Threads of one tool that may hang at one time; an idle thread costs about 60 KiB."""

_log = logger("tools")


class TooManyHang(Exception):
    """The tool has as many hanging threads as it may have; nothing was run."""


class Threads:
    """Runs functions in threads of their own."""

    def __init__(self, at_once: int = AT_ONCE, left_behind: int = LEFT_BEHIND) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._left_behind = left_behind
        self._hanging: Counter[str] = Counter()

    async def run(self, name: str, call: Callable[[], Any], begun: Callable[[], None]) -> Any:
        """What ``call`` returns or raises; ``begun`` is called once it may be at work.

        A cancelled caller frees the place and leaves the thread behind. Raises :class:`TooManyHang`.
        """
        async with self._places:
            if self._hanging[name] >= self._left_behind:
                raise TooManyHang(f"{self._hanging[name]} earlier calls of {name} still hang")
            loop = asyncio.get_running_loop()
            done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()
            work = contextvars.copy_context().run
            thread = threading.Thread(
                target=lambda: self._report(loop, done, name, work(_caught, call)), name=f"tool-{name}", daemon=True
            )
            thread.start()
            begun()
            try:
                value, error = await done
            except asyncio.CancelledError:
                self._hanging[name] += 1
                raise
        if error is not None:
            raise error
        return value

    def _report(
        self,
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Future[tuple[Any, BaseException | None]],
        name: str,
        outcome: tuple[Any, BaseException | None],
    ) -> None:
        try:
            loop.call_soon_threadsafe(self._settle, done, name, outcome)
        except RuntimeError:  # the loop is closed: the process ends, and nobody listens any more
            _log.info("a call of %s ended after its process had stopped listening", name)

    def _settle(
        self,
        done: asyncio.Future[tuple[Any, BaseException | None]],
        name: str,
        outcome: tuple[Any, BaseException | None],
    ) -> None:
        if done.cancelled():
            self._hanging[name] -= 1
        else:
            done.set_result(outcome)


def _caught(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    """A thread's outcome as a value: a future cannot carry StopIteration, and SystemExit would end the loop."""
    try:
        return call(), None
    except (StopIteration, KeyboardInterrupt, GeneratorExit) as error:
        return None, RuntimeError(f"{type(error).__name__}: {error}").with_traceback(error.__traceback__)
    except BaseException as error:
        return None, error
