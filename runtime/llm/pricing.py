"""What a call costs and what it can cost at most; the figures are data in ``models.toml``.

A price holds for a model's name and its dated snapshots, never for a later version; a model that is not listed costs 0,
which is what a local one costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from runtime.llm.models import CATALOGUE, LongPrompt, Price, listed_as

__all__ = ["LIST_PRICES", "LongPrompt", "Price", "PriceTable", "cost_usd", "worst_case_usd"]

REQUEST_OVERHEAD_TOKENS = 2000
"""Tokens a provider adds to a request of its own: its words about tools (up to 700) and about output formats, markers of turns."""


SERVER_TOOL_TOKENS = 25_000
"""Tokens one use of a provider's own tool may bring into the prompt: ten search results, or a page cut at this length."""


@dataclass(frozen=True, slots=True)
class PriceTable:
    """What models cost. :data:`LIST_PRICES` is the published one; ``with_prices`` puts an operator's own over it."""

    prices: Mapping[str, Price]
    long_prompts: Mapping[str, LongPrompt] = field(default_factory=dict)
    web_search_usd: float = CATALOGUE.web_search_usd
    """Of one search the provider makes itself; its results are paid for as tokens besides."""

    def with_prices(self, prices: Mapping[str, Price]) -> PriceTable:
        """This table with those prices over it; a price given so holds whatever a prompt's length."""
        kept = {name: rule for name, rule in self.long_prompts.items() if name not in prices}
        return replace(self, prices={**self.prices, **prices}, long_prompts=kept)

    def knows(self, model: str) -> bool:
        """Whether calls of that model cost anything known here."""
        return self._find(model) is not None

    def cost_usd(
        self,
        model: str,
        *,
        input_tokens: int,
        output_tokens: int,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
        web_searches: int = 0,
        web_fetches: int = 0,
    ) -> float:
        """What one turn costs in US dollars; 0 when the model's price is not known. Fetches cost only their tokens."""
        name = self._find(model)
        if name is None:
            return 0.0
        price = self.prices[name]
        long_prompt = self.long_prompts.get(name)
        if long_prompt and input_tokens + cache_read_tokens + cache_write_tokens > long_prompt.above:
            price = long_prompt.price
        return (
            input_tokens * price.input
            + output_tokens * price.output
            + cache_read_tokens * price.cache_read
            + cache_write_tokens * price.cache_write
        ) / 1_000_000 + web_searches * self.web_search_usd

    def worst_case_usd(self, model: str, request_bytes: int, max_tokens: int, server_tool_uses: int = 0) -> float:
        """The most a turn can cost in US dollars; 0 when the model's price is not known.

        Every byte of the request is taken for a token of the dearest kind there is, and the whole of ``max_tokens`` for
        used. Coarse, three to five times what a turn costs, and never too little; it is given back when the turn ends.
        """
        name = self._find(model)
        if name is None:
            return 0.0
        tokens = request_bytes + REQUEST_OVERHEAD_TOKENS
        if server_tool_uses:  # the provider reads the whole prompt again after each use, and what all uses brought
            tokens = (tokens + server_tool_uses * SERVER_TOOL_TOKENS) * (server_tool_uses + 1)
        price, long_prompt = self.prices[name], self.long_prompts.get(name)
        possible = [price] if long_prompt is None or tokens <= long_prompt.above else [price, long_prompt.price]
        dearest = max(max(p.input, p.cache_read, p.cache_write) for p in possible)
        paid_in_tokens = (tokens * dearest + max_tokens * max(p.output for p in possible)) / 1_000_000
        return paid_in_tokens + server_tool_uses * self.web_search_usd

    def _find(self, model: str) -> str | None:
        return listed_as(model, self.prices)


PRICES: Mapping[str, Price] = {name: facts.price for name, facts in CATALOGUE.models.items()}
LONG_PROMPTS = {name: facts.long_prompt for name, facts in CATALOGUE.models.items() if facts.long_prompt}
LIST_PRICES = PriceTable(PRICES, LONG_PROMPTS)
"""The providers' published prices."""


def cost_usd(
    model: str, *, input_tokens: int, output_tokens: int, cache_read_tokens: int = 0, cache_write_tokens: int = 0
) -> float:
    """What one turn costs at :data:`LIST_PRICES`."""
    return LIST_PRICES.cost_usd(
        model,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cache_read_tokens=cache_read_tokens,
        cache_write_tokens=cache_write_tokens,
    )


def worst_case_usd(model: str, request_bytes: int, max_tokens: int) -> float:
    """The most one turn can cost at :data:`LIST_PRICES`."""
    return LIST_PRICES.worst_case_usd(model, request_bytes, max_tokens)
