"""The rules that clients of versions 5 to 7 hold a UI message stream to, as one strict reader (PROTOCOLS.md 2.2, 2.3)."""

from __future__ import annotations

import json
from typing import Any

from runtime.generator.protocols.ai_sdk.chunks import DONE

Chunk = dict[str, Any]

V5 = {
    *("start", "finish", "abort", "error", "message-metadata", "start-step", "finish-step"),
    *("text-start", "text-delta", "text-end", "reasoning-start", "reasoning-delta", "reasoning-end"),
    *("tool-input-start", "tool-input-delta", "tool-input-available", "tool-input-error"),
    *("tool-output-available", "tool-output-error", "source-url", "source-document"),
}
V6 = V5 | {"tool-approval-request", "tool-output-denied"}
V7 = V6 | {"tool-approval-response", "reset-step"}
KNOWN = {5: V5, 6: V6, 7: V7}
FINISH_REASONS = frozenset({"stop", "length", "content-filter", "tool-calls", "error", "other"})
ENDS = frozenset({"finish", "abort", "error"})


class Breach(AssertionError):
    """A client would refuse this stream, or show it wrongly."""


class Client:
    """Reads chunk by chunk. ``parts`` is what is in the message, as far as the rules need it."""

    def __init__(self, version: int = 6) -> None:
        self.version = version
        self.message_id: str | None = None
        self.in_segment = self.in_step = self.ended = False
        self.open: dict[tuple[str, str], list[str]] = {}
        self.texts: list[tuple[str, dict[str, Any]]] = []
        self.tools: dict[str, str] = {}
        self.this_step: set[str] = set()
        self.data: dict[tuple[str, str | None], Any] = {}
        self.finish_reason: str | None = None
        self.error: str | None = None

    def read(self, chunk: Chunk) -> None:
        kind = chunk["type"]
        self.require(isinstance(kind, str), chunk)
        json.dumps(chunk, allow_nan=False)
        self.require(
            all(value is not None for name, value in chunk.items() if name not in ("data", "input", "output")), chunk
        )
        self.require(kind.startswith("data-") or kind in KNOWN[self.version], chunk)
        self.require(not self.ended, chunk)
        if kind != "start":
            self.require(self.in_segment, chunk)
        handler = getattr(self, "_" + kind.replace("-", "_"), None)
        if kind.startswith("data-"):
            self._data(chunk)
        elif handler is not None:
            handler(chunk)

    def require(self, holds: bool, chunk: Chunk) -> None:
        if not holds:
            raise Breach(f"{chunk} with {self.open}, {self.tools}")

    # --- the segment

    def _start(self, chunk: Chunk) -> None:
        self.require(not self.in_segment, chunk)
        self.require(self.message_id in (None, chunk["messageId"]), chunk)
        self.message_id, self.in_segment = chunk["messageId"], True

    def _start_step(self, chunk: Chunk) -> None:
        self.require(not self.in_step and not self.open, chunk)
        self.in_step = True
        self.this_step = set()

    def _finish_step(self, chunk: Chunk) -> None:
        self.require(self.in_step and not self.open, chunk)
        self.in_step = False

    def _reset_step(self, chunk: Chunk) -> None:
        self.open.clear()
        for tool in self.this_step:
            del self.tools[tool]
        self.this_step = set()
        self.texts = [text for text in self.texts if text[1].get("step") != "this"]

    def _finish(self, chunk: Chunk) -> None:
        self.require(not self.in_step and chunk["finishReason"] in FINISH_REASONS, chunk)
        self._over(chunk)
        self.finish_reason = chunk["finishReason"]

    def _abort(self, chunk: Chunk) -> None:
        self._over(chunk)
        self.ended = True

    def _error(self, chunk: Chunk) -> None:
        self._over(chunk)
        self.error, self.ended = chunk["errorText"], True

    def _over(self, chunk: Chunk) -> None:
        self.require(not self.in_step and not self.open, chunk)
        left = set(self.tools.values())
        self.require("streaming" not in left and (self.version == 5 or "available" not in left), chunk)
        self.in_segment = False

    # --- words

    def _text_start(self, chunk: Chunk) -> None:
        self.require(self.in_step and ("text", chunk["id"]) not in self.open, chunk)
        self.open["text", chunk["id"]] = []

    def _text_delta(self, chunk: Chunk) -> None:
        self.require(("text", chunk["id"]) in self.open, chunk)
        self.open["text", chunk["id"]].append(chunk["delta"])

    def _text_end(self, chunk: Chunk) -> None:
        self.require(("text", chunk["id"]) in self.open, chunk)
        said = "".join(self.open.pop(("text", chunk["id"])))
        self.texts.append((said, chunk.get("providerMetadata", {}).get("headrace", {})))

    def _reasoning_start(self, chunk: Chunk) -> None:
        self.require(self.in_step and ("reasoning", chunk["id"]) not in self.open, chunk)
        self.open["reasoning", chunk["id"]] = []

    def _reasoning_delta(self, chunk: Chunk) -> None:
        self.require(("reasoning", chunk["id"]) in self.open, chunk)

    def _reasoning_end(self, chunk: Chunk) -> None:
        self.require(self.open.pop(("reasoning", chunk["id"]), None) is not None, chunk)

    # --- tools

    def _tool_input_start(self, chunk: Chunk) -> None:
        self.require(self.in_step and chunk["dynamic"] is True, chunk)
        again = (
            self.tools.get(chunk["toolCallId"], "error") == "error"
        )  # the model began anew: another part in another step
        self.require(again or chunk["toolCallId"] in self.this_step, chunk)
        self.tools[chunk["toolCallId"]] = "streaming"
        self.this_step.add(chunk["toolCallId"])

    def _tool_input_delta(self, chunk: Chunk) -> None:
        self.require(self.tools.get(chunk["toolCallId"]) == "streaming", chunk)

    def _tool_input_available(self, chunk: Chunk) -> None:
        self.require(self.tools.get(chunk["toolCallId"]) == "streaming", chunk)
        self.require(chunk["toolCallId"] in self.this_step, chunk)  # else version 7 makes a second part of it
        self.tools[chunk["toolCallId"]] = "available" if chunk["providerExecuted"] else "asked"

    def _tool_input_error(self, chunk: Chunk) -> None:
        self.require(self.tools.get(chunk["toolCallId"]) == "streaming", chunk)
        self.require(chunk["toolCallId"] in self.this_step, chunk)
        self.tools[chunk["toolCallId"]] = "error"

    def _tool_approval_request(self, chunk: Chunk) -> None:
        self.require(self.tools.get(chunk["toolCallId"]) == "available", chunk)
        self.tools[chunk["toolCallId"]] = "asked"

    def _tool_approval_response(self, chunk: Chunk) -> None:
        self.require("asked" in self.tools.values(), chunk)

    def _tool_output_available(self, chunk: Chunk) -> None:
        self.require(self.tools.get(chunk["toolCallId"]) in ("available", "asked"), chunk)
        self.require(chunk["providerExecuted"] is True, chunk)  # else the client sends the chat anew
        self.require(chunk["dynamic"] is True, chunk)  # else version 5 does not find its part
        self.tools[chunk["toolCallId"]] = "output"

    def _tool_output_error(self, chunk: Chunk) -> None:
        self.require(self.tools.get(chunk["toolCallId"]) in ("available", "asked"), chunk)
        self.require(chunk["dynamic"] is True, chunk)
        self.tools[chunk["toolCallId"]] = "error"

    def _tool_output_denied(self, chunk: Chunk) -> None:
        self.require(self.tools.get(chunk["toolCallId"]) == "asked", chunk)
        self.tools[chunk["toolCallId"]] = "denied"

    def _data(self, chunk: Chunk) -> None:
        self.require("data" in chunk, chunk)
        if not chunk.get("transient"):
            self.data[chunk["type"], chunk.get("id")] = chunk["data"]


def read_all(chunks: list[Chunk], version: int = 6) -> Client:
    """Hold a stream to the rules; the client that has read it."""
    client = Client(version)
    for chunk in chunks:
        client.read(chunk)
    return client


def chunks_in(body: bytes) -> tuple[list[Chunk], bool]:
    """The chunks of a response's body, and whether it ends with ``[DONE]``."""
    done = body.endswith(DONE)
    lines = (line for block in body.decode().split("\n\n") for line in block.split("\n") if line.startswith("data: "))
    return [json.loads(line.removeprefix("data: ")) for line in lines if line != "data: [DONE]"], done
