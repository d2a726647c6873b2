"""Whether what a reader was shown is still what the log has.

A store may lose the end of its log while readers follow it: a standby that lagged takes over, and new events take the
numbers of lost ones, under epochs that no lost event had (``runtime.log.reset``). So the log is asked again about the last
event shown wherever the epoch changes after it, and in every silence. What does not agree breaks the stream off: its client
comes back with its cursor and is told.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.errors import Conflict
from runtime.events.envelope import Stored
from runtime.generator.outage import answered
from runtime.log.log import LogReader

FIRST_PAGE = 64
"""Events read at first: how large they are shows only then."""
PAGE = 512
"""And at most."""


def log_was_reset() -> Conflict:
    """What breaks off the streams of a run whose log has lost events that were shown."""
    return Conflict("the log of this run has lost its end; come back with the cursor", "cursor_mismatch")


class History:
    """One reader's view of one run: its cursor, and whether it is of the log as it stands.

    Every question raises ``Conflict`` when the log was reset, and ``StoreUnavailable``.
    """

    def __init__(self, reader: LogReader, run_id: str, after: int) -> None:
        self._reader = reader
        self._run_id = run_id
        self._shown: Stored | None = None
        self.cursor = after
        """The number of the last event shown."""
        self.page = FIRST_PAGE
        """How many events are worth reading at a time."""

    def fit(self, batch: Sequence[Stored]) -> None:
        """Read twice as many next time if all that was read could be shown at once, else no more than that."""
        self.page = min(self.page * 2, PAGE) if len(batch) >= self.page else max(len(batch), 1)

    async def begin(self) -> None:
        """Take the event at the cursor as shown: its epoch was found to be the client's a moment ago."""
        if self.cursor > 0:
            at = await self._at(self.cursor)
            self._shown = at if at.seq == self.cursor else None

    async def show(self, batch: Sequence[Stored]) -> None:
        """Before the next events are shown, held against the log where their epoch changes."""
        before = self._shown
        for stored in batch:
            if before is not None and stored.epoch != before.epoch:
                await self._check(before)
            before = stored
        self._shown, self.cursor = before, batch[-1].seq

    async def check(self) -> None:
        """Hold the last event shown against the log."""
        if self._shown is not None:
            await self._check(self._shown)

    async def _check(self, shown: Stored) -> None:
        at = await self._at(shown.seq)
        if at.seq == shown.seq and at.epoch != shown.epoch:
            raise log_was_reset()

    async def _at(self, seq: int) -> Stored:
        """The event of that number, or the next that is kept."""
        found = await answered(self._reader.read(self._run_id, after=seq - 1, limit=1))
        if not found:
            raise log_was_reset()
        return found[0]
