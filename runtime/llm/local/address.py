"""Where a local model listens: what its users need to know of it, without importing it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LocalAddress:
    """Where the local model answers. The key exists in memory only."""

    base_url: str
    api_key: str
    model: str
