"""What the models are saying, as a fold of token events: text keyed by (stage, agent, turn, attempt, call).

The rule for every client: a superseded attempt's text is dropped; ``turn.completed`` replaces what the deltas said.
"""

from __future__ import annotations

from typing import NamedTuple

from runtime.events.catalog import TurnCompleted, TurnDelta, TurnSnapshot, TurnSuperseded
from runtime.events.envelope import Envelope
from runtime.events.messages import text_of


class TextKey(NamedTuple):
    """Whose words: sorts in the order of turns."""

    stage: str
    agent: str
    turn: int
    attempt: int
    call: str = ""
    """For a delegate's words: the call it answers. They are no part of the stage's own text."""

    @classmethod
    def of(cls, envelope: Envelope) -> TextKey:
        """Whose words an event of a turn is about."""
        e = envelope
        return cls(e.stage or "", e.agent or "", e.turn or 0, e.attempt or 0, e.call or "")


class Texts:
    """All texts of a run; mutable, since tokens come by the thousand."""

    def __init__(self) -> None:
        self.texts: dict[TextKey, str] = {}
        self.withdrawn: set[TextKey] = set()

    def apply(self, envelope: Envelope) -> None:
        """Take in one event; others than turns are ignored."""
        event = envelope.event
        key = TextKey.of(envelope)
        if isinstance(event, TurnDelta):
            if event.kind == "text":
                self.texts[key] = self.texts.get(key, "") + event.text
        elif isinstance(event, TurnCompleted) and event.purpose == "summary":
            return
        elif isinstance(event, TurnCompleted | TurnSnapshot):
            self.texts[key] = text_of(event.content)
        elif isinstance(event, TurnSuperseded):
            self.texts.pop(key, None)
            self.withdrawn.add(key)

    def of_stage(self, stage: str) -> str:
        """The stage's text so far, its turns joined by blank lines; what its delegates say is left out."""
        own = (text.strip("\n") for key, text in sorted(self.texts.items()) if key.stage == stage and not key.call)
        return "\n\n".join(text for text in own if text)
