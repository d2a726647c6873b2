"""A model that plays a script: for tests, demonstrations and load, without network, money or chance.

The script's format is in :mod:`runtime.llm.script`. Time is paced against absolute deadlines, one for each token, so
that a rate does not drift however late a single wake-up comes. The same request always gets the same chunks and call
ids; a script's faults are counted for each conversation, so many runs may fail and recover side by side.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterator, Mapping
from textwrap import shorten
from typing import Any

import orjson

from runtime.clock import Clock
from runtime.errors import ModelRequestRejected
from runtime.events import brief
from runtime.events.messages import (
    ContentBlock,
    Message,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
    Usage,
    dump_conversation,
)
from runtime.llm.client import (
    Chunk,
    Completed,
    ModelNote,
    ModelRequest,
    StopReason,
    TextDelta,
    ThinkingDelta,
    ToolInputDelta,
)
from runtime.llm.script import MODEL_ERRORS, Fault, Script, ScriptedTurn

NOTE = ModelNote(
    name="scripted", is_language_model=False, words="This answer was played from a script; no model wrote it."
)

BREATH = 64
"""Chunks between two chances for other tasks when nothing is slept: a run must not starve its neighbours."""
MAX_COUNTED = 4096
"""Conversations whose faults are remembered; the oldest is forgotten first."""
TOPIC_LENGTH = 60
"""Characters of a question that ``{topic}`` keeps: titles of conversations and todos have limits."""

_TOKEN = re.compile(r"\s*\S+\s?|\s+")
_JSON_PIECE = re.compile(r".{1,12}", re.DOTALL)
_PLACEHOLDER = re.compile(r"\{(question|topic|task|agent|turn)\}")


class ScriptedClient:
    """A :class:`runtime.llm.client.ModelClient` that plays ``script`` on ``clock``."""

    def __init__(self, script: Script, clock: Clock) -> None:
        self._script = script
        self._clock = clock
        self._failed: OrderedDict[str, int] = OrderedDict()

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Play one turn. Raises the script's fault, or :class:`ModelRequestRejected` when no turn fits."""
        turn = self._script.find(request)
        if turn is None:
            raise ModelRequestRejected(f"the script has no turn {request.turn} for agent {request.agent!r}")
        fingerprint = _fingerprint(request)
        fault = self._due(turn.fault, fingerprint)
        content = _content(turn, request, fingerprint)
        if turn.delay_s:
            await self._clock.sleep(turn.delay_s)
        pace = _Pace(self._clock, self._script.rate if turn.rate is None else turn.rate)
        number = 0
        for number, chunk in enumerate(_chunks(content), start=1):
            if fault is not None and number > fault.after:
                break
            await pace.wait_for(number)
            yield chunk
        if fault is not None:
            raise MODEL_ERRORS[fault.error](f"the script fails here with {fault.error}", fault.retry_after_s)
        yield Completed(content, _stop_reason(turn), _usage(request, number), request.model)

    async def aclose(self) -> None:
        """Nothing is held."""

    def _due(self, fault: Fault | None, fingerprint: str) -> Fault | None:
        """The fault, when this attempt is to fail; a success makes the next conversation like it fail again."""
        if fault is None or fault.times == 0:
            return fault
        failed = self._failed.pop(fingerprint, 0)
        if failed >= fault.times:
            return None
        self._failed[fingerprint] = failed + 1
        if len(self._failed) > MAX_COUNTED:
            self._failed.popitem(last=False)
        return fault


class _Pace:
    """Sleeps until a token is due, counted from the first one."""

    def __init__(self, clock: Clock, rate: float) -> None:
        self._clock = clock
        self._rate = rate
        self._start = clock.monotonic()
        self._awake = 0

    async def wait_for(self, number: int) -> None:
        due = self._start + number / self._rate if self._rate else 0.0
        remaining = due - self._clock.monotonic() if self._rate else 0.0
        if remaining > 0:
            self._awake = 0
            await self._clock.sleep(remaining)
            return
        self._awake += 1
        if self._awake >= BREATH:
            self._awake = 0
            await asyncio.sleep(0)


def _content(turn: ScriptedTurn, request: ModelRequest, fingerprint: str) -> tuple[ContentBlock, ...]:
    words = _words(request)
    text = _fill(turn.text, words) * turn.repeat
    if turn.output is not None:
        text = orjson.dumps(_fill_all(turn.output, words)).decode()
    blocks: list[ContentBlock] = []
    if turn.thinking:
        blocks.append(ThinkingBlock(thinking=_fill(turn.thinking, words)))
    if text:
        blocks.append(TextBlock(text=text))
    blocks.extend(
        ToolUseBlock(id=f"call_{fingerprint}_{place}", name=call.name, input=_fill_all(call.input, words))
        for place, call in enumerate(turn.tool_calls, start=1)
    )
    return tuple(blocks)


def _chunks(content: tuple[ContentBlock, ...]) -> Iterator[Chunk]:
    for block in content:
        match block:
            case TextBlock():
                yield from map(TextDelta, _tokens(block.text))
            case ThinkingBlock():
                yield from map(ThinkingDelta, _tokens(block.thinking))
            case ToolUseBlock():
                for piece in _JSON_PIECE.finditer(orjson.dumps(block.input).decode()):
                    yield ToolInputDelta(block.id, block.name, piece[0])


def _tokens(text: str) -> Iterator[str]:
    return (match[0] for match in _TOKEN.finditer(text))


def _stop_reason(turn: ScriptedTurn) -> StopReason:
    return turn.stop_reason or ("tool_use" if turn.tool_calls else "end_turn")


def _usage(request: ModelRequest, tokens: int) -> Usage:
    # Four characters a token, the usual rule of thumb; nothing is paid by it.
    prompt = len(request.system) + sum(len(message.text()) for message in request.messages)
    return Usage(input_tokens=prompt // 4, output_tokens=tokens)


def _words(request: ModelRequest) -> dict[str, str]:
    asked = brief.parse(_first_user_text(request.messages))
    return {
        "question": asked.question,
        "topic": shorten(asked.question, TOPIC_LENGTH, placeholder="…"),
        "task": asked.task or asked.question,
        "agent": request.agent,
        "turn": str(request.turn),
    }


def _first_user_text(messages: tuple[Message, ...]) -> str:
    # The brief may follow earlier exchanges of the conversation: the last user message with a question in it counts.
    texts = [message.text() for message in messages if message.role == "user"]
    return next((text for text in reversed(texts) if "<question>" in text), texts[-1] if texts else "")


def _fill(text: str, words: Mapping[str, str]) -> str:
    return _PLACEHOLDER.sub(lambda match: words[match[1]], text)


def _fill_all(value: Any, words: Mapping[str, str]) -> Any:  # Any: whatever TOML can say
    match value:
        case str():
            return _fill(value, words)
        case dict():
            return {key: _fill_all(item, words) for key, item in value.items()}
        case list() | tuple():
            return [_fill_all(item, words) for item in value]
    return value


def _fingerprint(request: ModelRequest) -> str:
    asked = f"{request.agent}\n{request.turn}\n{dump_conversation(request.messages)}"
    return hashlib.sha256(asked.encode()).hexdigest()[:16]
