"""The executor's view of one run: the folded log, read on from where it stands. Tokens are never read."""

from __future__ import annotations

import asyncio

from runtime.events.codec import UnreadableEvent, decode
from runtime.events.fold import RunState, fold
from runtime.log.log import LogReader

PAGE = 512


class RunBook:
    """``state`` is as fresh as the last ``refresh``."""

    def __init__(self, reader: LogReader, run_id: str) -> None:
        self._reader = reader
        self._run_id = run_id
        self._lock = asyncio.Lock()
        self.state = RunState(run_id=run_id)
        self.changing = asyncio.Lock()
        """Held by whoever changes the plan as it stands, until the change is in the log."""

    async def refresh(self) -> RunState:
        """Read what is new and fold it; ``state`` then stands before the first event that cannot be read.

        Raises UnknownEvent for a log a newer version wrote, UnreadableEvent for one that was tampered with, StoreUnavailable.
        """
        async with self._lock:
            while True:
                page = await self._reader.read(self._run_id, after=self.state.last_seq, limit=PAGE, deltas=False)
                for stored in page:
                    envelope = decode(stored)
                    if envelope.run_id != self._run_id:  # else what follows from it would be done in another run's name
                        raise UnreadableEvent(f"event {stored.seq} says that it belongs to another run")
                    self.state = fold(self.state, envelope)
                if len(page) < PAGE:
                    return self.state
