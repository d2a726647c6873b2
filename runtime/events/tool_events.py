"""Tools, and the sources they bring."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from runtime.events.attachments import Attachment
from runtime.events.base import EventData

Tag = Literal["reads_private", "untrusted", "sends_out"]
"""What a tool does to a conversation: shows it private data, shows it words of strangers, lets words leave."""

Taint = frozenset[Tag]
"""What a conversation has met so far; it only grows."""

EXPOSED: Taint = frozenset({"reads_private", "untrusted"})
"""All there is to meet; a conversation that has met both may no longer send anything out by itself."""


def guessed(kind: Literal["read", "idempotent", "at_most_once"]) -> tuple[Tag, ...]:
    """The tags of a tool that does not say them, on the careful side: ``read`` brings in all, the others send out."""
    return ("reads_private", "untrusted") if kind == "read" else ("untrusted", "sends_out")


class ToolCalled(EventData):
    """A tool is about to run."""

    type: Literal["tool.called"] = "tool.called"
    family = "object"
    call_id: str
    name: str
    title: str = ""
    icon: str = ""
    """An emoji, or the address of a picture; for people."""
    description: str = ""
    arguments: dict[str, Any]
    kind: Literal["read", "idempotent", "at_most_once"] = "read"
    tags: tuple[Tag, ...] | None = None
    """What the tool does to the conversation; null, as in older logs: to be guessed from its kind."""
    delegate: str | None = None
    """The agent that a task is given to; the events of its work carry this call in `call`."""

    @property
    def taint(self) -> Taint:
        """What the conversation has met by this call."""
        return EXPOSED.intersection(guessed(self.kind) if self.tags is None else self.tags)


class ToolCompleted(EventData):
    """What the tool answered."""

    type: Literal["tool.completed"] = "tool.completed"
    family = "object"
    call_id: str
    name: str
    title: str = ""
    icon: str = ""
    result: str
    """In words; each of ``attachments`` is named in it."""
    attachments: tuple[Attachment, ...] = Field(default=(), exclude_if=lambda attachments: not attachments)
    """Pictures and PDFs, which the model is shown."""
    is_error: bool = False
    ms: int = 0


class ToolOutcomeUnknown(EventData):
    """A tool may or may not have had its effect."""

    type: Literal["tool.outcome_unknown"] = "tool.outcome_unknown"
    family = "error"
    call_id: str
    name: str
    known: str


class ToolArgumentsInvalid(EventData):
    """The model wrote arguments that do not parse or do not fit; it is told, and may try again."""

    type: Literal["tool.arguments_invalid"] = "tool.arguments_invalid"
    family = "error"
    call_id: str
    name: str
    message: str


class CitationAdded(EventData):
    """A statement's source: ``quote`` stands in the document at ``location``."""

    type: Literal["citation.added"] = "citation.added"
    family = "object"
    source_id: str
    """The mark used in the text, such as ``1`` for ``[1]``; unique in its stage."""
    title: str
    location: str
    """Path and line, or page: ``guide.md:120`` or ``paper.pdf#page=3``."""
    quote: str
