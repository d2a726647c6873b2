"""Tool calls, as dynamic tool parts: begun by the model's words or by the call, ended by its outcome.

Tools run here, so their parts say ``providerExecuted``: a client must neither run them nor send the chat anew when they are done.
A question of an agent is the exception: it is a call that the person behind the client answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from runtime.events import catalog as ev
from runtime.events.calls import call_path
from runtime.events.texts import TextKey
from runtime.generator.protocols.ai_sdk.chunks import ClientVersion, named, ours
from runtime.generator.protocols.ai_sdk.writer import Writer
from runtime.tools.people import ASK_PERSON

NOT_FINISHED = "It did not come to an end."


@dataclass(slots=True)
class _Call:
    """A call without an outcome."""

    id: str
    """The part's: unique in the message."""
    name: str
    owner: TextKey
    state: Literal["planned", "writing", "ready", "asked"] = "planned"
    """``planned``: no part yet; ``writing``: its input is being written; ``ready``: whole; ``asked``: a person is asked."""
    input: Any = None
    """Any: the model chooses it."""
    approval: str = ""
    """What a person is asked under, with the hash of exactly what is agreed to: the answer carries both."""
    refused: bool = False
    """A person said no."""


class Calls:
    """The calls that have no outcome yet, by stage, turn and the model's own id."""

    def __init__(self, writer: Writer, version: ClientVersion) -> None:
        self._writer = writer
        self._version = version
        self._calls: dict[str, _Call] = {}
        self._over: set[str] = set()

    @property
    def open(self) -> bool:
        """Whether a part waits for its outcome."""
        return any(call.state != "planned" for call in self._calls.values())

    @property
    def asking(self) -> bool:
        """Whether a part waits for a person."""
        return any(call.state == "asked" for call in self._calls.values())

    def delta(self, key: TextKey, call_id: str, name: str, text: str) -> None:
        """More of an input that is being written."""
        if (call := self._of(key, call_id, name)) is None:
            return
        if call.state == "planned":
            self._start(call)
        if call.state == "writing":
            chunk = {"type": "tool-input-delta", "toolCallId": call.id, "inputTextDelta": text}
            self._writer.put(chunk, key)

    def planned(self, key: TextKey, call_id: str, name: str, value: object) -> None:
        """The turn is whole, and with it the call's input; whether it is made is still to be seen."""
        if (call := self._of(key, call_id, name)) is not None:
            call.input = value

    def called(self, key: TextKey, event: ev.ToolCalled) -> None:
        """The tool runs."""
        call = self._of(key, event.call_id, event.name)
        if call is not None and call.state in ("planned", "writing"):
            call.input = event.arguments
            about = ours(
                stage=key.stage or None, agent=key.agent or None, call=key.call or None, delegate=event.delegate,
                icon=event.icon or None,
            )  # fmt: skip
            self._available(call, title=event.title or None, providerMetadata=about)

    def asked(self, key: TextKey, event: ev.ApprovalRequested) -> None:
        """A person is asked about the call, or by it. A client of version 5 is asked by a card."""
        name = event.name or ASK_PERSON
        call = self._of(key, event.call_id or event.approval, name)
        if call is None or call.state == "asked":
            return
        if event.arguments is not None:
            call.input = event.arguments
        elif event.kind == "question":
            call.input = {"question": event.what, "options": list(event.options)}
        if call.state in ("planned", "writing"):
            self._available(call)
        call.state, call.approval = "asked", f"{event.approval}#{event.arguments_hash}"
        if event.kind == "tool" and self._version >= 6:
            asked = {"type": "tool-approval-request", "approvalId": call.approval, "toolCallId": call.id}
            self._writer.put(asked | named(reason=event.reason or None))

    def given(self, event: ev.ApprovalGiven) -> None:
        """A person has answered."""
        call = self._calls.get(event.approval)
        if call is None or call.state != "asked":
            return
        call.refused = not event.approved
        if self._version >= 7 and call.name != ASK_PERSON:
            self._writer.put(
                {"type": "tool-approval-response", "approvalId": call.approval, "approved": event.approved}
                | named(reason=event.text or None)
            )

    def completed(self, key: TextKey, event: ev.ToolCompleted) -> None:
        """What the tool answered."""
        if (call := self._ending(key, event.call_id, event.name, event.title or None)) is None:
            return
        if call.refused and self._version >= 6 and call.name != ASK_PERSON:
            self._writer.put({"type": "tool-output-denied", "toolCallId": call.id})
        elif event.is_error:
            self._failed(call, event.result)
        else:
            self._output(call, event.result)

    def unknown(self, key: TextKey, event: ev.ToolOutcomeUnknown) -> None:
        """Nobody can say what the tool did."""
        if (call := self._ending(key, event.call_id, event.name)) is not None:
            self._failed(call, f"The outcome of this call is unknown: {event.known}")

    def invalid(self, key: TextKey, event: ev.ToolArgumentsInvalid) -> None:
        """The arguments cannot be used."""
        if (call := self._of(key, event.call_id, event.name)) is not None:
            self._end(call, event.message)
            self._over.add(call.id)

    def by_provider(self, key: TextKey, call_id: str, name: str, value: object, output: object) -> None:
        """A tool that the model's provider has run itself."""
        self.planned(key, call_id, name, value)
        if (call := self._ending(key, call_id, name)) is not None:
            self._output(call, output)

    def withdrawn(self, key: TextKey) -> None:
        """The turn does not count, and neither do the calls it was writing: to be said after its words are withdrawn."""
        for place, call in list(self._calls.items()):
            if call.owner != key or call.state not in ("planned", "writing"):
                continue
            if self._version >= 7:  # it went with the turn's words
                del self._calls[place]
            else:
                self._end(call, "The model began anew.")

    def close_stage(self, stage: str) -> None:
        """The stage is over: none of its calls comes to an end any more."""
        self._close(lambda call: call.owner.stage == stage)

    def close_all(self, *, but_asked: bool = False) -> None:
        """Nothing more comes; ``but_asked``: but for what people are asked."""
        self._close(lambda call: not (but_asked and call.state == "asked"))

    def _close(self, which: Any) -> None:  # Any: a predicate over calls
        for call in [call for call in self._calls.values() if which(call)]:
            self._end(call, NOT_FINISHED)
            self._over.add(call.id)

    def _of(self, key: TextKey, call_id: str, name: str) -> _Call | None:
        """The call, if it has no outcome yet; what is said of it after its outcome changes nothing."""
        place = _id(key, call_id)
        if place in self._over:
            return None
        if (call := self._calls.get(place)) is None:
            call = self._calls[place] = _Call(place, name, key)
        return call

    def _start(self, call: _Call) -> None:
        start = {"type": "tool-input-start", "toolCallId": call.id, "toolName": call.name, "dynamic": True}
        self._writer.put(start | {"providerExecuted": self._ours(call)}, call.owner)
        call.state = "writing"

    def _available(self, call: _Call, **more: object) -> None:
        if call.state == "planned":
            self._start(call)
        whole = {"type": "tool-input-available", "toolCallId": call.id, "toolName": call.name, "input": call.input}
        whole |= {"dynamic": True, "providerExecuted": self._ours(call)}
        self._writer.put(whole | named(**more))
        call.state = "ready"

    def _ending(self, key: TextKey, call_id: str, name: str, title: str | None = None) -> _Call | None:
        """The call whose outcome is to be written; its part is made whole first, if it is not."""
        if (call := self._of(key, call_id, name)) is None:
            return None
        self._over.add(call.id)
        if call.state in ("planned", "writing"):
            self._available(call, title=title)
        del self._calls[call.id]
        return call

    def _end(self, call: _Call, why: str) -> None:
        del self._calls[call.id]
        if call.state == "planned":
            return
        if call.state != "writing":
            self._failed(call, why)
            return
        failed = {"type": "tool-input-error", "toolCallId": call.id, "toolName": call.name, "input": call.input}
        self._writer.put(failed | {"dynamic": True, "providerExecuted": True, "errorText": why})

    def _ours(self, call: _Call) -> bool:
        """Whether it runs here. A client of version 5 cannot answer a dynamic tool, so there a card asks."""
        return call.name != ASK_PERSON or self._version < 6

    # Also a question says ``providerExecuted`` in the end: the client would send an answer that stands last again and again.
    # And version 5 looks for the part among static tools when ``dynamic`` is not said again.

    def _output(self, call: _Call, output: object) -> None:
        ended = {"type": "tool-output-available", "toolCallId": call.id, "output": output}
        self._writer.put(ended | {"dynamic": True, "providerExecuted": True})

    def _failed(self, call: _Call, why: str) -> None:
        ended = {"type": "tool-output-error", "toolCallId": call.id, "errorText": why}
        self._writer.put(ended | {"dynamic": True, "providerExecuted": True})


def _id(key: TextKey, call_id: str) -> str:
    """As approvals are named: some servers number the calls of each turn anew, so the model's own id is not enough."""
    return f"{key.stage}:{call_path(key.call or None, key.turn, call_id)}"
