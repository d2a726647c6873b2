"""One call of a model: its chunks shown as they come, its whole message at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing

from runtime import failpoints
from runtime.errors import ModelProtocolError
from runtime.events import catalog as ev
from runtime.events.messages import ContentBlock, tool_uses
from runtime.llm.client import (
    Completed,
    InvalidCall,
    ModelClient,
    ModelRequest,
    TextDelta,
    ThinkingDelta,
    ToolInputDelta,
)
from runtime.stream.emitter import Emitter


async def play(
    client: ModelClient,
    request: ModelRequest,
    emitter: Emitter,
    turn: int,
    attempt: int,
    *,
    show: bool,
    answered: Callable[[], None],
) -> Completed:
    """Make the call. ``answered`` is called at every chunk. Raises ModelError, and what the log refuses."""
    async with aclosing(client.stream(request)) as chunks:
        async for chunk in chunks:
            answered()
            match chunk:
                case Completed():
                    failpoints.hit("turn.streamed")
                    return chunk
                case TextDelta(text=text) if show:
                    await emitter.emit(ev.TurnDelta(text=text), turn=turn, attempt=attempt)
                case ThinkingDelta(text=text) if show:
                    await emitter.emit(ev.TurnDelta(kind="thinking", text=text), turn=turn, attempt=attempt)
                case ToolInputDelta(call_id=call_id, name=name, partial_json=part) if show:
                    delta = ev.TurnDelta(kind="tool_input", text=part, call_id=call_id, name=name)
                    await emitter.emit(delta, turn=turn, attempt=attempt)
                case _:
                    await asyncio.sleep(0)
            failpoints.hit("turn.delta")
    raise ModelProtocolError(f"{request.model} ended its stream without a message")


def runnable(done: Completed) -> tuple[tuple[ContentBlock, ...], tuple[InvalidCall, ...]]:
    """Content and invalid calls; calls of a turn cut at ``max_tokens`` are never run (JOURNAL.md 1.5), whatever the adapter says."""
    cut = tool_uses(done.content) if done.stop_reason == "max_tokens" else ()
    words = "the answer ended (max_tokens) before the call was whole"
    invalid = tuple(InvalidCall(use.id, use.name, "", words) for use in cut)
    return tuple(block for block in done.content if block not in cut), (*done.invalid_calls, *invalid)
