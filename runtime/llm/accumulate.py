"""The events of one Messages API stream, folded into chunks and the final message. Pure: no socket, no clock.

Stricter than the SDK where the SDK guesses (JOURNAL.md 4.1, measured): it accepts a body that ends early, repairs tool
arguments that were cut off, and ignores what follows them. Here a message is complete only after ``message_stop`` *and*
a stop reason, and arguments are one strict JSON object or the call is invalid. Laxer in one place: deltas and events
of kinds that are not known are skipped and counted, because the API may add kinds within a version, and blocks of such
kinds are kept as they came (:mod:`runtime.llm.blocks`).
"""

from __future__ import annotations

from typing import get_args

import orjson

from runtime.errors import ModelProtocolError, ModelStopUnknown, ModelStreamBroken
from runtime.events.messages import ContentBlock, Usage
from runtime.llm import classify
from runtime.llm.blocks import Json, ReceivedBlock, begun, text_of
from runtime.llm.client import Chunk, Completed, InvalidCall, StopReason
from runtime.llm.pricing import LIST_PRICES, PriceTable
from runtime.llm.sse_decode import ServerSentEvent
from runtime.telemetry import Counts

_STOP_REASONS = frozenset(get_args(StopReason))
_CUT_SHORT = frozenset({"max_tokens", "model_context_window_exceeded", "refusal"})
"""Stop reasons that end a message where it stood: a tool call in it may be half of what was meant."""

_USAGE = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_input_tokens": "cache_read_tokens",
    "cache_creation_input_tokens": "cache_write_tokens",
}
_SERVER_TOOLS = {"web_search_requests": "web_searches", "web_fetch_requests": "web_fetches"}
_SILENT = frozenset({"thinking", "redacted_thinking", "server_tool_use"})
"""Blocks during and after which nothing may come for long: thought that is not shown, a tool at work at the provider."""


class Accumulator:
    """Folds one stream; ``model`` is the name asked for, ``counts`` learns what was skipped, ``prices`` say what it cost."""

    def __init__(self, model: str, counts: Counts, prices: PriceTable = LIST_PRICES) -> None:
        self._prices = prices
        self._asked = model
        self._model = model
        self._counts = counts
        self._blocks: dict[int, ReceivedBlock] = {}
        self._usage: dict[str, int] = {}
        self._stop_reason: str | None = None
        self._started = False
        self._last: ReceivedBlock | None = None
        self.stopped = False
        """Whether ``message_stop`` has come: the rest of the stream does not matter."""
        self.contents = 0
        """Events so far that carried content or the end; pings and ``message_start`` are none."""

    @property
    def thinks(self) -> bool:
        """Whether what comes next may be long in coming: hidden thinking, or a tool at work at the provider."""
        last = self._last
        return last is not None and last.kind in _SILENT and not (last.closed and last.kind != "server_tool_use")

    def feed(self, event: ServerSentEvent) -> Chunk | None:
        """The chunk ``event`` makes, if it makes one.

        Raises :class:`ModelProtocolError` on what the protocol does not allow, and what
        :func:`runtime.llm.classify.by_type` says on an ``error`` event.
        """
        try:
            body = orjson.loads(event.data)
            return self._take(body["type"], body)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            # ValueError is bad JSON or bad UTF-8; the others are JSON of another shape than the protocol's.
            shape = f"{type(error).__name__} in event {event.event[:40]!r}"
            raise ModelProtocolError(f"the model's provider sent an event that cannot be read ({shape})") from error

    def _take(self, kind: str, body: Json) -> Chunk | None:
        match kind:
            case "content_block_delta":
                return self._delta(body["index"], body["delta"])
            case "content_block_start":
                return self._start_block(body["index"], body["content_block"])
            case "content_block_stop":
                self._stop_block(body["index"])
            case "message_start":
                self._start(body["message"])
            case "message_delta":
                self._finish(body)
            case "message_stop":
                self.stopped = True
                self.contents += 1
            case "error":
                raise classify.by_type(str(body["error"].get("type", "")), str(body["error"].get("message", "")))
            case "ping":
                pass
            case _:
                self._counts.add("llm.unknown_event")
        return None

    def _start(self, message: Json) -> None:
        if self._started:
            raise ModelProtocolError("the model's provider began a second message in one stream")
        self._started = True
        self._model = str(message.get("model") or self._asked)
        self._count(message.get("usage"))

    def _start_block(self, index: int, start: Json) -> Chunk | None:
        if not self._started or not isinstance(index, int) or index in self._blocks:
            raise ModelProtocolError("the model's provider began a content block out of order")
        self._last, chunk = begun(start)
        self._blocks[index] = self._last
        self.contents += 1
        return chunk

    def _stop_block(self, index: int) -> None:
        self._blocks[index].closed = True
        self.contents += 1

    def _delta(self, index: int, delta: Json) -> Chunk | None:
        self.contents += 1
        known, chunk = self._blocks[index].grow(delta)
        if not known:
            self._counts.add("llm.unknown_delta")
        return chunk

    def _finish(self, body: Json) -> None:
        if not self._started:
            raise ModelProtocolError("the model's provider ended a message it never began")
        self.contents += 1
        reason = body["delta"].get("stop_reason")
        self._stop_reason = self._stop_reason if reason is None else text_of(reason)
        self._count(body.get("usage"))

    def _count(self, usage: Json | None) -> None:
        # Counts are totals, not additions; one that a later event leaves out keeps its value.
        given = usage or {}
        self._usage |= {ours: int(given[theirs]) for theirs, ours in _USAGE.items() if given.get(theirs) is not None}
        served = given.get("server_tool_use") or {}
        self._usage |= {ours: int(served[theirs]) for theirs, ours in _SERVER_TOOLS.items() if served.get(theirs)}

    def completed(self) -> Completed:
        """The whole message.

        Raises :class:`ModelStreamBroken` when the stream ended before its end, :class:`ModelStopUnknown` when it is whole and
        says that it stopped for a reason that is not known.
        """
        if not self.stopped or self._stop_reason is None:
            seen = "a stop reason" if self.stopped else "message_stop"
            raise ModelStreamBroken(f"the model's stream ended before its end: it never sent {seen}")
        if self._stop_reason not in _STOP_REASONS:
            raise ModelStopUnknown(f"the model stopped for a reason that is not known: {self._stop_reason[:60]!r}")
        cut = self._stop_reason if self._stop_reason in _CUT_SHORT else None
        finished = [self._finished(self._blocks[index], cut) for index in sorted(self._blocks)]
        return Completed(
            content=tuple(b for b in finished if b is not None and not isinstance(b, InvalidCall)),
            stop_reason=self._stop_reason,  # type: ignore[arg-type]  # looked up in _STOP_REASONS above
            usage=Usage(**self._usage, cost_usd=self._prices.cost_usd(self._priced_as(), **self._priced())),
            model=self._model,
            invalid_calls=tuple(b for b in finished if isinstance(b, InvalidCall)),
        )

    def _priced_as(self) -> str:
        # A server may answer under another name than it was asked by; that must not make its answer free.
        return self._model if self._prices.knows(self._model) else self._asked

    def _priced(self) -> dict[str, int]:
        return {"input_tokens": 0, "output_tokens": 0} | self._usage

    def _finished(self, block: ReceivedBlock, cut: str | None) -> ContentBlock | InvalidCall | None:
        try:
            finished = block.finished(cut)
        except ValueError as error:
            words = f"the model's provider ran {block.start.get('name')!r} with arguments that cannot be read: {error}"
            raise ModelProtocolError(words) from error
        if finished is None:
            self._counts.add("llm.unknown_block")
        return finished
