"""A breaker: closed, open, one probe; at which call and second exactly."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from runtime.recovery.breaker import MAX_CALLS, Breaker, BreakerPolicy, Breakers

POLICY = BreakerPolicy()


def after(*outcomes: bool, now: float = 0.0, policy: BreakerPolicy = POLICY) -> Breaker:
    """A breaker that has seen calls end so, all at ``now``; True: failed."""
    breaker = Breaker(policy)
    for failed in outcomes:
        breaker.end(breaker.begin(now), now, failed=failed)
    return breaker


def opened(now: float = 0.0) -> Breaker:
    return after(*[True] * 10, now=now)


def test_the_figures_are_the_specified_ones() -> None:
    assert BreakerPolicy(window_s=30.0, least_calls=10, failed_share=0.5, open_s=15.0) == POLICY


def test_nine_failures_say_nothing_and_the_tenth_opens() -> None:
    breaker = after(*[True] * 9)
    assert breaker.wait_s(0.0) == 0.0
    assert breaker.end(breaker.begin(0.0), 0.0, failed=True) is True
    assert (breaker.state, breaker.wait_s(0.0)) == ("open", 15.0)


def test_half_of_the_calls_is_not_more_than_half() -> None:
    breaker = after(*[False] * 5, *[True] * 5)
    assert breaker.state == "closed"
    breaker.end(breaker.begin(0.0), 0.0, failed=True)
    assert breaker.state == "open"


def test_calls_of_more_than_thirty_seconds_ago_do_not_count() -> None:
    breaker = after(*[True] * 9)
    breaker.end(breaker.begin(30.0), 30.0, failed=True)
    assert breaker.state == "closed"
    breaker = after(*[True] * 9)
    breaker.end(breaker.begin(29.9), 29.9, failed=True)
    assert breaker.state == "open"


def test_open_for_fifteen_seconds_then_one_probe_and_no_more() -> None:
    breaker = opened()
    assert breaker.wait_s(14.9) > 0
    assert breaker.wait_s(15.0) == 0.0
    probe = breaker.begin(15.0)
    assert (probe.probe, breaker.state, breaker.wait_s(15.0)) == (True, "probing", 15.0)


def test_a_probe_that_succeeds_closes_and_what_was_is_forgotten() -> None:
    breaker = opened()
    breaker.end(breaker.begin(15.0), 16.0, failed=False)
    assert (breaker.state, breaker.wait_s(16.0)) == ("closed", 0.0)
    for _ in range(8):
        breaker.end(breaker.begin(16.0), 16.0, failed=True)
    assert breaker.state == "closed"


def test_a_probe_that_fails_opens_again_for_as_long() -> None:
    breaker = opened()
    assert breaker.end(breaker.begin(15.0), 20.0, failed=True) is True
    assert (breaker.wait_s(20.0), breaker.wait_s(35.0)) == (15.0, 0.0)


def test_the_first_content_of_a_probe_lets_the_others_go_on_and_its_failure_still_opens() -> None:
    breaker = opened()
    probe = breaker.begin(15.0)
    breaker.answered(probe)
    other = breaker.begin(15.5)
    assert (other.probe, breaker.state) == (False, "closed")
    assert breaker.end(probe, 16.0, failed=True) is True
    assert breaker.state == "open"


def test_content_of_a_call_from_before_it_opened_closes_nothing() -> None:
    breaker = after(*[True] * 9)
    early, last = breaker.begin(0.0), breaker.begin(0.0)
    breaker.end(last, 0.0, failed=True)
    breaker.answered(early)
    assert breaker.end(early, 1.0, failed=False) is False
    assert breaker.wait_s(1.0) == 14.0


def test_failures_of_calls_from_before_it_opened_do_not_keep_it_open() -> None:
    breaker = Breaker(POLICY)
    calls = [breaker.begin(0.0) for _ in range(30)]
    for call in calls[:10]:
        breaker.end(call, 0.0, failed=True)
    assert [breaker.end(call, 14.0, failed=True) for call in calls[10:]] == [False] * 20
    assert breaker.wait_s(15.0) == 0.0


def test_a_probe_whose_end_says_nothing_leaves_its_place_to_the_next() -> None:
    breaker = opened()
    breaker.end(breaker.begin(15.0), 15.5, failed=None)
    assert (breaker.state, breaker.wait_s(15.5)) == ("open", 0.0)
    assert breaker.begin(15.5).probe


def test_a_call_whose_end_says_nothing_is_not_counted() -> None:
    breaker = after(*[True] * 9)
    assert breaker.end(breaker.begin(0.0), 0.0, failed=None) is False
    assert breaker.state == "closed"


def test_each_model_of_each_provider_has_its_own_and_keeps_it() -> None:
    breakers = Breakers()
    one = breakers.of("anthropic", "a")
    assert breakers.of("anthropic", "a") is one
    assert len({id(breakers.of(p, m)) for p in ("anthropic", "local") for m in ("a", "b")}) == 4


def test_what_is_remembered_is_bounded() -> None:
    breaker = after(*[False] * (MAX_CALLS + 5))
    assert len(breaker._ended) == MAX_CALLS


@given(st.lists(st.tuples(st.floats(0, 20), st.sampled_from([True, False, None])), max_size=80))
def test_it_never_shuts_for_good_and_never_lets_two_probes_through(steps: list[tuple[float, bool | None]]) -> None:
    breaker, now = Breaker(replace(POLICY, least_calls=2)), 0.0
    for passed, failed in steps:
        now += passed
        if breaker.wait_s(now) == 0.0:
            call = breaker.begin(now)
            assert not call.probe or breaker.wait_s(now) > 0
            breaker.end(call, now, failed=failed)
        assert breaker.wait_s(now + POLICY.open_s) == 0.0
