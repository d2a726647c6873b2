"""What a client has after the AG-UI events so far: its messages, as the reference client builds them.

A ``MESSAGES_SNAPSHOT`` deletes every message it leaves out, so it must be complete; this is what it is made of. Also which calls
have no result yet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from ag_ui.core import events as ag
from ag_ui.core import types as agt


@dataclass(slots=True)
class _Call:
    """A tool call in a message."""

    name: str
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Streamed:
    """A message of the assistant, or its reasoning, that came in pieces."""

    reasoning: bool = False
    name: str | None = None
    owner: str | None = None
    pieces: list[str] = field(default_factory=list)
    calls: dict[str, _Call] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(self.pieces)


class Transcript:
    """Messages in order, by id; mutable, since tokens come by the thousand."""

    def __init__(self, before: Iterable[agt.Message] = ()) -> None:
        self._messages: dict[str, _Streamed | agt.Message] = {message.id: message for message in before}
        self._calls: dict[str, str] = {}
        self._emptied: str | None = None
        self.unanswered: dict[str, str | None] = {}
        """Calls without a result -> the sub-agent whose they are."""

    def add(self, message: agt.Message) -> None:
        """A message that came whole, unless it is there already."""
        self._messages.setdefault(message.id, message)

    def apply(self, event: ag.BaseEvent) -> None:
        """Take in one event; others than those of messages are ignored."""
        match event:
            case ag.TextMessageStartEvent():
                message = self._streamed(event.message_id, event.subagent_run_id)
                message.name = event.name
            case ag.ReasoningMessageStartEvent():
                self._streamed(event.message_id, event.subagent_run_id).reasoning = True
            case ag.TextMessageContentEvent() | ag.ReasoningMessageContentEvent():
                self._streamed(event.message_id).pieces.append(event.delta)
            case ag.ToolCallStartEvent():
                self._called(event)
            case ag.ToolCallArgsEvent():
                message = self._streamed(self._calls[event.tool_call_id])
                message.calls[event.tool_call_id].arguments.append(event.delta)
            case ag.ToolCallResultEvent():
                self._answered(event)
            case _:
                pass

    def withdraw(self, ids: Collection[str]) -> bool:
        """Forget messages, with their calls and the results of those; False when there is none of them."""
        gone = {name for name in ids if name in self._messages}
        calls = {call for call, message in self._calls.items() if message in gone}
        results = {m.id for m in self._messages.values() if isinstance(m, agt.ToolMessage) and m.tool_call_id in calls}
        for name in gone | results:
            message = self._messages.pop(name)
            if isinstance(message, _Streamed) and message.reasoning:
                self._emptied = name
        for call in calls:
            del self._calls[call]
            self.unanswered.pop(call, None)
        return bool(gone)

    def replace(self, message_id: str, text: str) -> None:
        """The canonical text of a message that was streamed otherwise."""
        self._streamed(message_id).pieces = [text]

    def text(self, message_id: str) -> str:
        """What a message says so far."""
        message = self._messages.get(message_id)
        return message.text if isinstance(message, _Streamed) else ""

    def says(self, text: str) -> bool:
        """Whether a message that was streamed here says exactly this, white space around it aside."""
        streamed = (m for m in self._messages.values() if isinstance(m, _Streamed) and not m.reasoning)
        return any(message.text.strip() == text.strip() for message in streamed)

    def messages(self) -> list[agt.Message]:
        """All of them. Reasoning that is no more is emptied: a snapshot without any would leave it standing."""
        found = [_whole(n, m) if isinstance(m, _Streamed) else m for n, m in self._messages.items()]
        if self._emptied is not None and not any(isinstance(m, agt.ReasoningMessage) for m in found):
            found.append(agt.ReasoningMessage(id=self._emptied, content=""))
        return found

    def _streamed(self, message_id: str, owner: str | None = None) -> _Streamed:
        message = self._messages.get(message_id)
        if not isinstance(message, _Streamed):
            message = self._messages[message_id] = _Streamed(owner=owner)
        return message

    def _called(self, event: ag.ToolCallStartEvent) -> None:
        message_id = event.parent_message_id or event.tool_call_id
        self._streamed(message_id, event.subagent_run_id).calls[event.tool_call_id] = _Call(event.tool_call_name)
        self._calls[event.tool_call_id] = message_id
        self.unanswered[event.tool_call_id] = event.subagent_run_id

    def _answered(self, event: ag.ToolCallResultEvent) -> None:
        result = agt.ToolMessage(id=event.message_id, tool_call_id=event.tool_call_id, content=event.content)
        if event.subagent_run_id is not None:
            result.subagent_run_id = event.subagent_run_id
        self._messages[event.message_id] = result
        self.unanswered.pop(event.tool_call_id, None)


def _whole(message_id: str, message: _Streamed) -> agt.Message:
    owner, text = message.owner, message.text
    if message.reasoning:
        return agt.ReasoningMessage(id=message_id, content=text, subagent_run_id=owner)
    calls = [
        agt.ToolCall(id=name, type="function", function=agt.FunctionCall(name=c.name, arguments="".join(c.arguments)))
        for name, c in message.calls.items()
    ]
    return agt.AssistantMessage(
        id=message_id, name=message.name, content=text or None, tool_calls=calls or None, subagent_run_id=owner
    )
