"""What a reader knows of the store being away: since when, and when to say so again (JOURNAL.md 1.7)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from runtime.clock import Clock
from runtime.errors import StoreUnavailable
from runtime.log.log import LogReader

OUTAGE_S = 300.0
"""How long open streams are kept while the store is away; then they end, and their readers come back."""

READ_AGAIN_S = 1.0
"""Between two tries to read the log while the store is away."""

READ_S = 5.0
"""How long the log may take to answer a reader; a store that swallows questions is away too."""

LONGEST_SILENCE_S = 15.0
"""Between two signs of life on a stream, whatever the store does (DESIGN.md 7)."""

LONGEST_WAIT_S = LONGEST_SILENCE_S - READ_S
"""For news, before silent readers are told something: an unanswered question may follow."""

PROBE_EVERY_S = 1.0
"""Between looks at the store on behalf of silent readers."""

T = TypeVar("T")


async def answered(question: Awaitable[T]) -> T:
    """What the log answers; raises ``StoreUnavailable`` when it has not done so within ``READ_S``."""
    try:
        async with asyncio.timeout(READ_S):
            return await question
    except TimeoutError as error:
        raise StoreUnavailable(f"the log did not answer within {READ_S:g} s") from error


class Outage:
    """One reader's view; ``said_every_s`` is the longest silence its stream may keep."""

    def __init__(self, clock: Clock, said_every_s: float) -> None:
        self._clock = clock
        self._said_every_s = said_every_s
        self._since: float | None = None
        self._said = 0.0

    def wait_s(self) -> float:
        """How long to wait for news before the store is asked again: less after a pause that was as silent."""
        return self._said_every_s if self._since is None else max(0.0, self._said_every_s - READ_AGAIN_S)

    def over(self) -> None:
        """The store has answered."""
        self._since = None

    def to_say(self, error: StoreUnavailable) -> bool:
        """The store is away, once more: whether to tell the reader now. Raises ``error`` after ``OUTAGE_S``."""
        now = self._clock.monotonic()
        if self._since is None:
            self._since, self._said = now, now - self._said_every_s
        if now - self._since > OUTAGE_S:
            raise error
        if now - self._said < self._said_every_s:
            return False
        self._said = now
        return True


class Probe:
    """Whether the store answers, asked at most once in ``PROBE_EVERY_S`` for all readers of a door."""

    def __init__(self, reader: LogReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._asking = asyncio.Lock()
        self._asked = -PROBE_EVERY_S
        self._failed: StoreUnavailable | None = None

    async def see(self) -> None:
        """Raises ``StoreUnavailable`` when it does not answer."""
        async with self._asking:
            if self._clock.monotonic() - self._asked < PROBE_EVERY_S:
                if self._failed is not None:
                    raise self._failed
                return
            self._failed = None
            try:
                await answered(self._reader.recent(tenant_id="default", limit=1))
            except StoreUnavailable as error:
                self._failed = error
                raise
            finally:
                self._asked = self._clock.monotonic()  # not when it was begun: those who waited meanwhile ask no more
