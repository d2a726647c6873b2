"""When to try again after a broken connection, and when to stop: a policy, no sleeping in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reconnect:
    """How a reader comes back. Failures count from the last event received: progress starts the count again."""

    attempts: int = 8
    """Failures in a row after which the reader gives up."""
    first_s: float = 0.25
    """Upper end of the first wait."""
    most_s: float = 10.0
    """No wait is longer, whatever the server asks for."""

    def delay(self, failures: int, jitter: float, asked_s: float | None = None) -> float | None:
        """Seconds to wait after that many failures in a row (1 and up); None to give up.

        ``jitter`` is in [0, 1): all of the wait is random, so that a thousand readers of a restarted server do not come
        back together. ``asked_s`` is what the server asked for with ``retry:``; it is a lower bound when it *closed*
        the stream itself.
        """
        if failures >= self.attempts:
            return None
        wait = jitter * min(self.most_s, self.first_s * 2.0 ** (failures - 1))
        return min(self.most_s, max(wait, asked_s or 0.0))
