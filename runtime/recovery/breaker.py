"""A circuit breaker: a model that fails most of its calls is left alone for a while, then tried with one call.

Pure: seconds of a monotonic clock are passed in. A call is ``begin`` and ``end``, and counts when it ends. Closed, every call
may be made. Open, none may until ``open_s`` have passed. Then one call, the probe, may be made: its first content closes
the breaker for everybody, its failure opens it again, also when that comes after its first content.

A breaker knows what its own process has seen: under Ray every agent process has its own, in one process all agents share
one :class:`Breakers`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

State = Literal["closed", "open", "probing"]

MAX_CALLS = 1000
"""Ended calls remembered: of more within the window the newest are enough to tell."""


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When to open and for how long (JOURNAL.md 1.5)."""

    window_s: float = 30.0
    """How far back calls count."""
    least_calls: int = 10
    """Fewer than these within the window say nothing."""
    failed_share: float = 0.5
    """More than this share failed: open."""
    open_s: float = 15.0
    """How long no call is made; also how long others wait while the probe is under way."""


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """One call under way; ``probe``: the one call an open breaker lets through."""

    probe: bool


class Breaker:
    """The breaker of one model. Not for use by several threads."""

    def __init__(self, policy: BreakerPolicy) -> None:
        self._policy = policy
        self._ended: deque[tuple[float, bool]] = deque(maxlen=MAX_CALLS)
        self._open_until: float | None = None
        self._probe: Call | None = None

    @property
    def state(self) -> State:
        if self._open_until is None:
            return "closed"
        return "open" if self._probe is None else "probing"

    def wait_s(self, now: float) -> float:
        """Seconds until a call may be made; 0: it may be made now."""
        if self._open_until is None:
            return 0.0
        return self._policy.open_s if self._probe is not None else max(0.0, self._open_until - now)

    def begin(self, now: float) -> Call:
        """A call is about to be made; ask ``wait_s`` first, with nothing awaited between."""
        assert self.wait_s(now) == 0.0
        call = Call(probe=self._open_until is not None)
        if call.probe:
            self._probe = call
        return call

    def answered(self, call: Call) -> None:
        """The call has brought its first content."""
        if call is self._probe:
            self._close()

    def end(self, call: Call, now: float, *, failed: bool | None) -> bool:
        """The call is over; None: its end says nothing of the model (it was cancelled). Answers whether this opened the breaker."""
        closed, probing = self._open_until is None, call is self._probe
        if probing:
            self._probe = None
            if failed is False:
                self._close()
        if failed is None or not (closed or probing):  # a call from before it opened has nothing new to say
            return False
        self._ended.append((now, failed))
        return failed and (call.probe or self._too_many(now)) and self._open(now)

    def _too_many(self, now: float) -> bool:
        while self._ended and self._ended[0][0] <= now - self._policy.window_s:
            self._ended.popleft()
        failures = sum(failed for _, failed in self._ended)
        return len(self._ended) >= self._policy.least_calls and failures > self._policy.failed_share * len(self._ended)

    def _open(self, now: float) -> bool:
        self._open_until = now + self._policy.open_s
        self._probe = None
        self._ended.clear()
        return True

    def _close(self) -> None:
        self._open_until = self._probe = None
        self._ended.clear()


class Breakers:
    """The breakers of one process, one for each provider and model that was asked for."""

    def __init__(self, policy: BreakerPolicy | None = None) -> None:
        self._policy = policy or BreakerPolicy()
        self._breakers: dict[tuple[str, str], Breaker] = {}

    def of(self, provider: str, model: str) -> Breaker:
        """The breaker of that model; there are as many as models are configured."""
        return self._breakers.setdefault((provider, model), Breaker(self._policy))
