"""Tools, and the sources they bring."""

from __future__ import annotations

from typing import Any, Literal

from runtime.events.base import EventData


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


class ToolCompleted(EventData):
    """What the tool answered."""

    type: Literal["tool.completed"] = "tool.completed"
    family = "object"
    call_id: str
    name: str
    title: str = ""
    icon: str = ""
    result: str
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
