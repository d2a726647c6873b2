"""AG-UI's ordering rules (PROTOCOLS.md 1.3) and what a client makes of the events, written from the protocol, not from our code."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Client:
    """Takes events as JSON. Raises AssertionError at the first that breaks a rule."""

    messages: dict[str, Json] = field(default_factory=dict)
    state: Any = None
    runs: list[Json] = field(default_factory=list)
    """The last event of each."""
    running: Json | None = None
    open: set[tuple[str, str]] = field(default_factory=set)
    owners: dict[tuple[str, str], str | None] = field(default_factory=dict)
    announced: set[str] = field(default_factory=set)
    step_names: set[str] = field(default_factory=set)
    seen: list[str] = field(default_factory=list)

    def take(self, event: Json) -> None:
        kind = event["type"]
        self.seen.append(kind)
        assert None not in event.values(), f"null: {event}"
        if kind == "RUN_STARTED":
            assert self.running is None, "a run is active"
            self.running, self.open, self.owners = event, set(), {}
            self.announced, self.step_names = set(), set()
            for message in event.get("input", {}).get("messages", []):
                self.messages.setdefault(message["id"], message)
            return
        assert self.running is not None, f"{kind} outside of a run"
        handler = getattr(self, f"_{kind.lower()}")
        handler(event)

    @property
    def texts(self) -> dict[str, str]:
        return {m["id"]: m["content"] for m in self.messages.values() if m["role"] == "assistant" and m.get("content")}

    @property
    def calls(self) -> dict[str, Json]:
        return {call["id"]: call for m in self.messages.values() for call in m.get("toolCalls", [])}

    def results(self) -> dict[str, str]:
        return {m["toolCallId"]: m["content"] for m in self.messages.values() if m["role"] == "tool"}

    # --- rules ---------------------------------------------------------------------------------------------------------

    def _opens(self, what: str, name: str, event: Json) -> None:
        assert (what, name) not in self.open, f"opened twice: {event}"
        owner = event.get("subagentRunId")
        assert owner is None or ("subagent", owner) in self.open, f"not announced: {event}"
        known = self.owners.setdefault((what, name), owner)
        assert known == owner, f"another's: {event}"
        self.open.add((what, name))

    def _continues(self, what: str, name: str, event: Json) -> None:
        assert (what, name) in self.open, f"not open: {event}"
        owner = event.get("subagentRunId")
        assert owner in (None, self.owners[what, name]), f"another's: {event}"

    def _ends(self, what: str, name: str, event: Json) -> None:
        self._continues(what, name, event)
        self.open.remove((what, name))

    # --- the run ---------------------------------------------------------------------------------------------------------

    def _run_finished(self, event: Json) -> None:
        assert self.running is not None
        assert not self.open, f"left open: {self.open}"
        assert (event["threadId"], event["runId"]) == (self.running["threadId"], self.running["runId"])
        if event.get("outcome", {}).get("type") == "interrupt":
            assert event["outcome"]["interrupts"]
            for interrupt in event["outcome"]["interrupts"]:
                assert interrupt.get("toolCallId") is None or interrupt["toolCallId"] in self.calls
                assert interrupt.get("subagentRunId") in {None, *self.announced}
        if event.get("outcome", {}).get("type") == "success":
            assert self.calls.keys() <= self.results().keys(), (
                "calls without results would be taken for the client's own"
            )
        self.runs.append(event)
        self.running = None

    def _run_error(self, event: Json) -> None:
        assert event["message"]
        self.runs.append(event)
        self.running = None

    def _step_started(self, event: Json) -> None:
        assert event["stepName"] not in self.step_names, f"the same name again: {event}"
        self.step_names.add(event["stepName"])
        self._opens("step", event["stepName"], event)

    def _step_finished(self, event: Json) -> None:
        self._ends("step", event["stepName"], event)

    def _subagent_started(self, event: Json) -> None:
        name = event["subagentRunId"]
        assert name not in self.announced, f"used again: {event}"
        assert event.get("parentSubagentRunId") in {None, *self.announced}
        assert event.get("parentToolCallId") is None or event["parentToolCallId"] in self.calls
        self.announced.add(name)
        self.open.add(("subagent", name))
        self.owners["subagent", name] = event.get("parentSubagentRunId")

    def _subagent_finished(self, event: Json) -> None:
        name = event["subagentRunId"]
        assert ("subagent", name) in self.open
        inside = [one for one in self.open if self.owners.get(one) == name]
        assert not inside, f"left open: {inside}"
        self.open.remove(("subagent", name))

    _subagent_error = _subagent_finished

    # --- messages --------------------------------------------------------------------------------------------------------

    def _text_message_start(self, event: Json) -> None:
        self._opens("text", event["messageId"], event)
        message = self.messages.setdefault(event["messageId"], {"id": event["messageId"]})
        message |= {"role": "assistant", "content": message.get("content") or ""}

    def _text_message_content(self, event: Json) -> None:
        self._continues("text", event["messageId"], event)
        assert event["delta"], "empty"
        self.messages[event["messageId"]]["content"] += event["delta"]

    def _text_message_end(self, event: Json) -> None:
        self._ends("text", event["messageId"], event)

    def _reasoning_start(self, event: Json) -> None:
        self._opens("span", event["messageId"], event)

    def _reasoning_end(self, event: Json) -> None:
        self._ends("span", event["messageId"], event)

    def _reasoning_message_start(self, event: Json) -> None:
        self._opens("reasoning", event["messageId"], event)
        assert event["role"] == "reasoning"
        self.messages.setdefault(event["messageId"], {"id": event["messageId"], "role": "reasoning", "content": ""})

    def _reasoning_message_content(self, event: Json) -> None:
        self._continues("reasoning", event["messageId"], event)
        self.messages[event["messageId"]]["content"] += event["delta"]

    def _reasoning_message_end(self, event: Json) -> None:
        self._ends("reasoning", event["messageId"], event)

    def _tool_call_start(self, event: Json) -> None:
        self._opens("call", event["toolCallId"], event)
        assert event["toolCallId"] not in self.calls
        parent = event["parentMessageId"]
        assert self.owners.get(("text", parent)) in (None, event.get("subagentRunId"))
        message = self.messages.setdefault(parent, {"id": parent, "role": "assistant"})
        call = {"id": event["toolCallId"], "function": {"name": event["toolCallName"], "arguments": ""}}
        message.setdefault("toolCalls", []).append(call)

    def _tool_call_args(self, event: Json) -> None:
        self._continues("call", event["toolCallId"], event)
        self.calls[event["toolCallId"]]["function"]["arguments"] += event["delta"]

    def _tool_call_end(self, event: Json) -> None:
        self._ends("call", event["toolCallId"], event)

    def _tool_call_result(self, event: Json) -> None:
        assert event["toolCallId"] in self.calls and event["messageId"] not in self.messages
        assert ("call", event["toolCallId"]) not in self.open
        result = {"id": event["messageId"], "role": "tool", "toolCallId": event["toolCallId"]}
        self.messages[event["messageId"]] = {**result, "content": event["content"]}

    def _messages_snapshot(self, event: Json) -> None:
        given = {message["id"]: message for message in event["messages"]}
        assert len(given) == len(event["messages"])
        silent = {role for role in ("activity", "reasoning") if all(m["role"] != role for m in given.values())}
        kept = {name: m for name, m in self.messages.items() if name in given or m["role"] in silent}
        self.messages = {**kept, **json.loads(json.dumps(given))}
        for name, message in given.items():
            for what in ("text", "reasoning"):
                if (what, name) in self.open:
                    assert self.owners[what, name] == message.get("subagentRunId")

    # --- state -----------------------------------------------------------------------------------------------------------

    def _state_snapshot(self, event: Json) -> None:
        self.state = json.loads(json.dumps(event["snapshot"]))

    def _state_delta(self, event: Json) -> None:
        patch(self.state, event["delta"])

    def _activity_snapshot(self, event: Json) -> None:
        message = {"id": event["messageId"], "role": "activity", "content": json.loads(json.dumps(event["content"]))}
        self.messages[event["messageId"]] = message

    def _activity_delta(self, event: Json) -> None:
        patch(self.messages[event["messageId"]]["content"], event["patch"])

    def _custom(self, event: Json) -> None:
        assert event["name"]


def patch(whole: Any, operations: list[Json]) -> None:
    """Replace, and nothing else."""
    for operation in operations:
        assert operation["op"] == "replace"
        document = whole
        *path, last = operation["path"].split("/")[1:]
        for part in path:
            document = document[int(part)] if isinstance(document, list) else document[part]
        assert last in document if isinstance(document, dict) else int(last) < len(document)
        document[int(last) if isinstance(document, list) else last] = operation["value"]
