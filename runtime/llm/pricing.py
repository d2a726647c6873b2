"""What tokens cost, as data: US dollars per million tokens of Anthropic's models.

Source: https://platform.claude.com/docs/en/about-claude/pricing as of November 2026 (Claude Fable 5.2: list price at
its release on 9 November 2026). Standard tier; cache writes of the five-minute kind, the only kind asked for here.
A price holds for a model's name and its dated snapshots, never for a later version; a model that is not listed costs
0, which is what a local one costs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens of each kind."""

    input: float
    output: float
    cache_read: float
    cache_write: float


@dataclass(frozen=True, slots=True)
class LongPrompt:
    """Another price for every token of a request whose prompt, cache included, has more than ``above`` tokens."""

    above: int
    price: Price


_OPUS = Price(input=5.0, output=25.0, cache_read=0.50, cache_write=6.25)
_OLD_OPUS = Price(input=15.0, output=75.0, cache_read=1.50, cache_write=18.75)
_OLD_SONNET = Price(input=3.0, output=15.0, cache_read=0.30, cache_write=3.75)
_FABLE_5 = Price(input=10.0, output=50.0, cache_read=1.00, cache_write=12.50)
_FABLE_5_1 = Price(input=10.0, output=50.0, cache_read=0.25, cache_write=12.50)

PRICES: dict[str, Price] = {
    "claude-fable-5": _FABLE_5,
    "claude-fable-5-1": _FABLE_5_1,
    "claude-fable-5-2": Price(input=8.0, output=40.0, cache_read=0.20, cache_write=10.0),
    "claude-mythos-5": _FABLE_5,
    "claude-mythos-5-1": _FABLE_5_1,
    "claude-opus-5-5": Price(input=4.0, output=20.0, cache_read=0.20, cache_write=5.0),
    "claude-opus-5": _OPUS,
    "claude-opus-4-8": _OPUS,
    "claude-opus-4-7": _OPUS,
    "claude-opus-4-6": _OPUS,
    "claude-opus-4-5": _OPUS,
    "claude-opus-4-1": _OLD_OPUS,
    "claude-opus-4": _OLD_OPUS,
    "claude-sonnet-5-5": Price(input=2.0, output=10.0, cache_read=0.10, cache_write=2.50),
    "claude-sonnet-5": Price(input=2.0, output=10.0, cache_read=0.20, cache_write=2.50),
    "claude-sonnet-4-6": _OLD_SONNET,
    "claude-sonnet-4-5": _OLD_SONNET,
    "claude-sonnet-4": _OLD_SONNET,
    "claude-haiku-5-5": Price(input=0.10, output=0.50, cache_read=0.01, cache_write=0.125),
    "claude-haiku-4-5": Price(input=1.0, output=5.0, cache_read=0.10, cache_write=1.25),
}

LONG_PROMPTS: dict[str, LongPrompt] = {
    "claude-haiku-5-5": LongPrompt(
        above=100_000, price=Price(input=0.50, output=2.50, cache_read=0.05, cache_write=0.625)
    ),
}

_SNAPSHOT = re.compile(r"[-@](?:\d{8}|latest)\Z")


REQUEST_OVERHEAD_TOKENS = 2000
"""Tokens a provider adds to a request of its own: its words about tools (up to 700) and about output formats, markers of turns."""


@dataclass(frozen=True, slots=True)
class PriceTable:
    """What models cost. :data:`LIST_PRICES` is the published one; ``with_prices`` puts an operator's own over it."""

    prices: Mapping[str, Price]
    long_prompts: Mapping[str, LongPrompt] = field(default_factory=dict)

    def with_prices(self, prices: Mapping[str, Price]) -> PriceTable:
        """This table with those prices over it; a price given so holds whatever a prompt's length."""
        kept = {name: rule for name, rule in self.long_prompts.items() if name not in prices}
        return PriceTable({**self.prices, **prices}, kept)

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
    ) -> float:
        """What one turn costs in US dollars; 0 when the model's price is not known."""
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
        ) / 1_000_000

    def worst_case_usd(self, model: str, request_bytes: int, max_tokens: int) -> float:
        """The most a turn can cost in US dollars; 0 when the model's price is not known.

        Every byte of the request is taken for a token of the dearest kind there is, and the whole of ``max_tokens`` for
        used. Coarse, three to five times what a turn costs, and never too little; it is given back when the turn ends.
        """
        name = self._find(model)
        if name is None:
            return 0.0
        tokens = request_bytes + REQUEST_OVERHEAD_TOKENS
        price, long_prompt = self.prices[name], self.long_prompts.get(name)
        possible = [price] if long_prompt is None or tokens <= long_prompt.above else [price, long_prompt.price]
        dearest = max(max(p.input, p.cache_read, p.cache_write) for p in possible)
        return (tokens * dearest + max_tokens * max(p.output for p in possible)) / 1_000_000

    def _find(self, model: str) -> str | None:
        # The name as it is first: an operator may give a snapshot a price of its own.
        return next((name for name in (model, _SNAPSHOT.sub("", model)) if name in self.prices), None)


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
