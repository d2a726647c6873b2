"""Model clients and each agent's ladder of them.

Adapters are imported where they are chosen: the SDK and the offline engine take a second each, and most processes need one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from runtime.agents.spec import AgentSpec
from runtime.agents.turn import Rung
from runtime.clock import Clock
from runtime.composition import Composition
from runtime.config import ModelKind, Settings
from runtime.errors import ConfigurationError
from runtime.llm.client import ModelClient
from runtime.llm.local.address import LocalAddress
from runtime.llm.pricing import LIST_PRICES, Price, PriceTable
from runtime.telemetry import logger

_log = logger("bootstrap")

StandIn = Callable[[Callable[[], ModelClient]], ModelClient]
"""Gives the client to be used in the place of another; it is told how to make that one, and need not."""

CACHE_WRITE = 1.25
"""Times the price of input, when no price of a cache write is given: Anthropic's factor for the five-minute kind."""


def price_table(settings: Settings) -> PriceTable:
    """The published prices with the operator's own over them; the one table that reserves and bills."""
    own = {
        name: Price(
            input=price.input,
            output=price.output,
            cache_read=price.input if price.cache_read is None else price.cache_read,
            cache_write=price.input * CACHE_WRITE if price.cache_write is None else price.cache_write,
        )
        for name, price in settings.prices.items()
    }
    return LIST_PRICES.with_prices(own)


def model_client(
    settings: Settings, kind: ModelKind, clock: Clock, local: LocalAddress | None = None
) -> tuple[ModelClient, str]:
    """A client of that kind, and the model's name at its provider. ``local`` is where a local model listens."""
    match kind:
        case "offline":
            from runtime.llm.offline.client import OfflineClient

            return OfflineClient(clock), "extractive"
        case "scripted":
            from runtime.llm.script import default_script, load_script
            from runtime.llm.scripted import ScriptedClient

            script = load_script(settings.script) if settings.script else default_script()
            return ScriptedClient(script, clock), "script"
        case "anthropic":
            return _anthropic(settings, settings.anthropic_api_key, settings.anthropic_base_url, clock), (
                settings.anthropic_model
            )
        case "local":
            if local is None:
                raise ConfigurationError("the local model has not been started")
            return _anthropic(settings, local.api_key, local.base_url, clock), local.model


def build_ladder(
    parts: Composition, spec: AgentSpec, clock: Clock, local: LocalAddress | None, stand_in: StandIn | None = None
) -> tuple[Rung, ...]:
    """The rungs in their order: the first model, the same with the simpler prompt, then the others, with the simpler prompt."""

    def make(kind: str) -> ModelClient:
        return model_client(parts.settings, kind, clock, local)[0]  # type: ignore[arg-type]  # checked by compose

    clients: dict[str, ModelClient] = {}
    rungs: list[Rung] = []
    for model in parts.ladders[spec.name]:
        adapter, _, name = model.partition(":")
        if adapter not in clients:
            real = partial(make, adapter)
            clients[adapter] = stand_in(real) if stand_in is not None else real()
        asked = local.model if adapter == "local" and local is not None else name
        first = not rungs
        if first or spec.simpler_instructions is None:
            rungs.append(Rung(model, asked, clients[adapter], spec.instructions))
        if spec.simpler_instructions is not None:
            told = f"{model} (simpler prompt)" if first else model
            rungs.append(Rung(told, asked, clients[adapter], spec.simpler_instructions))
    _tell_of_unpriced(parts.settings, rungs)
    return tuple(rungs)


def _tell_of_unpriced(settings: Settings, rungs: list[Rung]) -> None:
    if settings.tenant_daily_budget_usd is None:
        return
    prices = price_table(settings)
    for name in sorted({r.model for r in rungs if r.provider == "anthropic" and not prices.knows(r.model)}):
        _log.warning("no price of model %r is known: no budget counts its calls; set HEADRACE_PRICES", name)


def _anthropic(settings: Settings, key: str, url: str, clock: Clock) -> ModelClient:
    from runtime.llm.anthropic import AnthropicClient

    return AnthropicClient(
        key,
        url,
        clock,
        first_content_timeout_s=settings.first_content_timeout_s,
        progress_timeout_s=settings.progress_timeout_s,
        prices=price_table(settings),
    )
