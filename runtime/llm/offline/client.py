"""The offline engine as a model client: streams a decided turn word by word at a readable pace."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable

from runtime.clock import Clock
from runtime.errors import ModelRequestRejected
from runtime.events.messages import ContentBlock, TextBlock, ToolResultBlock, ToolUseBlock, Usage
from runtime.llm.client import Chunk, Completed, ModelRequest, StopReason, TextDelta, ToolInputDelta
from runtime.llm.offline.note import NAME
from runtime.llm.offline.turns import Turn, decide

_WITH_SPACE = re.compile(r"\s*\S+\s*")


class OfflineClient:
    """Makes turns without a model. Holds nothing open; any number of turns at once."""

    def __init__(self, clock: Clock, words_per_s: float = 45.0) -> None:
        """``words_per_s`` is the pace of what people read; zero or less means at once."""
        self._clock = clock
        self._words_per_s = words_per_s
        self._closed = False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Make one turn. Raises ``ModelRequestRejected`` for an output schema it does not know and after ``aclose``."""
        if self._closed:
            raise ModelRequestRejected("The offline client is closed.")
        turn = decide(request)
        pieces = [turn.text] if turn.is_json else _pieces(turn.text)
        said = pieces if turn.is_json else pieces[: max(1, request.max_tokens)]
        async for piece in self._paced(said):
            yield TextDelta(piece)
        calls = _calls(turn, request.turn) if len(said) == len(pieces) else ()
        for call in calls:
            yield ToolInputDelta(call.id, call.name, json.dumps(call.input, ensure_ascii=False))
        text: tuple[ContentBlock, ...] = (TextBlock(text="".join(said)),) if said else ()
        stop: StopReason = "max_tokens" if len(said) < len(pieces) else "tool_use" if calls else "end_turn"
        yield Completed((*text, *calls), stop, _usage(request, turn, said), NAME)

    async def aclose(self) -> None:
        """Further turns are refused."""
        self._closed = True

    async def _paced(self, pieces: Iterable[str]) -> AsyncIterator[str]:
        """Each piece at its own deadline counted from the start, so that slow readers do not shift the pace."""
        start = self._clock.monotonic()
        for i, piece in enumerate(pieces):
            wait = start + i / self._words_per_s - self._clock.monotonic() if self._words_per_s > 0 else 0.0
            if wait > 0:
                await self._clock.sleep(wait)
            yield piece


def _pieces(text: str) -> list[str]:
    """``text`` cut after the space that follows each word; joined they are ``text`` again."""
    return _WITH_SPACE.findall(text)


def _calls(turn: Turn, number: int) -> tuple[ToolUseBlock, ...]:
    return tuple(
        ToolUseBlock(id=f"call_{number}_{i}", name=name, input=given) for i, (name, given) in enumerate(turn.calls)
    )


def _usage(request: ModelRequest, turn: Turn, said: list[str]) -> Usage:
    """Words count as tokens."""
    read = len(request.system.split())
    for message in request.messages:
        read += len(message.text().split())
        read += sum(len(block.text().split()) for block in message.content if isinstance(block, ToolResultBlock))
    written = len("".join(said).split()) + sum(len(json.dumps(given).split()) for _, given in turn.calls)
    return Usage(input_tokens=read, output_tokens=written)
