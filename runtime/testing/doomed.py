"""A log that follows one run, and falls silent when that has come to a given event: its process is then lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from runtime.events.codec import decode
from runtime.events.envelope import Envelope
from runtime.log.hub import Store
from runtime.log.log import Created, NewRun, Write, Written
from runtime.testing.events import RunEvents


class DoomedLog:
    """Wraps ``inner`` and passes everything on, until the run's event ``lost_at`` is durable; then nothing is answered."""

    def __init__(self, inner: Store, lost_at: int | None, run_id: str = "") -> None:
        self.inner = inner
        self.run_id = run_id
        """The run that is followed: the first one created, unless it is named."""
        self.last_seq = 0
        self._lost_at = lost_at
        self._loss = asyncio.Event()
        self._ended = asyncio.Event()
        self._read: list[Envelope] = []

    def as_log(self) -> Store:
        """Itself: its methods are the port's, most of them passed on by name."""
        return cast(Store, self)

    @property
    def lost(self) -> bool:
        """Whether it has fallen silent."""
        return self._loss.is_set()

    def __getattr__(self, name: str) -> Any:  # Any: a method of the port
        method = getattr(self.inner, name)

        async def passed_on(*args: Any, **options: Any) -> Any:
            await self._silence()
            result = await method(*args, **options)
            await self._silence()
            return result

        return passed_on

    async def open(self) -> None:
        """Make it ready; a run that is named may have ended already."""
        await self.inner.open()
        run = await self.inner.get(self.run_id) if self.run_id else None
        if run is not None:
            self._came_to(run.last_seq, run.terminal)

    async def create(self, new: NewRun) -> Created:
        """As the inner log's."""
        await self._silence()
        created = await self.inner.create(new)
        if not self.run_id:
            self.run_id = new.run_id
            self._came_to(created.run.last_seq, created.run.terminal)
        await self._silence()
        return created

    async def append(self, writes: Sequence[Write]) -> list[Written]:
        """As the inner log's."""
        await self._silence()
        written = await self.inner.append(writes)
        for write, outcome in zip(writes, written, strict=True):
            if write.run_id == self.run_id and outcome.outcome == "committed":
                run = await self.inner.get(self.run_id)
                self._came_to(outcome.last_seq, run is not None and run.terminal)
        await self._silence()
        return written

    async def wait_for_loss(self) -> None:
        """Until it has fallen silent."""
        await self._loss.wait()

    async def wait_for_end(self) -> None:
        """Until the run has ended."""
        await self._ended.wait()

    async def remember(self) -> None:
        """Read the run's events, while the log is open."""
        while page := await self.inner.read(self.run_id, after=len(self._read)):
            self._read += [decode(stored) for stored in page]

    def events(self) -> RunEvents:
        """What was remembered."""
        return RunEvents(self._read)

    def _came_to(self, seq: int, ended: bool) -> None:
        self.last_seq = max(self.last_seq, seq)
        if self._lost_at is not None and self.last_seq >= self._lost_at:
            self._loss.set()
        elif ended:
            self._ended.set()

    async def _silence(self) -> None:
        if self.lost:
            await asyncio.Event().wait()
