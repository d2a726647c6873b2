"""What is done about a model's failure is a table: by kind, attempt, what the provider asked for, and what is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import errors
from runtime.errors import ModelError
from runtime.recovery.policy import FallBack, GiveUp, LimitPolicy, Park, Retry, RetryPolicy, trips_breaker

POLICY = RetryPolicy()
ALL = [*ModelError.__subclasses__(), errors.ModelStopUnknown]
PASSING = [k for k in ModelError.__subclasses__() if k.retryable]
LASTING = [k for k in ModelError.__subclasses__() if not k.retryable]


def decided(error: ModelError, attempt: int = 1, models_left: int = 0, jitter: float = 0.5) -> object:
    return POLICY.decide(error, attempt=attempt, models_left=models_left, jitter=lambda: jitter)


def test_every_kind_of_failure_is_in_the_table() -> None:
    names = {"RateLimited", "Overloaded", "Timeout", "StreamBroken", "Unreachable", "ProtocolError", "BreakerOpen"}
    assert {k.__name__.removeprefix("Model") for k in PASSING} == names
    assert {k.__name__.removeprefix("Model") for k in LASTING} == {"RequestRejected", "Unauthorized", "Refused"}


@pytest.mark.parametrize("kind", PASSING)
def test_a_failure_that_may_pass_is_retried_four_attempts_in_all(kind: type[ModelError]) -> None:
    outcomes = [type(decided(kind("x"), attempt=n)) for n in (1, 2, 3, 4)]
    assert outcomes == [Retry, Retry, Retry, GiveUp]
    assert decided(kind("x"), attempt=4, models_left=1) == FallBack()


@pytest.mark.parametrize("kind", LASTING)
@pytest.mark.parametrize("retry_after", [None, 1.0])
def test_a_failure_that_lasts_is_never_repeated_on_the_same_model(
    kind: type[ModelError], retry_after: float | None
) -> None:
    assert decided(kind("x", retry_after), models_left=1) == FallBack()
    assert decided(kind("x", retry_after), models_left=0) == GiveUp()


def test_the_pause_doubles_up_to_its_cap() -> None:
    policy = RetryPolicy(attempts=9)
    pauses = []
    for attempt in range(1, 9):
        error = errors.ModelOverloaded("x")
        decision = policy.decide(error, attempt=attempt, models_left=0, jitter=lambda: 1.0)
        assert isinstance(decision, Retry)
        pauses.append(decision.delay_s)
    assert pauses == [0.5, 1, 2, 4, 8, 8, 8, 8]


@given(st.integers(1, 3), st.floats(0, 1, exclude_max=True))
def test_full_jitter_stays_between_nothing_and_the_ceiling(attempt: int, chance: float) -> None:
    decision = decided(errors.ModelOverloaded("x"), attempt, jitter=chance)
    assert isinstance(decision, Retry)
    assert decision.delay_s == chance * (0.5 * 2 ** (attempt - 1))


@pytest.mark.parametrize("seconds", [0.0, 0.2, 90.0, 120.0])
def test_what_the_provider_asks_for_is_obeyed_to_the_letter(seconds: float) -> None:
    assert decided(errors.ModelRateLimited("x", seconds), attempt=3, models_left=2) == Retry(seconds)


@pytest.mark.parametrize("attempt", [1, 4])
def test_a_pause_too_long_for_a_person_goes_to_the_next_model_or_parks_the_run(attempt: int) -> None:
    error = errors.ModelRateLimited("x", 120.1)
    assert decided(error, attempt, models_left=1) == FallBack()
    assert decided(error, attempt, models_left=0) == Park(120.1)


def test_a_run_is_parked_for_an_hour_at_most() -> None:
    assert decided(errors.ModelRateLimited("x", 3600.0)) == Park(3600.0)
    assert decided(errors.ModelRateLimited("x", 3600.1)) == GiveUp()


def test_an_open_breaker_sends_to_the_next_model_at_once_and_is_waited_for_only_without_one() -> None:
    error = errors.ModelBreakerOpen("x", 12.0)
    assert decided(error, models_left=1) == FallBack()
    assert [decided(error, attempt=n) for n in (1, 2, 3, 4)] == [Retry(12.0)] * 3 + [GiveUp()]


def test_a_stop_reason_that_is_not_known_is_never_repeated_on_the_same_model() -> None:
    error = errors.ModelStopUnknown("x")
    assert (decided(error, models_left=1), decided(error, models_left=0)) == (FallBack(), GiveUp())


def test_which_failures_say_that_a_model_is_down() -> None:
    tripping = {kind.__name__.removeprefix("Model") for kind in ALL if trips_breaker(kind("x"))}
    assert tripping == {"Overloaded", "Timeout", "StreamBroken", "Unreachable", "ProtocolError"}


def test_the_last_attempt_is_the_last_whatever_the_provider_asks_for() -> None:
    assert decided(errors.ModelRateLimited("x", 0.0), attempt=4) == GiveUp()


def test_the_tool_call_limit_is_resumed_from_three_times() -> None:
    assert [LimitPolicy().may_resume(n) for n in range(5)] == [True, True, True, False, False]


def test_policies_are_values() -> None:
    assert RetryPolicy() == RetryPolicy()
    with pytest.raises(AttributeError):
        POLICY.attempts = 9  # type: ignore[misc]
