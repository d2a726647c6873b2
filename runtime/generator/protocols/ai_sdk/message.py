"""The message that a client builds of chunks, for the history: what version 7 of the client makes of the same stream.

Held to the client itself by ``tests/clients``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.generator.protocols.ai_sdk.chunks import Chunk

Part = dict[str, Any]
"""One part of a message. Any: it holds what models and tools made."""


class Message:
    """An assistant's message in the making."""

    def __init__(self) -> None:
        self._id = ""
        self._metadata: dict[str, Any] = {}
        self._parts: list[Part] = []
        self._spoken: dict[str, Part] = {}
        self._words: dict[int, list[str]] = {}
        self._apply: dict[str, Callable[[Chunk], None]] = {
            "start": self._named,
            "finish": self._told,
            "message-metadata": self._told,
            "start-step": lambda _: self._parts.append({"type": "step-start"}),
            "reset-step": self._reset,
            "tool-input-start": self._tool_started,
            "tool-input-available": self._tool_whole,
            "tool-input-error": self._tool_invalid,
            "tool-approval-request": self._tool_asked,
            "tool-approval-response": self._tool_judged,
            "tool-output-available": lambda chunk: self._tool_ended(chunk, "output-available", output=chunk["output"]),
            "tool-output-error": lambda chunk: self._tool_ended(chunk, "output-error", errorText=chunk["errorText"]),
            "tool-output-denied": lambda chunk: self._tool(chunk).update(state="output-denied"),
            "source-url": lambda chunk: self._parts.append(dict(chunk)),
            "source-document": lambda chunk: self._parts.append(dict(chunk)),
        }
        for kind in ("text", "reasoning"):
            self._apply[f"{kind}-start"] = self._words_begun
            self._apply[f"{kind}-delta"] = self._words_added
            self._apply[f"{kind}-end"] = self._words_ended

    def add(self, chunk: Chunk) -> None:
        """Take in one chunk; those that leave nothing in a message are passed over."""
        kind = chunk["type"]
        if kind.startswith("data-"):
            self._data(chunk)
        elif (apply := self._apply.get(kind)) is not None:
            apply(chunk)

    def whole(self) -> dict[str, Any]:
        """The message so far."""
        for part in self._parts:
            if (words := self._words.get(id(part))) is not None:
                part["text"] = "".join(words)
        return {"id": self._id, "role": "assistant", "metadata": self._metadata, "parts": self._parts}

    def _named(self, chunk: Chunk) -> None:
        self._id = chunk["messageId"]
        self._told(chunk)

    def _told(self, chunk: Chunk) -> None:
        self._metadata = _merged(self._metadata, chunk.get("messageMetadata") or {})

    def _data(self, chunk: Chunk) -> None:
        if chunk.get("transient"):
            return
        for part in self._parts:
            if "id" in chunk and (part["type"], part.get("id")) == (chunk["type"], chunk["id"]):
                part["data"] = chunk["data"]
                return
        self._parts.append(dict(chunk))

    # --- words -------------------------------------------------------------------------------------------------------

    def _words_begun(self, chunk: Chunk) -> None:
        kind = chunk["type"].removesuffix("-start")
        part: Part = {"type": kind, "text": "", "providerMetadata": chunk["providerMetadata"], "state": "streaming"}
        if kind == "reasoning":
            part["id"] = chunk["id"]
        self._spoken[chunk["id"]] = part
        self._words[id(part)] = []
        self._parts.append(part)

    def _words_added(self, chunk: Chunk) -> None:
        self._words[id(self._spoken[chunk["id"]])].append(chunk["delta"])

    def _words_ended(self, chunk: Chunk) -> None:
        part = self._spoken.pop(chunk["id"])
        part["state"] = "done"
        part["providerMetadata"] = chunk.get("providerMetadata", part["providerMetadata"])

    def _reset(self, chunk: Chunk) -> None:
        while self._parts and self._parts[-1]["type"] != "step-start":
            self._words.pop(id(self._parts.pop()), None)
        self._spoken.clear()

    # --- tools -------------------------------------------------------------------------------------------------------

    def _step(self) -> list[Part]:
        begins = max((at for at, part in enumerate(self._parts) if part["type"] == "step-start"), default=-1)
        return self._parts[begins + 1 :]

    def _tool(self, chunk: Chunk) -> Part:
        """The part of a call: in this step, or the last one."""
        for part in reversed(self._parts):
            if part.get("toolCallId") == chunk["toolCallId"]:
                return part
        raise KeyError(chunk["toolCallId"])

    def _tool_here(self, chunk: Chunk) -> Part:
        """The part of a call in this step; a new one when there is none."""
        for part in self._step():
            if part.get("toolCallId") == chunk["toolCallId"]:
                return part
        part = {"type": "dynamic-tool", "toolCallId": chunk["toolCallId"]}
        self._parts.append(part)
        return part

    def _tool_started(self, chunk: Chunk) -> None:
        part = self._tool_here(chunk)
        for gone in ("input", "output", "errorText"):
            part.pop(gone, None)
        part.update(toolName=chunk["toolName"], state="input-streaming", providerExecuted=chunk["providerExecuted"])

    def _tool_whole(self, chunk: Chunk) -> None:
        part = self._tool_here(chunk)
        part.update(state="input-available", input=chunk["input"], providerExecuted=chunk["providerExecuted"])
        if "title" in chunk:
            part["title"] = chunk["title"]
        if "providerMetadata" in chunk:
            part["callProviderMetadata"] = chunk["providerMetadata"]

    def _tool_invalid(self, chunk: Chunk) -> None:
        part = self._tool_here(chunk)
        part.update(state="output-error", input=chunk["input"], errorText=chunk["errorText"])
        part["providerExecuted"] = chunk["providerExecuted"]

    def _tool_asked(self, chunk: Chunk) -> None:
        part = self._tool(chunk)
        part.update(state="approval-requested", approval={"id": chunk["approvalId"]})
        if "reason" in chunk:
            part["approval"]["requestReason"] = chunk["reason"]

    def _tool_judged(self, chunk: Chunk) -> None:
        for part in self._parts:
            if (approval := part.get("approval")) is not None and approval["id"] == chunk["approvalId"]:
                approval["approved"] = chunk["approved"]
                if "reason" in chunk:
                    approval["reason"] = chunk["reason"]
                part["state"] = "approval-responded"

    def _tool_ended(self, chunk: Chunk, state: str, **outcome: object) -> None:
        part = self._tool(chunk)
        part.update(state=state, **outcome)
        part["providerExecuted"] = chunk["providerExecuted"]


def _merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """Objects in objects are merged, everything else is replaced."""
    merged = dict(old)
    for name, value in new.items():
        known = merged.get(name)
        merged[name] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return merged
