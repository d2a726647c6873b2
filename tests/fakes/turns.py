"""Turns of the Messages API adapter, as tests make them."""

from __future__ import annotations

from typing import Any

from runtime.clock import SystemClock
from runtime.events.messages import user
from runtime.llm.anthropic import AnthropicClient
from runtime.llm.client import Chunk, Completed, ModelClient, ModelRequest

KEY = "sk-ant-canary-0123456789"


def impatient(base_url: str, key: str = KEY) -> AnthropicClient:
    """A client with limits short enough for tests and long enough for a busy machine."""
    return AnthropicClient(key, base_url, SystemClock(), 5.0, 0.8, 0.4, 20.0)


def asking(model: str, **more: Any) -> ModelRequest:
    return ModelRequest(model, "Be brief.", (user("<question>Why?</question>"),), **more)


async def play(client: ModelClient, request: ModelRequest, seen: list[Chunk] | None = None) -> list[Chunk]:
    """All chunks of a turn; ``seen`` keeps them also when the turn fails."""
    chunks = [] if seen is None else seen
    async for chunk in client.stream(request):
        chunks.append(chunk)
    return chunks


async def completed(client: ModelClient, request: ModelRequest) -> Completed:
    end = (await play(client, request))[-1]
    assert isinstance(end, Completed)
    return end
