"""One turn of a model, with everything that can go wrong: attempts, pauses, the ladder of models.

The one retry authority for model calls. Each attempt is announced durably before the request is made; a withdrawn one is
marked ``turn.superseded`` before the next begins, so a reader never sees two answers mixed.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

import orjson

from runtime.clock import Clock
from runtime.errors import ModelError, ModelProtocolError
from runtime.events import catalog as ev
from runtime.events.messages import ContentBlock, Conversation, tool_uses
from runtime.events.transcript import Transcript, advance
from runtime.llm.client import (
    Completed,
    InvalidCall,
    ModelClient,
    ModelRequest,
    TextDelta,
    ThinkingDelta,
    ToolInputDelta,
)
from runtime.recovery.policy import FallBack, Jitter, Retry, RetryPolicy
from runtime.stream.emitter import Emitter
from runtime.telemetry import Counts


@dataclass(frozen=True, slots=True)
class Rung:
    """One model of an agent's ladder."""

    name: str
    """``adapter:model``, as people read it."""
    model: str
    client: ModelClient
    instructions: str


@dataclass(frozen=True, slots=True)
class TurnTools:
    """What a turn needs beside its request."""

    ladder: tuple[Rung, ...]
    policy: RetryPolicy
    clock: Clock
    jitter: Jitter
    counts: Counts


RequestFor = Callable[[Rung, Conversation, int], ModelRequest]
"""Builds the request for a rung, the conversation and the turn's number."""


async def take_turn(
    tools: TurnTools, emitter: Emitter, transcript: Transcript, request_for: RequestFor, *, show: bool
) -> Transcript:
    """Make the next turn; answers the transcript with it. ``show`` streams its deltas.

    Raises :class:`ModelError` when every attempt on every model failed; the log then ends with ``turn.failed``.
    """
    rung_at, tries, total = 0, 0, 0
    while True:
        rung = tools.ladder[rung_at]
        turn, attempt = transcript.next_attempt()
        tries, total = tries + 1, total + 1
        request = request_for(rung, transcript.messages(), turn)
        announced = ev.TurnStarted(model=rung.name, request_hash=_hash(request))
        (started,) = await emitter.commit(announced, turn=turn, attempt=attempt)
        transcript = advance(transcript, started, turn, attempt)
        try:
            done = await _attempt(rung, request, emitter, turn, attempt, show)
        except ModelError as error:
            left = len(tools.ladder) - rung_at - 1
            match tools.policy.decide(error, attempt=tries, models_left=left, jitter=tools.jitter):
                case Retry(delay_s=delay):
                    said: ev.Event = ev.RecoveryRetrying(
                        failure=error.code,
                        message=error.message,
                        attempt=tries,
                        of=tools.policy.attempts,
                        delay_s=delay,
                    )
                    transcript = await _withdraw(emitter, transcript, error, said, turn, attempt)
                    tools.counts.add(f"recovery.retrying.{error.code}")
                    await tools.clock.sleep(delay)
                case FallBack():
                    said = ev.RecoveryFellBack(
                        from_model=rung.name, to_model=tools.ladder[rung_at + 1].name, failure=error.code
                    )
                    transcript = await _withdraw(emitter, transcript, error, said, turn, attempt)
                    tools.counts.add("recovery.fell_back")
                    rung_at, tries = rung_at + 1, 0
                case _:
                    failed = ev.TurnFailed(code=error.code, message=error.message, attempts=total)
                    await emitter.commit(failed, turn=turn, attempt=attempt)
                    raise
            continue
        return await _complete(emitter, transcript, done, turn, attempt)


async def _attempt(
    rung: Rung, request: ModelRequest, emitter: Emitter, turn: int, attempt: int, show: bool
) -> Completed:
    async with aclosing(rung.client.stream(request)) as chunks:
        async for chunk in chunks:
            match chunk:
                case Completed():
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
    raise ModelProtocolError(f"{rung.name} ended its stream without a message")


async def _withdraw(
    emitter: Emitter, transcript: Transcript, error: ModelError, said: ev.Event, turn: int, attempt: int
) -> Transcript:
    superseded, _ = await emitter.commit(ev.TurnSuperseded(reason=error.code), said, turn=turn, attempt=attempt)
    return advance(transcript, superseded, turn, attempt)


async def _complete(emitter: Emitter, transcript: Transcript, done: Completed, turn: int, attempt: int) -> Transcript:
    content, invalid_calls = _runnable(done)
    events: list[ev.Event] = [
        ev.TurnCompleted(
            content=content,
            stop_reason=done.stop_reason,
            usage=done.usage,
            model=done.model,
            truncated=done.stop_reason == "max_tokens",
        )
    ]
    events += [
        ev.ToolArgumentsInvalid(call_id=call.call_id, name=call.name, message=call.problem) for call in invalid_calls
    ]
    for event in await emitter.commit(*events, turn=turn, attempt=attempt):
        transcript = advance(transcript, event, turn, attempt)
    return transcript


def _runnable(done: Completed) -> tuple[tuple[ContentBlock, ...], tuple[InvalidCall, ...]]:
    """Content and invalid calls; calls of a turn cut at ``max_tokens`` are never run (JOURNAL.md 1.5), whatever the adapter says."""
    cut = tool_uses(done.content) if done.stop_reason == "max_tokens" else ()
    words = "the answer ended (max_tokens) before the call was whole"
    invalid = tuple(InvalidCall(use.id, use.name, "", words) for use in cut)
    return tuple(block for block in done.content if block not in cut), (*done.invalid_calls, *invalid)


def _hash(request: ModelRequest) -> str:
    """A short fingerprint of what the model is asked, to compare runs by."""
    parts = [request.model, request.system, *(m.model_dump_json() for m in request.messages), request.tool_choice or ""]
    parts += [orjson.dumps(spec.input_schema, option=orjson.OPT_SORT_KEYS).decode() for spec in request.tools]
    return hashlib.sha256("\x1f".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]
