"""What is held back for a call is never less than what it can cost, whatever the provider makes of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.llm.models import CATALOGUE
from runtime.llm.pricing import LIST_PRICES, PRICES, REQUEST_OVERHEAD_TOKENS, Price, cost_usd, worst_case_usd

OWN = Price(input=1.0, output=2.0, cache_read=0.1, cache_write=1.25)


@given(
    st.sampled_from([*PRICES, "claude-opus-5-20260101"]),
    st.integers(0, 300_000),
    st.integers(1, 64_000),
    st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_no_split_of_the_tokens_costs_more_than_the_worst_case(
    model: str, size: int, max_tokens: int, split: tuple[float, float, float]
) -> None:
    tokens = size + REQUEST_OVERHEAD_TOKENS
    read = int(tokens * split[0])
    write = int((tokens - read) * split[1])
    cost = cost_usd(
        model,
        input_tokens=tokens - read - write,
        output_tokens=int(max_tokens * split[2]),
        cache_read_tokens=read,
        cache_write_tokens=write,
    )
    assert cost <= worst_case_usd(model, size, max_tokens) + 1e-12


def test_the_worst_case_is_reached() -> None:
    tokens = 1000 + REQUEST_OVERHEAD_TOKENS
    worst = cost_usd("claude-opus-5", input_tokens=0, cache_write_tokens=tokens, output_tokens=500)
    assert worst_case_usd("claude-opus-5", 1000, 500) == pytest.approx(worst)


def test_a_prompt_that_may_be_long_is_held_at_the_long_price() -> None:
    short, long = (worst_case_usd("claude-haiku-5-5", size, 0) for size in (98_000, 98_001))
    assert long > 4 * short


def test_a_model_without_a_price_costs_nothing() -> None:
    assert (worst_case_usd("llama3.2", 10**6, 4096), LIST_PRICES.knows("llama3.2")) == (0.0, False)


def test_an_operators_prices_go_over_the_list_and_hold_for_snapshots_and_long_prompts() -> None:
    own = LIST_PRICES.with_prices({"my-model": OWN, "claude-haiku-5-5": OWN})
    assert own.cost_usd("my-model-20260101", input_tokens=10**6, output_tokens=10**6) == 3.0
    assert own.cost_usd("claude-haiku-5-5", input_tokens=10**6, output_tokens=0) == 1.0
    assert own.worst_case_usd("my-model", 0, 0) == pytest.approx(REQUEST_OVERHEAD_TOKENS * 1.25 / 1e6)
    assert own.cost_usd("claude-opus-5", input_tokens=10**6, output_tokens=0) == 5.0
    assert not LIST_PRICES.knows("my-model")


def test_a_snapshot_may_have_a_price_of_its_own() -> None:
    own = LIST_PRICES.with_prices({"claude-opus-5-20260101": OWN})
    assert own.cost_usd("claude-opus-5-20260101", input_tokens=10**6, output_tokens=0) == 1.0
    assert own.cost_usd("claude-opus-5-20260202", input_tokens=10**6, output_tokens=0) == 5.0


def test_searches_of_the_provider_cost_by_the_thousand_and_are_held_back_for() -> None:
    table = LIST_PRICES.with_prices({"m": OWN})
    assert table.cost_usd("m", input_tokens=0, output_tokens=0, web_searches=1000, web_fetches=9) == 10.0
    assert table.cost_usd("free", input_tokens=0, output_tokens=0, web_searches=1000) == 0.0
    least = table.cost_usd("m", input_tokens=0, cache_write_tokens=75_000, output_tokens=100, web_searches=3)
    assert table.worst_case_usd("m", 0, 100, server_tool_uses=3) > least
    assert table.worst_case_usd("m", 0, 100) < 0.01


def test_what_is_known_of_a_model_holds_for_its_snapshots() -> None:
    assert CATALOGUE.find("claude-haiku-4-5-20251001") == CATALOGUE.find("claude-haiku-4-5")
    assert CATALOGUE.find("claude-haiku-4-6") is None
    assert all(facts.window >= 100_000 for facts in CATALOGUE.models.values())
