"""The parent of ``headrace serve``: starts the child, waits until it is ready, restarts it when it crashes, ends it.

A process of its own because the child hosts Ray's head: when that dies, someone must be left to start it again; and
when a person presses Ctrl-C, someone must be left to see that nothing stays behind.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.cli.bond import PARENT, die_with_parent
from runtime.cli.reap import MARK, kill_family
from runtime.clock import Clock, SystemClock
from runtime.errors import HeadraceError
from runtime.ids import new_id

__all__ = ["ChildFailed", "Limits", "Parent", "die_with_parent"]

READY = "READY "
"""What the child prints on stdout, followed by its URL, once it takes requests."""
TAIL_LINES = 15


class ChildFailed(HeadraceError):
    """The child ended, or was silent for too long, before it was ready; the message ends with its last words."""

    code = "child_failed"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long things may take, and how often they may fail."""

    ready_s: float = 180.0
    """From start to ``READY``."""
    grace_s: float = 8.0
    """From SIGTERM to SIGKILL; with the reaping it stays under the 10 s a person waits."""
    restarts: int = 5
    """Restarts within ``window_s`` that are still made; one more gives up."""
    window_s: float = 60.0
    backoff_s: float = 0.5
    """First pause before a restart; doubles with each restart in the window."""

    def pause(self, recent: int) -> float | None:
        """Seconds before the next restart when ``recent`` were made within the window; None to give up."""
        return None if recent >= self.restarts else min(8.0, self.backoff_s * 2.0**recent)


class Parent:
    """One child and its descendants. ``start``, then ``watch``, and ``stop`` in any case."""

    def __init__(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        *,
        say: Callable[[str], None],
        limits: Limits | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._command = list(command)
        self._mark = new_id()
        self._env = {**env, MARK: self._mark, PARENT: str(os.getpid())}
        self._say = say
        self._limits = limits or Limits()
        self._clock = clock or SystemClock()
        self._child: asyncio.subprocess.Process | None = None
        self._pipes: list[asyncio.Task[None]] = []
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._url: asyncio.Future[str] | None = None
        self._stopping = asyncio.Event()

    async def start(self) -> tuple[str, float]:
        """Start the child and wait until it is ready: its URL, and how long it took. Raises :class:`ChildFailed`."""
        began = self._clock.monotonic()
        self._tail.clear()
        self._url = asyncio.get_running_loop().create_future()
        self._child = await asyncio.create_subprocess_exec(
            *self._command,
            env=self._env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # a terminal's Ctrl-C reaches the parent alone, which then ends the child in order
            limit=1 << 20,
        )
        assert self._child.stdout is not None
        assert self._child.stderr is not None
        self._pipes = [
            asyncio.create_task(self._read(self._child.stdout)),
            asyncio.create_task(self._read(self._child.stderr)),
        ]
        url = await self._ready(self._child, self._url)
        return url, self._clock.monotonic() - began

    async def watch(self) -> int:
        """Keep the child alive until ``stop`` is called or it ends by itself (0), or it crashes too often (1)."""
        restarts: deque[float] = deque()
        while self._child is not None:
            code = await self._child.wait()
            if self._stopping.is_set() or code == 0:
                return 0
            while restarts and restarts[0] < self._clock.monotonic() - self._limits.window_s:
                restarts.popleft()
            if not await self._again(code, restarts):
                return 1
        return 0

    async def stop(self, *, at_once: bool = False) -> None:
        """End the child and everything it started; nothing is left when this returns. Safe to call twice.

        Raises ``HeadraceError`` when a process could not be ended.
        """
        self._stopping.set()
        child = self._child
        if child is None:
            return
        if child.returncode is None and not at_once:
            _signal(child, signal.SIGTERM)
            try:
                await asyncio.wait_for(child.wait(), self._limits.grace_s)
            except TimeoutError:
                self._say(f"the system did not end within {self._limits.grace_s:.0f} s and is killed")
        await self._reap(child)

    async def _again(self, code: int, restarts: deque[float]) -> bool:
        """Restart after a crash, as often as the limits allow; False when they are used up or ``stop`` was called."""
        reason = f"the system ended unexpectedly ({_words(code)})"
        while not self._stopping.is_set():
            if self._child is not None:
                await self._reap(self._child)  # what a crashed Ray head leaves behind holds ports and memory
            pause = self._limits.pause(len(restarts))
            if pause is None:
                window = f"{self._limits.restarts} restarts within {self._limits.window_s:.0f} s"
                self._say(f"{reason}; {window} did not help, giving up. Its last words:\n{self._last_words()}")
                return False
            self._say(f"{reason}; starting it again in {pause:.1f} s")
            restarts.append(self._clock.monotonic())
            await self._clock.sleep(pause)
            if self._stopping.is_set():
                return False
            try:
                url, took = await self.start()
            except ChildFailed as error:
                reason = error.message
                continue
            self._say(f"ready again in {took:.1f} s at {url}")
            return True
        return False

    async def _ready(self, child: asyncio.subprocess.Process, url: asyncio.Future[str]) -> str:
        ended = asyncio.create_task(child.wait())
        waiting: set[asyncio.Future[Any]] = {url, ended}  # Any: one gives a URL, the other an exit code
        try:
            await asyncio.wait(waiting, timeout=self._limits.ready_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        if url.done():
            return url.result()
        if child.returncode is None:
            problem = f"the system was not ready within {self._limits.ready_s:.0f} s"
        else:
            await asyncio.wait(self._pipes, timeout=1.0)  # its last words may still be in the pipe
            problem = f"the system ended before it was ready ({_words(child.returncode)})"
        await self._reap(child)
        raise ChildFailed(f"{problem}. Its last words:\n{self._last_words()}")

    async def _read(self, pipe: asyncio.StreamReader) -> None:
        async for raw in _lines(pipe):
            line = raw.decode("utf-8", errors="replace").rstrip()
            ready = self._url is not None and self._url.done()
            if line.startswith(READY) and self._url is not None and not ready:
                self._url.set_result(line.removeprefix(READY).strip())
                continue
            self._tail.append(line)
            if ready:
                sys.stderr.write(line + "\n")  # before that, start-up noise would tear the progress display

    async def _reap(self, child: asyncio.subprocess.Process) -> None:
        left = await asyncio.to_thread(kill_family, child.pid, self._mark)
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, child.wait(), return_exceptions=True)
        if left:
            raise HeadraceError(f"these processes could not be ended: {left}; end them by hand with `kill -9`")

    def _last_words(self) -> str:
        return "\n".join(f"  {line}" for line in self._tail) or "  (none)"


async def _lines(pipe: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while True:
        try:
            line = await pipe.readline()
        except ValueError:  # longer than the limit: its beginning is dropped
            continue
        if not line:
            return
        yield line


def _signal(child: asyncio.subprocess.Process, number: signal.Signals) -> None:
    try:
        child.send_signal(number)
    except ProcessLookupError:
        return  # it ended between the check and the signal, which is what was wanted


def _words(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
