"""What agents say and do: turns as messages and reasoning, tools as tool calls, each opened when there is first something of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from ag_ui.core import events as ag

from runtime.events import catalog as ev
from runtime.events.calls import call_path
from runtime.events.envelope import Envelope
from runtime.events.messages import text_of
from runtime.generator.protocols.ag_ui.opened import Opened
from runtime.generator.protocols.ag_ui.transcript import Transcript
from runtime.generator.protocols.ag_ui.work import Work

Where = tuple[str | None, str | None, int | None]
"""A turn: its stage, the call it works for, its number."""


class Turns:
    """The turns of one run. Every method gives events whose stage is announced already."""

    def __init__(self, opened: Opened, transcript: Transcript, work: Work) -> None:
        self._opened = opened
        self._transcript = transcript
        self._work = work
        self._attempts: dict[Where, int] = {}
        self._thoughts: dict[str, int] = {}
        self._answered: set[str] = set()
        self.calls: dict[str, str] = {}
        """AG-UI's ids of calls, by where they stand: the stage and the path of the call."""

    def said(self, envelope: Envelope, event: ev.TurnDelta) -> Iterator[ag.BaseEvent]:
        """A piece of a turn."""
        message_id = self._message_id(envelope)
        if event.kind == "thinking":
            yield from self._thought(envelope, message_id, event.text)
            return
        yield from self._end_thought(message_id)
        if event.kind == "text":
            yield from self._text(envelope, message_id, event.text)
        elif event.call_id is not None and event.name is not None:
            yield from self._input(envelope, event.call_id, event.name, event.text)

    def completed(self, envelope: Envelope, event: ev.TurnCompleted | ev.TurnSnapshot) -> Iterator[ag.BaseEvent]:
        """The canonical text; what was streamed of it stands."""
        message_id = self._message_id(envelope)
        yield from self._end_thought(message_id)
        text, shown = text_of(event.content), self._transcript.text(message_id)
        if text.startswith(shown):
            yield from self._text(envelope, message_id, text[len(shown) :])
        yield from self._end(envelope, message_id)
        if not text.startswith(shown):
            self._transcript.replace(message_id, text)
            yield ag.MessagesSnapshotEvent(messages=self._transcript.messages())

    def failed(self, envelope: Envelope) -> Iterator[ag.BaseEvent]:
        """What was said stands, and is over."""
        yield from self._end(envelope, self._message_id(envelope))

    def superseded(self, envelope: Envelope) -> Iterator[ag.BaseEvent]:
        """What was said is taken back."""
        message_id = self._message_id(envelope)
        yield from self._end(envelope, message_id)
        thoughts = range(1, self._thoughts.pop(message_id, 0) + 1)
        if self._transcript.withdraw([message_id, *(_thought_id(message_id, n) for n in thoughts)]):
            yield ag.MessagesSnapshotEvent(messages=self._transcript.messages())
        prefix = f"{envelope.stage}/{call_path(envelope.call, envelope.turn or 0, '')}"
        self.calls = {where: call for where, call in self.calls.items() if not where.startswith(prefix)}

    def called(
        self, envelope: Envelope, call_id: str, name: str, arguments: dict[str, Any] | None
    ) -> Iterator[ag.BaseEvent]:
        """A call that is whole; nothing when its arguments were streamed."""
        key = self.key(envelope, call_id)
        if key not in self.calls:
            text = "" if arguments is None else orjson.dumps(arguments).decode()
            yield from self._input(envelope, call_id, name, text)
        yield from self._opened.close_call(self.calls[key])

    def answered(
        self, envelope: Envelope, call_id: str, name: str, content: str, *, is_error: bool
    ) -> Iterator[ag.BaseEvent]:
        """The result of a call, once."""
        yield from self.called(envelope, call_id, name, None)
        key = self.key(envelope, call_id)
        name = self.calls[key]
        if name in self._answered:
            return
        self._answered.add(name)
        yield from self._work.end_delegate(envelope, key, (content, "delegate_failed") if is_error else None)
        yield ag.ToolCallResultEvent(
            message_id=f"{name}/result",
            tool_call_id=name,
            content=content,
            role="tool",
            subagent_run_id=self._work.of(envelope),
            metadata={"headrace": {"isError": True}} if is_error else None,
        )

    def key(self, envelope: Envelope, call_id: str) -> str:
        """Where a call stands."""
        return f"{envelope.stage}/{call_path(envelope.call, envelope.turn or 0, call_id)}"

    def _text(self, envelope: Envelope, message_id: str, text: str) -> Iterator[ag.BaseEvent]:
        if not text:
            return
        if message_id not in self._opened.texts:
            self._opened.texts[message_id] = envelope.stage
            yield ag.TextMessageStartEvent(
                message_id=message_id, role="assistant", name=envelope.agent, subagent_run_id=self._work.of(envelope)
            )
        yield ag.TextMessageContentEvent(message_id=message_id, delta=text)

    def _thought(self, envelope: Envelope, message_id: str, text: str) -> Iterator[ag.BaseEvent]:
        if not text:
            return
        current = _thought_id(message_id, self._thoughts.get(message_id, 0))
        if current not in self._opened.reasoning:
            self._thoughts[message_id] = self._thoughts.get(message_id, 0) + 1
            current = _thought_id(message_id, self._thoughts[message_id])
            self._opened.reasoning[current] = envelope.stage
            owner = self._work.of(envelope)
            yield ag.ReasoningStartEvent(message_id=current, subagent_run_id=owner)
            yield ag.ReasoningMessageStartEvent(message_id=current, role="reasoning", subagent_run_id=owner)
        yield ag.ReasoningMessageContentEvent(message_id=current, delta=text)

    def _input(self, envelope: Envelope, call_id: str, name: str, text: str) -> Iterator[ag.BaseEvent]:
        key = self.key(envelope, call_id)
        if key not in self.calls:
            attempt = self._attempts.get(_where(envelope), 1)
            self.calls[key] = call = f"{envelope.run_id}/{key}" + _suffix(attempt)
            self._opened.calls[call] = envelope.stage
            yield ag.ToolCallStartEvent(
                tool_call_id=call,
                tool_call_name=name,
                parent_message_id=self._message_id(envelope),
                subagent_run_id=self._work.of(envelope),
            )
        if text and self.calls[key] in self._opened.calls:
            yield ag.ToolCallArgsEvent(tool_call_id=self.calls[key], delta=text)

    def _end_thought(self, message_id: str) -> Iterator[ag.BaseEvent]:
        yield from self._opened.close_reasoning(_thought_id(message_id, self._thoughts.get(message_id, 0)))

    def _end(self, envelope: Envelope, message_id: str) -> Iterator[ag.BaseEvent]:
        """Close all of a turn."""
        yield from self._end_thought(message_id)
        prefix = self.key(envelope, "")
        for where, call in self.calls.items():
            if where.startswith(prefix) and "/" not in where[len(prefix) :]:  # not those of its delegates
                yield from self._opened.close_call(call)
        yield from self._opened.close_text(message_id)

    def _message_id(self, envelope: Envelope) -> str:
        """The turn's message; its calls stand in it."""
        where = _where(envelope)
        if envelope.attempt is not None:
            self._attempts[where] = envelope.attempt
        place = f"{envelope.stage}/{envelope.call}" if envelope.call else envelope.stage
        return f"{envelope.run_id}/{place}/{envelope.turn}" + _suffix(self._attempts.get(where, 1))


def _where(envelope: Envelope) -> Where:
    return envelope.stage, envelope.call, envelope.turn


def _suffix(attempt: int) -> str:
    return f"@{attempt}" if attempt > 1 else ""


def _thought_id(message_id: str, number: int) -> str:
    return f"{message_id}/thinking" + (f"-{number}" if number > 1 else "")
