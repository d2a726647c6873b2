"""What is known of models beforehand, as data: ``models.toml`` beside this file, with its sources and their dates."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict

from runtime.llm.options import ServerTool

_SNAPSHOT = re.compile(r"[-@](?:\d{8}|latest)\Z")


class Facts(BaseModel):
    """Base of what the file holds: closed and frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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


class ModelFacts(Facts):
    """One model."""

    price: Price
    long_prompt: LongPrompt | None = None
    window: int
    """Tokens a request and its answer may have together."""
    cache_minimum: int
    """Tokens of the shortest prefix the provider caches."""


class ServerToolFacts(Facts):
    """One tool of the provider's own."""

    type: str
    """Its versioned name."""
    max_uses: int
    """In one turn, at most; also what is held back for, of a tool whose uses the API does not limit."""
    fields: Mapping[str, Any] = {}
    """What else stands in its declaration."""

    def declared(self, name: str) -> dict[str, Any]:
        """Its entry among a request's tools."""
        return {"type": self.type, "name": name, **self.fields}


class ServerTools(Facts):
    """Tools the provider runs itself, and what it charges for them."""

    web_search_per_1000: float
    web_search: ServerToolFacts
    web_fetch: ServerToolFacts
    code_execution: ServerToolFacts

    def find(self, name: ServerTool) -> ServerToolFacts:
        """The tool of that name."""
        match name:
            case "web_search":
                return self.web_search
            case "web_fetch":
                return self.web_fetch
            case "code_execution":
                return self.code_execution


class Catalogue(Facts):
    """The whole file."""

    server_tools: ServerTools
    models: Mapping[str, ModelFacts]

    @property
    def web_search_usd(self) -> float:
        """Of one search."""
        return self.server_tools.web_search_per_1000 / 1000

    def find(self, model: str) -> ModelFacts | None:
        """What is known of ``model`` or, if it is a dated snapshot, of what it is a snapshot of."""
        name = listed_as(model, self.models)
        return None if name is None else self.models[name]


def listed_as(model: str, names: Mapping[str, object]) -> str | None:
    """Under which of ``names`` a model stands; None when it does not."""
    # The name as it is first: a snapshot may have an entry of its own.
    return next((name for name in (model, _SNAPSHOT.sub("", model)) if name in names), None)


def _load() -> Catalogue:
    text = resources.files("runtime.llm").joinpath("models.toml").read_text(encoding="utf-8")
    return Catalogue.model_validate(tomllib.loads(text))


CATALOGUE = _load()
"""What is known."""
