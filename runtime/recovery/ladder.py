"""Which rung of an agent's ladder comes next: the first model, the same with a simpler prompt, then other models.

A simpler prompt helps against what a model made of the request, never against a model that is down, busy or closed to us:
then the next *other* model is asked, if there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.errors import ModelBreakerOpen, ModelError, ModelRateLimited, ModelUnauthorized
from runtime.recovery.policy import trips_breaker

Asked = tuple[str, str]
"""Provider and model of a rung."""


def next_rung(ladder: Sequence[Asked], at: int, error: ModelError | None) -> int | None:
    """The rung to go to from ``at``; None: there is none. ``error`` None: the model did answer, and declined."""
    below = range(at + 1, len(ladder))
    if error is not None and _whatever_it_is_asked(error):
        below_other = (rung for rung in below if ladder[rung] != ladder[at])
        return next(below_other, None)
    return next(iter(below), None)


def _whatever_it_is_asked(error: ModelError) -> bool:
    return trips_breaker(error) or isinstance(error, ModelRateLimited | ModelUnauthorized | ModelBreakerOpen)
