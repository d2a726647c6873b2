"""What a person attaches to a question: pictures, PDFs, texts. Kept with the run's first event."""

from __future__ import annotations

from typing import Literal

from runtime.events.base import EventData

WITHOUT = frozenset({"offline", "local", "scripted"})
"""Adapters whose models read words only."""


class Attachment(EventData):
    """One file, by its bytes or by its address."""

    family = "status"
    type: Literal["image", "pdf", "text"]
    media_type: str = ""
    """Empty when only the address is known."""
    data: str | None = None
    """Its bytes in base64."""
    url: str | None = None
    name: str = ""
    """What people call it; may be empty."""


def takes_attachments(model: str) -> bool:
    """Whether a model, as ``adapter:name``, can be shown attachments."""
    return model.partition(":")[0] not in WITHOUT


def called(attachments: tuple[Attachment, ...]) -> tuple[str, ...]:
    """Their names, for people and models; those without one are numbered."""
    return tuple(one.name or f"{one.type} {number}" for number, one in enumerate(attachments, start=1))
