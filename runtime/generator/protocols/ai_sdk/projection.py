"""Which chunks a run's events become: a pure state machine over the log, the same chunks for the same events.

``start`` names the run as the message, so that a replay finds it. Every segment is ``start``, ``start-step`` ... ``finish-step``, and
one of ``finish``, ``abort`` and ``error``; nothing is left open at its end but what people are asked.
"""

from __future__ import annotations

from typing import Any, Final, Literal, assert_never

import orjson

from runtime.events import catalog as ev
from runtime.events.codec import UnknownEvent, decode
from runtime.events.envelope import Envelope, Stored
from runtime.events.messages import ToolUseBlock, Usage
from runtime.events.texts import TextKey
from runtime.generator.protocols.ai_sdk.calls import Calls
from runtime.generator.protocols.ai_sdk.cards import Cards
from runtime.generator.protocols.ai_sdk.chunks import Chunk, ClientVersion, named
from runtime.generator.protocols.ai_sdk.sources import provider_calls, source_of
from runtime.generator.protocols.ai_sdk.speech import Kind, Speech
from runtime.generator.protocols.ai_sdk.writer import Writer
from runtime.telemetry import logger

_KINDS: Final[dict[str, Kind]] = {"text": "text", "thinking": "reasoning"}

_log = logger("generator.ai_sdk")


class Projection:
    """One run's chunks, event by event from the first. ``version``: see :data:`ClientVersion`."""

    def __init__(self, version: ClientVersion = 6) -> None:
        self._version = version
        self._writer = Writer(resets=version >= 7)
        self._speech = Speech(self._writer)
        self._calls = Calls(self._writer, version)
        self._cards = Cards(self._writer)
        self._run_id = ""
        self._about: dict[str, object] = {}
        self._cut_short = False
        self._refused = False
        self.at_rest: Literal["waiting", "ended"] | None = None
        """Between segments: the run waits for people, or has ended."""

    def project(self, stored: Stored) -> list[Chunk]:
        """The chunks of the next event; none for one that this version does not know."""
        try:
            if stored.type == "turn.delta":
                self._delta(stored)
                return self._writer.take()
            envelope = decode(stored)
        except UnknownEvent as error:
            _log.warning("an event is left out of a UI message stream: %s", error)
            return []
        if self.at_rest == "ended":
            return []
        self._begin(envelope)
        self._apply(envelope)
        return self._writer.take()

    def reopen(self) -> list[Chunk]:
        """For a response that begins in the middle of a segment: the message's name, and the parts that go on."""
        self._writer.put(self._start())
        self._speech.reopen()
        return self._writer.take()

    # --- the segment -------------------------------------------------------------------------------------------------

    def _begin(self, envelope: Envelope) -> None:
        """Open a segment, if none is."""
        if self._run_id and self.at_rest is None:
            return
        self._run_id, self.at_rest = envelope.run_id, None
        if isinstance(envelope.event, ev.RunAccepted):
            self._about = named(threadId=envelope.event.conversation_id, title=envelope.event.title)
        self._writer.put(self._start())
        self._writer.start_step()

    def _start(self) -> Chunk:
        metadata = {"runId": self._run_id, **self._about, "state": "running"}
        return {"type": "start", "messageId": self._run_id, "messageMetadata": metadata}

    def _step(self) -> None:
        """A step boundary, where it cuts nothing off."""
        if not (self._writer.step_empty or self._speech.open or self._calls.open):
            self._writer.finish_step()
            self._writer.start_step()

    def _metadata(self, **about: object) -> None:
        self._writer.put({"type": "message-metadata", "messageMetadata": named(**about)})

    def _wait(self) -> None:
        self._speech.close_all()
        self._calls.close_all(but_asked=True)
        self._writer.finish_step()
        reason = "tool-calls" if self._calls.asking else "other"
        self._writer.put({"type": "finish", "finishReason": reason, "messageMetadata": {"state": "waiting"}})
        self.at_rest = "waiting"

    def _complete(self, event: ev.RunCompleted, seq: int) -> None:
        self._speech.close_all()
        self._calls.close_all()
        self._speech.answer(event.answer or event.stopped or "", tuple(output.text for output in event.outputs), seq)
        self._writer.finish_step()
        reason = "content-filter" if self._refused else "length" if self._cut_short else "stop"
        told = named(state="completed", usage=_usage(event.usage), stopped=event.stopped, note=event.note)
        self._writer.put({"type": "finish", "finishReason": reason, "messageMetadata": told})
        self.at_rest = "ended"

    def _end(self, chunk: Chunk, **about: object) -> None:
        """An end without an answer."""
        self._speech.close_all()
        self._calls.close_all()
        self._writer.finish_step()
        self._metadata(**about)
        self._writer.put(chunk)
        self.at_rest = "ended"

    # --- events ------------------------------------------------------------------------------------------------------

    def _delta(self, stored: Stored) -> None:
        """A token, without the models: they come by the thousand."""
        try:
            body = orjson.loads(stored.body)
            data: dict[str, Any] = body["data"]
            key = TextKey(
                body.get("stage") or "",
                body.get("agent") or "",
                body.get("turn") or 0,
                body.get("attempt") or 0,
                body.get("call") or "",
            )
            kind, text, call_id, name = data["kind"], data["text"], data.get("call_id"), data.get("name")
        except (orjson.JSONDecodeError, AttributeError, KeyError, TypeError) as error:
            raise UnknownEvent(f"event {stored.seq} is no token: {error!r}") from error
        if not key.stage or self.at_rest is not None or not text:
            return
        if kind in _KINDS:
            self._speech.delta(key, _KINDS[kind], text, stored.seq)
        elif kind == "tool_input" and call_id:
            self._calls.delta(key, call_id, name or "tool", text)

    def _apply(self, envelope: Envelope) -> None:  # one thought: a table, closed by assert_never
        event, seq, stage = envelope.event, envelope.seq, envelope.stage
        key = TextKey.of(envelope)
        match event:
            case ev.RunAccepted():
                self._cards.run("accepted")
            case ev.RunStarted():
                self._cards.run("running", epoch=event.epoch)
            case ev.RunWaiting():
                if event.approvals:
                    self._wait()
                else:
                    self._cards.run("waiting", reason=event.reason, until=event.until)
            case ev.RunCompleted():
                self._complete(event, seq)
            case ev.RunCancelled():
                self._end({"type": "abort", "reason": event.reason}, state="cancelled", usage=_usage(event.usage))
            case ev.RunFailed() | ev.RunExpired():
                self._failed(event)
            case ev.RunCancelRequested():
                self._cards.run("cancelling", by=event.by)
            case ev.AgentStarted():
                self._cards.agent(key.agent, "running", model=event.model)
            case ev.AgentCompleted():
                self._cards.agent(key.agent, "completed", ms=event.ms)
            case ev.AgentFailed():
                self._cards.agent(key.agent, "failed", ms=event.ms, message=event.message)
            case ev.TitleSet():
                self._about["title"] = event.title
                self._metadata(title=event.title)
            case ev.GuardrailVerdict():
                self._refused = not event.allowed
                self._cards.guardrail(event)
            case ev.PlanCommitted() | ev.PlanRevised():
                self._cards.plan(event.plan)
            case ev.StageStarted() | ev.StageCompleted() | ev.StageSkipped() | ev.StageFailed() if stage is not None:
                self._stage(key, event, seq)
            case ev.TurnCompleted() | ev.TurnSnapshot():
                self._turn(key, event, seq)
            case ev.TurnFailed():
                self._speech.close(key)
                self._calls.withdrawn(key)
            case ev.TurnSuperseded():
                if stage is not None:
                    self._speech.withdrawn(key)
                    self._calls.withdrawn(key)
                    self._cards.note(envelope, event)
            case ev.ToolCalled():
                self._calls.called(key, event)
            case ev.ToolCompleted():
                self._calls.completed(key, event)
            case ev.ToolOutcomeUnknown():
                self._calls.unknown(key, event)
            case ev.ToolArgumentsInvalid():
                self._calls.invalid(key, event)
            case ev.CitationAdded():
                self._writer.put(source_of(event, stage))
            case ev.ApprovalRequested():
                self._asked(key, event)
            case ev.ApprovalGiven():
                self._calls.given(event)
                self._cards.given(event)
            case ev.InputReceived():
                self._cards.said(event, stage)
            case (
                ev.RecoveryRetrying()
                | ev.RecoveryFellBack()
                | ev.RecoveryCompacted()
                | ev.RecoveryResumed()
                | ev.RecoveryToolSwitchedOff()
            ):
                self._cards.note(envelope, event)
            case ev.UsageUpdated():
                self._metadata(usage=_usage(event.usage))
            case ev.Custom():
                self._cards.custom(event)
            case (
                ev.StageDispatched()
                | ev.StageStarted()
                | ev.StageCompleted()
                | ev.StageSkipped()
                | ev.StageFailed()
                | ev.InputDelivered()
                | ev.TurnStarted()
                | ev.TurnDelta()
                | ev.Hidden()
            ):
                pass
            case _:
                assert_never(event)

    def _stage(
        self, key: TextKey, event: ev.StageStarted | ev.StageCompleted | ev.StageSkipped | ev.StageFailed, seq: int
    ) -> None:
        name, agent = key.stage, key.agent or None
        if isinstance(event, ev.StageStarted):
            self._step()
            self._cards.stage(name, "running", title=event.title, agent=agent, index=event.index, of=event.of)
            return
        self._speech.close_stage(name)
        self._calls.close_stage(name)
        match event:
            case ev.StageCompleted():
                self._speech.output(key, event.output, seq)
                about = named(index=event.index, of=event.of, carriedFrom=event.carried_from)
                partial = event.partial or None
                self._cards.stage(
                    name, "completed", title=event.title, agent=agent, summary=event.summary, partial=partial, **about
                )
            case ev.StageSkipped():
                self._cards.stage(name, "skipped", title=event.title, agent=agent, reason=event.reason)
            case ev.StageFailed():
                status: Literal["pending", "failed"] = "pending" if event.decision == "retry" else "failed"
                told = named(code=event.code, message=event.message, decision=event.decision)
                self._cards.stage(name, status, title=event.title, agent=agent, **told)

    def _turn(self, key: TextKey, event: ev.TurnCompleted | ev.TurnSnapshot, seq: int) -> None:
        if not key.stage:
            return
        if isinstance(event, ev.TurnCompleted):
            if event.purpose == "summary":
                self._speech.withdrawn(key)
                return
            self._cut_short = event.stop_reason == "max_tokens"
        self._speech.completed(key, event.content, seq)
        for use, found in provider_calls(event.content):
            self._calls.by_provider(key, use.id, use.name, use.input, found)
        for block in event.content:
            if isinstance(block, ToolUseBlock):
                self._calls.planned(key, block.id, block.name, block.input)

    def _asked(self, key: TextKey, event: ev.ApprovalRequested) -> None:
        by_call = event.call_id is not None and (event.kind == "tool" or event.kind == "question")
        if by_call:
            self._calls.asked(key, event)
        if not by_call or self._version < 6:
            self._cards.asked(event, key.stage or None)

    def _failed(self, event: ev.RunFailed | ev.RunExpired) -> None:
        code, state = (event.code, "failed") if isinstance(event, ev.RunFailed) else ("run_expired", "expired")
        error = {"code": code, "message": event.message}
        resume = event.resume.model_dump()
        chunk = {"type": "error", "errorText": event.message}
        self._end(chunk, state=state, error=error, resume=resume, usage=_usage(event.usage))


def _usage(usage: Usage) -> dict[str, object]:
    return {
        "inputTokens": usage.input_tokens,
        "outputTokens": usage.output_tokens,
        "cachedInputTokens": usage.cache_read_tokens,
        "costUsd": usage.cost_usd,
    }
