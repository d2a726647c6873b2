"""Waiting, shown: a spinner with the time that passed, and a bar for work that is counted."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed

QUIET_STEP_S = 5.0
"""Without a terminal a line is written this often, so that a log shows that something is going on."""


@contextmanager
def waiting(console: Console, words: str) -> Iterator[None]:
    """A spinner with ``words`` and the seconds so far while the block runs; a line now and then without a terminal."""
    if console.is_terminal:
        columns = (SpinnerColumn(), TextColumn("{task.description}"), Elapsed())
        with Progress(*columns, console=console, transient=True) as progress:
            progress.add_task(words, total=None)
            yield
        return
    console.print(f"{words} …", markup=False)
    done = threading.Event()
    thread = threading.Thread(target=_tell, args=(console, words, done), name="headrace-waiting", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _tell(console: Console, words: str, done: threading.Event) -> None:
    began = time.monotonic()
    while not done.wait(QUIET_STEP_S):
        console.print(f"{words} … {time.monotonic() - began:.0f} s", markup=False)


@contextmanager
def counting(words: str, *, downloads: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar; call what it gives with (done, total), as often as you like. Lines of every tenth without a terminal."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Tenths(words)
        return
    amount = DownloadColumn() if downloads else MofNCompleteColumn()
    with Progress(TextColumn("{task.description}"), BarColumn(), amount, Elapsed(), console=console) as progress:
        task = progress.add_task(words, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


class _Tenths:
    def __init__(self, words: str) -> None:
        self._words = words
        self._said = -1

    def __call__(self, done: int, total: int) -> None:
        step = 10 * done // total if total else 0
        if step != self._said:
            self._said = step
            sys.stderr.write(f"{self._words}: {done} of {total}\n")
