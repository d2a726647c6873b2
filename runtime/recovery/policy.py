"""What to do about a model's failure: the same model again after a while, the next one of the ladder, or give up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runtime.errors import (
    ModelBreakerOpen,
    ModelError,
    ModelOverloaded,
    ModelProtocolError,
    ModelStopUnknown,
    ModelStreamBroken,
    ModelTimeout,
    ModelUnreachable,
)

Jitter = Callable[[], float]
"""A number in [0, 1); randomness as an argument."""


@dataclass(frozen=True, slots=True)
class Retry:
    """The same model again after ``delay_s`` seconds."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class FallBack:
    """The next model of the ladder, at once."""


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Nothing more to try: the turn has failed."""


@dataclass(frozen=True, slots=True)
class Park:
    """The same model again after ``wait_s`` seconds, too many to hold a place for: let go of the run until then."""

    wait_s: float


Decision = Retry | FallBack | GiveUp | Park

_TRIPPING = (ModelOverloaded, ModelTimeout, ModelStreamBroken, ModelUnreachable, ModelProtocolError)


def trips_breaker(error: ModelError) -> bool:
    """Whether a call that ended so says that the model is down: not what the caller did wrong, a rate limit or a refusal."""
    return isinstance(error, _TRIPPING) and not isinstance(error, ModelStopUnknown)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Full jitter between ``base_s`` and ``cap_s``; ``retry-after`` obeyed (JOURNAL.md 1.5)."""

    attempts: int = 4
    """Per model of the ladder."""
    base_s: float = 0.5
    cap_s: float = 8.0
    obey_up_to_s: float = 120.0
    """A provider that asks for a longer pause is left for the next model; with none left the run is parked."""
    park_up_to_s: float = 3600.0
    """A longer pause than this is no pause: given up."""

    def decide(self, error: ModelError, *, attempt: int, models_left: int, jitter: Jitter) -> Decision:
        """What to do after the ``attempt``-th try (1, 2 ...) on a model failed, with ``models_left`` others to go."""
        wanted = error.retry_after_s
        if error.retryable and wanted is not None and wanted > self.obey_up_to_s and models_left == 0:
            # Also on the last attempt: attempts are for not knowing when, and here the provider has said it.
            return Park(wanted) if wanted <= self.park_up_to_s else GiveUp()
        instead: Decision = FallBack() if models_left > 0 else GiveUp()
        if not error.retryable or attempt >= self.attempts:
            return instead
        if isinstance(error, ModelBreakerOpen) and models_left > 0:
            return FallBack()
        if wanted is not None:
            return Retry(wanted) if wanted <= self.obey_up_to_s else instead
        ceiling = min(self.cap_s, self.base_s * 2 ** (attempt - 1))
        return Retry(jitter() * ceiling)


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """What the executor does when an agent reaches its tool-call limit (the user's article, pattern 3)."""

    resumes: int = 3
    """Times it goes on with the whole conversation before it gets one answer with tools off."""

    def may_resume(self, resumed: int) -> bool:
        """Whether another resume is allowed after ``resumed`` of them."""
        return resumed < self.resumes


@dataclass(frozen=True, slots=True)
class LossPolicy:
    """What the executor does when an agent's process is lost in mid-stage: hand the stage to the next one."""

    attempts: int = 5
    """Losses of one stage before it fails: something in it kills its agent (JOURNAL.md P7: 5)."""
    base_s: float = 0.5
    cap_s: float = 3.0
    """An actor is back two seconds after a crash (JOURNAL.md 4.2)."""

    def give_up(self, lost: int) -> bool:
        """Whether the ``lost``-th loss is the last."""
        return lost >= self.attempts

    def delay_s(self, lost: int) -> float:
        """Seconds before the next dispatch after the ``lost``-th loss."""
        return min(self.cap_s, self.base_s * 2.0 ** (lost - 1))
