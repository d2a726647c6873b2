"""What is open in an AG-UI run. Everything must be closed before the run finishes, and nothing may be closed twice.

The order of closing is the other way round: messages, reasoning and calls, then sub-agents from the inside out, then steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ag_ui.core import events as ag


@dataclass(frozen=True, slots=True)
class Subagent:
    """One invocation of an agent."""

    key: str
    """Whose work it is: a planning agent's, a stage's, or a delegated call's."""
    id: str
    """Never used again in the run."""
    stage: str | None


@dataclass(slots=True)
class Opened:
    """By id. ``Opened`` says what closes them; it changes nothing but itself."""

    texts: dict[str, str | None] = field(default_factory=dict)
    """Message -> its stage."""
    reasoning: dict[str, str | None] = field(default_factory=dict)
    calls: dict[str, str | None] = field(default_factory=dict)
    """Tool call -> its stage."""
    subagents: dict[str, Subagent] = field(default_factory=dict)
    """By key."""
    steps: dict[str, str] = field(default_factory=dict)
    """Stage -> the name of its step."""

    def close_text(self, message_id: str) -> Iterator[ag.BaseEvent]:
        """Its end, if it is open."""
        if message_id in self.texts:
            del self.texts[message_id]
            yield ag.TextMessageEndEvent(message_id=message_id)

    def close_reasoning(self, message_id: str) -> Iterator[ag.BaseEvent]:
        """Its end, and that of its span, if it is open."""
        if message_id in self.reasoning:
            del self.reasoning[message_id]
            yield ag.ReasoningMessageEndEvent(message_id=message_id)
            yield ag.ReasoningEndEvent(message_id=message_id)

    def close_call(self, call_id: str) -> Iterator[ag.BaseEvent]:
        """The end of its arguments, if it is open."""
        if call_id in self.calls:
            del self.calls[call_id]
            yield ag.ToolCallEndEvent(tool_call_id=call_id)

    def close_within(self, stage: str | None, prefix: str = "") -> Iterator[ag.BaseEvent]:
        """Every message, reasoning and call of a stage whose id begins with ``prefix``."""
        for call in [c for c, where in self.calls.items() if where == stage and c.startswith(prefix)]:
            yield from self.close_call(call)
        for message in [m for m, where in self.reasoning.items() if where == stage and m.startswith(prefix)]:
            yield from self.close_reasoning(message)
        for message in [m for m, where in self.texts.items() if where == stage and m.startswith(prefix)]:
            yield from self.close_text(message)

    def close_step(self, stage: str) -> Iterator[ag.BaseEvent]:
        """The end of a stage's step, if it is open."""
        if (name := self.steps.pop(stage, None)) is not None:
            yield ag.StepFinishedEvent(step_name=name)

    def inner_first(self, stage: str | None = None) -> list[Subagent]:
        """The open sub-agents, of one stage or all, those that were begun last first."""
        found = [one for one in self.subagents.values() if stage is None or one.stage == stage]
        return found[::-1]
