"""One job at a time, in a thread of its own, with a bounded queue before it.

The engine has one slot; two jobs at once would halve each other's speed and double the memory. A job whose reader has
gone is told to stop, and the next one starts when the thread is really free.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor

from runtime import telemetry
from runtime.errors import ModelOverloaded, ModelProtocolError
from runtime.llm.local.engine import Emit, End, Engine, Job, Piece

WAITING = 16
"""Jobs that may wait; at a few seconds each, one more would wait longer than any caller does."""
_log = telemetry.logger(__name__)


class Desk:
    """Gives jobs to an engine. Lives in one event loop."""

    def __init__(self, engine: Engine, waiting: int = WAITING) -> None:
        self._engine = engine
        self._limit = waiting
        self._waiting = 0
        self._free = asyncio.Semaphore(1)
        self._thread = ThreadPoolExecutor(1, "local-model")
        self._stop: threading.Event | None = None
        self._closed = False

    async def run(self, job: Job, stop: threading.Event) -> AsyncGenerator[Piece, None]:
        """The pieces of ``job``, up to its :class:`End`. Setting ``stop``, or closing the iterator, stops the engine.

        Raises :class:`ModelOverloaded` when the queue is full, and what the engine raises.
        """
        await self._turn()
        self._stop = stop
        loop = asyncio.get_running_loop()
        pieces: asyncio.Queue[Piece | Exception] = asyncio.Queue()  # bounded by the context: a piece is a token

        def emit(piece: Piece) -> bool:
            loop.call_soon_threadsafe(pieces.put_nowait, piece)
            return not stop.is_set()

        work = loop.run_in_executor(self._thread, self._generate, job, emit)
        work.add_done_callback(lambda done: self._left(done, pieces))
        try:
            while True:
                piece = await pieces.get()
                if isinstance(piece, Exception):
                    raise piece
                yield piece
                if isinstance(piece, End):
                    return
        finally:
            stop.set()

    async def aclose(self) -> None:
        """Stop the job under way, wait for the thread, and free the model."""
        self._closed = True
        if self._stop is not None:
            self._stop.set()
        await asyncio.to_thread(self._thread.shutdown, wait=True, cancel_futures=True)
        await asyncio.to_thread(self._engine.close)

    def statistics(self) -> dict[str, int]:
        """What is going on: jobs running and waiting, and the queue's bound."""
        return {"running": int(self._free.locked()), "waiting": self._waiting, "limit": self._limit}

    async def _turn(self) -> None:
        if self._free.locked() and self._waiting >= self._limit:
            raise ModelOverloaded(f"the local model is busy and {self._waiting} requests wait already; try again later")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        if self._closed:
            self._free.release()
            raise ModelOverloaded("the local model is stopping")

    def _generate(self, job: Job, emit: Emit) -> None:
        self._engine.generate(job, emit)

    def _left(self, done: asyncio.Future[None], pieces: asyncio.Queue[Piece | Exception]) -> None:
        """The thread is free: let the next job in, and tell the reader if this one failed or never ended."""
        self._free.release()
        failure = None if done.cancelled() else done.exception()
        if failure is not None:
            _log.info("the local model's job failed: %s", failure)
        # after a proper End nobody reads on; without one the reader must not wait for ever
        pieces.put_nowait(
            failure if isinstance(failure, Exception) else ModelProtocolError("the local model was stopped")
        )
