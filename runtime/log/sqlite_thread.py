"""A thread of its own for a SQLite connection, so that a slow disk never holds up the event loop.

SQLite's calls block, and a connection belongs to one thread; work given to the thread runs whole and in order, also
when whoever waits for it is cancelled. What SQLite raises about the disk leaves here as ``StoreUnavailable``.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from runtime.errors import StoreUnavailable

T = TypeVar("T")


class StoreThread:
    """One thread; ends when stopped, after what was given to it before."""

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """Run ``work`` in the thread and give what it gives. Raises ``StoreUnavailable`` for errors of the disk."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except sqlite3.DatabaseError as error:
            # The other subclasses (integrity, programming) are our own mistakes and stay what they are.
            if isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError:
                raise StoreUnavailable(f"the log cannot be reached: {error}") from error
            raise

    def stop(self) -> None:
        """Accept nothing more."""
        self._pool.shutdown(wait=False)
