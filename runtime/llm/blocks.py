"""Content blocks on their way in: what a stream says of one block, gathered until it is whole. Pure.

A block this version has no class for is kept whole when it came whole, which is how the API sends the results of its own
tools. One that went on in pieces nobody here can join is left out and counted: half a block must not be sent back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from runtime.events.messages import (
    ContentBlock,
    OpaqueBlock,
    RedactedThinkingBlock,
    ServerToolUseBlock,
    TextBlock,
    ThinkingBlock,
    ToolUseBlock,
)
from runtime.llm import arguments
from runtime.llm.client import Chunk, InvalidCall, TextDelta, ThinkingDelta, ToolInputDelta

Json = dict[str, Any]
"""A parsed event. ``Any`` because the provider decides what is in it; every use checks or is inside ``Accumulator.feed``."""

_NEEDED = {"tool_use": ("id", "name"), "server_tool_use": ("id", "name"), "redacted_thinking": ("data",)}
"""Texts without which a block of that kind means nothing."""


@dataclass(slots=True)
class ReceivedBlock:
    """A content block being received."""

    kind: str
    start: Json
    parts: list[str] = field(default_factory=list)
    signature: str = ""
    citations: list[Json] = field(default_factory=list)
    closed: bool = False
    whole: bool = True
    """False once a piece came that could not be joined to it."""

    def grow(self, delta: Json) -> tuple[bool, Chunk | None]:
        """Join ``delta``: whether it is known here, and the chunk it makes, if it makes one."""
        match self.kind, delta["type"]:
            case "text", "text_delta":
                return True, TextDelta(self._more(delta["text"]))
            case "tool_use", "input_json_delta":
                return True, ToolInputDelta(self.start["id"], self.start["name"], self._more(delta["partial_json"]))
            case "thinking", "thinking_delta":
                return True, ThinkingDelta(self._more(delta["thinking"]))
            case "thinking", "signature_delta":
                self.signature = text_of(delta["signature"])
            case "text", "citations_delta":
                self.citations.append(_object(delta["citation"]))
            case "server_tool_use", "input_json_delta":
                self._more(delta["partial_json"])
            case _:
                self.whole = False
                return False, None
        return True, None

    def finished(self, cut: str | None) -> ContentBlock | InvalidCall | None:
        """The block as it stands at the end of the message; ``cut`` says why the message ended where it stood, if it did.

        None for what cannot be kept. Raises ``ValueError`` when a call the provider ran itself has no arguments.
        """
        text = "".join(self.parts)
        match self.kind:
            case "text":
                return TextBlock(text=text, citations=tuple(self.citations))
            case "thinking":
                return ThinkingBlock(thinking=text, signature=self.signature or str(self.start.get("signature", "")))
            case "redacted_thinking":
                return RedactedThinkingBlock(data=self.start["data"])
            case "tool_use":
                return self._call(text, cut)
            case "server_tool_use":
                return self._server_call(text, cut)
        return OpaqueBlock.model_validate(self.start) if self.whole and self.closed else None

    def _call(self, text: str, cut: str | None) -> ToolUseBlock | InvalidCall:
        raw, call_id, name = self._arguments(text), self.start["id"], self.start["name"]
        if cut is not None:
            return InvalidCall(call_id, name, raw, f"the answer ended ({cut}) before the call was whole")
        if not self.closed:
            return InvalidCall(call_id, name, raw, "the answer ended before the call was whole")
        try:
            return ToolUseBlock(id=call_id, name=name, input=arguments.parse(raw), caller=self.start.get("caller"))
        except ValueError as error:
            return InvalidCall(call_id, name, raw, str(error))

    def _server_call(self, text: str, cut: str | None) -> ServerToolUseBlock | None:
        if not self.closed:
            return None
        try:
            given = arguments.parse(self._arguments(text))
        except ValueError:
            if cut is not None:
                return None
            raise
        start = self.start
        return ServerToolUseBlock(id=start["id"], name=start["name"], input=given, caller=start.get("caller"))

    def _arguments(self, text: str) -> str:
        # No delta at all means the arguments came whole with the start, as servers do for tools without arguments.
        return text or orjson.dumps(self.start.get("input") or {}).decode()

    def _more(self, piece: object) -> str:
        text = text_of(piece)
        self.parts.append(text)
        return text


def begun(start: Json) -> tuple[ReceivedBlock, Chunk | None]:
    """A block at its start, and the chunk that makes. Raises ``KeyError`` and ``TypeError`` on what is no block."""
    block = ReceivedBlock(text_of(start["type"]), _object(start))
    for key in _NEEDED.get(block.kind, ()):
        text_of(start[key])
    if block.kind == "text":
        block.citations.extend(_object(citation) for citation in start.get("citations") or ())
        return block, TextDelta(block._more(start["text"])) if start.get("text") else None
    if block.kind == "thinking":
        return block, ThinkingDelta(block._more(start["thinking"])) if start.get("thinking") else None
    return block, None


def text_of(value: object) -> str:
    """``value``, which must be text. Raises ``TypeError``."""
    if not isinstance(value, str):
        raise TypeError("a piece of text is not text")
    return value


def _object(value: Any) -> Json:
    """``value``, which must be an object that can be written down again; Any: it is the provider's."""
    if not isinstance(value, dict) or arguments.deeper_than(value, arguments.MAX_DEPTH):
        raise TypeError("a part of a block is no object, or too deep a one")
    return value
