"""What tokens cost, as data: US dollars per million tokens of Anthropic's models.

Source: https://platform.claude.com/docs/en/about-claude/pricing as of November 2026 (Claude Fable 5.2: list price at
its release on 9 November 2026). Standard tier; cache writes of the five-minute kind, the only kind asked for here.
A price holds for a model's name and its dated snapshots, never for a later version; a model that is not listed costs
0, which is what a local one costs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


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


def cost_usd(
    model: str, *, input_tokens: int, output_tokens: int, cache_read_tokens: int = 0, cache_write_tokens: int = 0
) -> float:
    """What one turn costs in US dollars; 0 when the model's price is not known."""
    name = _SNAPSHOT.sub("", model)
    price = PRICES.get(name)
    if price is None:
        return 0.0
    long_prompt = LONG_PROMPTS.get(name)
    if long_prompt and input_tokens + cache_read_tokens + cache_write_tokens > long_prompt.above:
        price = long_prompt.price
    return (
        input_tokens * price.input
        + output_tokens * price.output
        + cache_read_tokens * price.cache_read
        + cache_write_tokens * price.cache_write
    ) / 1_000_000
