"""What a reader knows of the store being away: since when, and when to say so again (JOURNAL.md 1.7)."""

from __future__ import annotations

from runtime.clock import Clock
from runtime.errors import StoreUnavailable

OUTAGE_S = 300.0
"""How long open streams are kept while the store is away; then they end, and their readers come back."""

READ_AGAIN_S = 1.0
"""Between two tries to read the log while the store is away."""


class Outage:
    """One reader's view; ``said_every_s`` is the longest silence its stream may keep."""

    def __init__(self, clock: Clock, said_every_s: float) -> None:
        self._clock = clock
        self._said_every_s = said_every_s
        self._since: float | None = None
        self._said = 0.0

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
