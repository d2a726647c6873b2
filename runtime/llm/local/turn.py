"""One turn as the Messages API tells it: tokens in, events out. Pure; :meth:`Turn.message` is the answer without streaming.

A call's arguments are passed on as they come. When the room runs out in their middle the stop reason says so, and the
reader finds JSON that does not parse; nothing is mended here.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from runtime.errors import ModelRequestRejected
from runtime.llm.local.engine import End
from runtime.llm.local.grammar import MARK, Form

Event = dict[str, Any]
"""One event; ``type`` is also its SSE name. Any: JSON."""


class Turn:
    """Makes the events of one answer. Feed it every token, then finish it."""

    def __init__(self, message_id: str, model: str, form: Form, max_tokens: int, stops: tuple[str, ...] = ()) -> None:
        self._id = message_id
        self._model = model
        self._form = form
        self._max_tokens = max_tokens
        self._stops = () if form.forced else stops
        self._kind: Literal["", "text", "call"] = ""
        self._name = ""
        self._held = ""
        self._said = ""
        self._tokens = 0
        self._usage = {"input_tokens": 0, "output_tokens": 0}
        self._stop_reason: str | None = None
        self.stop_sequence: str | None = None
        """The stop sequence that was met: generate no further."""

    def begin(self, input_tokens: int) -> list[Event]:
        """The prompt is accepted and ``input_tokens`` long."""
        self._usage["input_tokens"] = input_tokens
        return [{"type": "message_start", "message": self._envelope([])}]

    def feed(self, text: str) -> list[Event]:
        """More of the answer. Raises :class:`ModelRequestRejected` when the grammar evidently was not enforced."""
        self._tokens += 1
        if self.stop_sequence is not None:
            return []
        self._held += text
        return self._open() + self._flow()

    def finish(self, end: End | None = None) -> list[Event]:
        """The answer is over: ``end`` by the engine, None by a stop sequence."""
        events = self._open(last=True) + self._delta(self._held)
        self._held = ""
        if self._kind:
            events.append({"type": "content_block_stop", "index": 0})
        self._usage["output_tokens"] = end.output_tokens if end else self._tokens
        if end:
            self._usage["input_tokens"] = end.input_tokens
        self._stop_reason = self._reason(end)
        delta = {"stop_reason": self._stop_reason, "stop_sequence": self.stop_sequence}
        return [
            *events,
            {"type": "message_delta", "delta": delta, "usage": dict(self._usage)},
            {"type": "message_stop"},
        ]

    def message(self) -> Event:
        """The whole message. A call whose arguments do not parse is given as text: it must not look runnable."""
        return self._envelope([self._block()] if self._kind else [])

    def _block(self) -> Event:
        if self._kind == "call":
            try:
                arguments = json.loads(self._said)
            except ValueError:
                return {"type": "text", "text": f"{MARK}{self._name}]{self._said}", "citations": None}
            return {"type": "tool_use", "id": self._call_id(), "name": self._name, "input": arguments}
        return {"type": "text", "text": self._said, "citations": None}

    def _open(self, last: bool = False) -> list[Event]:
        """Start the content block as soon as it is clear what it is."""
        if self._kind or not self._held.strip():
            return []
        if tool := self._form.forced:
            self._expect_object()
            return self._start("call", tool.name)
        if self._form.calls and self._held.startswith(MARK[: len(self._held)]):
            name, bracket, rest = self._held.removeprefix(MARK).partition("]")
            if bracket:
                self._held = rest
                return self._start("call", name)
            if not last:
                return []
        if not self._form.text and not self._form.quotes:
            self._expect_object()
        return self._start("text")

    def _start(self, kind: Literal["text", "call"], name: str = "") -> list[Event]:
        self._kind, self._name = kind, name
        call = {"type": "tool_use", "id": self._call_id(), "name": name, "input": {}}
        block = call if kind == "call" else {"type": "text", "text": "", "citations": None}
        return [{"type": "content_block_start", "index": 0, "content_block": block}]

    def _flow(self) -> list[Event]:
        """Pass on what is held, but for a tail that may be the beginning of a stop sequence."""
        if not self._kind:
            return []
        stops = self._stops if self._kind == "text" else ()
        met = min((s for s in stops if s in self._held), key=self._held.index, default=None)
        if met is not None:
            said, self._held, self.stop_sequence = self._held.partition(met)[0], "", met
            return self._delta(said)
        tail = max((n for s in stops for n in range(1, len(s)) if self._held.endswith(s[:n])), default=0)
        said, self._held = self._held[: len(self._held) - tail], self._held[len(self._held) - tail :]
        return self._delta(said)

    def _delta(self, text: str) -> list[Event]:
        if not text or not self._kind:
            return []
        self._said += text
        call = {"type": "input_json_delta", "partial_json": text}
        delta = call if self._kind == "call" else {"type": "text_delta", "text": text}
        return [{"type": "content_block_delta", "index": 0, "delta": delta}]

    def _expect_object(self) -> None:
        if not self._held.lstrip().startswith("{"):
            raise ModelRequestRejected(
                "the local model cannot enforce this JSON Schema: llama.cpp did not take its grammar"
            )

    def _reason(self, end: End | None) -> str:
        if end is None or self.stop_sequence is not None:
            return "stop_sequence"
        if end.reason == "length":
            return "max_tokens" if end.output_tokens >= self._max_tokens else "model_context_window_exceeded"
        return "tool_use" if self._kind == "call" else "end_turn"

    def _call_id(self) -> str:
        return self._id.replace("msg_", "toolu_", 1)

    def _envelope(self, content: list[Event]) -> Event:
        return {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": content,
            "stop_reason": self._stop_reason,
            "stop_sequence": self.stop_sequence,
            "usage": dict(self._usage),
        }
