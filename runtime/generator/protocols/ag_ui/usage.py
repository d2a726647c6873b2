"""Tokens by model, in AG-UI's accounting: what is read from or written to a cache is part of the input, not beside it."""

from __future__ import annotations

from ag_ui.core import TokenUsage

from runtime.events.messages import Usage


class Tally:
    """What the turns of one AG-UI run have used."""

    def __init__(self) -> None:
        self._by_model: dict[str, Usage] = {}

    def add(self, model: str, usage: Usage) -> None:
        """One turn."""
        self._by_model[model] = self._by_model.get(model, Usage()).plus(usage)

    def told(self) -> list[TokenUsage] | None:
        """One entry for each model; None when no model was asked."""
        return [_of(model, usage) for model, usage in self._by_model.items()] or None


def _of(model: str, usage: Usage) -> TokenUsage:
    sent = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
    return TokenUsage(
        model=model,
        input_tokens=sent,
        output_tokens=usage.output_tokens,
        total_tokens=sent + usage.output_tokens,
        cached_input_tokens=usage.cache_read_tokens or None,
        cache_write_input_tokens=usage.cache_write_tokens or None,
    )
