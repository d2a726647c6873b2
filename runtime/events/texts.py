"""What the models are saying, as a fold of token events: text keyed by (stage, agent, turn, attempt).

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


class Texts:
    """All texts of a run; mutable, since tokens come by the thousand."""

    def __init__(self) -> None:
        self.texts: dict[TextKey, str] = {}
        self.withdrawn: set[TextKey] = set()

    def apply(self, envelope: Envelope) -> None:
        """Take in one event; others than turns are ignored."""
        event = envelope.event
        key = TextKey(envelope.stage or "", envelope.agent or "", envelope.turn or 0, envelope.attempt or 0)
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
        """The stage's text so far, its turns joined by blank lines."""
        own = (text.strip("\n") for key, text in sorted(self.texts.items()) if key.stage == stage)
        return "\n\n".join(text for text in own if text)
