"""Which models this machine can evaluate, and with which settings."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from runtime.composition import model_words
from runtime.config import Settings
from runtime.llm.weights import default_gguf

MODELS = ("offline", "local", "anthropic")
STOCK = Path(os.environ.get("HEADRACE_DATA_DIR", ".headrace"))
"""Where ``headrace models fetch`` keeps weights."""
BUDGET_USD = 0.5
"""A question may spend this much on a model that costs money."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model ready to be asked."""

    model: str
    words: str
    settings: Settings
    at_once: int
    """Questions asked together: all where nothing is scarce, few where cores or a provider's rate limit are."""
    budget_usd: float | None = None


def missing(model: str) -> str | None:
    """Why ``model`` cannot run here, with the remedy; None when it can."""
    if model == "local":
        if importlib.util.find_spec("xllamacpp") is None:
            return "llama.cpp is not installed: make setup-local"
        if not os.environ.get("HEADRACE_GGUF") and default_gguf(STOCK) is None:
            return "there are no weights: headrace models fetch smollm2, or HEADRACE_GGUF=FILE"
    if model == "anthropic" and not (os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_BASE_URL")):
        return "ANTHROPIC_API_KEY is not set"
    return None


def candidate(model: str, data_dir: Path) -> Candidate:
    """The settings to evaluate ``model`` with; log and index are kept in ``data_dir``, which is empty."""
    if model == "local" and not os.environ.get("HEADRACE_GGUF"):
        (data_dir / "models").symlink_to((STOCK / "models").absolute())  # the weights keep their name and place
    settings = Settings(model=model, data_dir=data_dir, log="memory:", planning_timeout_s=300.0)  # type: ignore[arg-type]  # one of MODELS
    named = model_words(settings).partition(" (")[0].partition(" at ")[0].removeprefix("local: ")
    words = "offline engine" if model == "offline" else named
    match model:
        case "offline":
            return Candidate(model, words, settings, 30)
        case "local":
            return Candidate(model, words, settings, 2)
        case _:
            return Candidate(model, words, settings, 4, BUDGET_USD)
