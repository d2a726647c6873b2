"""The order of an agent's rungs, and what each kind of failure makes of it."""

from __future__ import annotations

import pytest

from runtime import errors
from runtime.recovery.ladder import next_rung

LADDER = [("a", "big"), ("a", "big"), ("b", "small")]
"""The first model, the same with a simpler prompt, another."""


def test_a_model_that_declines_is_asked_with_a_simpler_prompt_and_then_another_model_is() -> None:
    assert [next_rung(LADDER, at, None) for at in range(3)] == [1, 2, None]


def test_a_request_that_was_rejected_is_made_simpler_first() -> None:
    assert next_rung(LADDER, 0, errors.ModelRequestRejected("too long")) == 1


@pytest.mark.parametrize(
    "error",
    [
        errors.ModelOverloaded("529"),
        errors.ModelRateLimited("429"),
        errors.ModelTimeout("slow"),
        errors.ModelUnreachable("gone"),
        errors.ModelUnauthorized("key"),
        errors.ModelBreakerOpen("open"),
    ],
)
def test_a_model_that_is_down_busy_or_closed_is_not_asked_again_with_other_words(error: errors.ModelError) -> None:
    assert next_rung(LADDER, 0, error) == 2
    assert next_rung(LADDER[:2], 0, error) is None
