"""What AG-UI has no word for: ``CUSTOM`` events, with the fields that the native API gives."""

from __future__ import annotations

from typing import Any

from ag_ui.core import CustomEvent

from runtime.events import catalog as ev
from runtime.events.envelope import Envelope

_TOO_LONG = {"output", "context"}
"""Of a stage that was carried over: texts that the thread has already."""


def custom(envelope: Envelope) -> CustomEvent:
    """A user's own event under its own name; any other as ``headrace.<type>``, with its place and its data."""
    event = envelope.event
    if isinstance(event, ev.Custom):
        return CustomEvent(name=event.name, value=event.value)
    places = ("stage", "agent", "turn", "attempt", "call")
    place: dict[str, Any] = {name: value for name in places if (value := getattr(envelope, name)) is not None}
    left_out = {"type", *(_TOO_LONG if isinstance(event, ev.StageCompleted) else ())}
    return CustomEvent(
        name=f"headrace.{event.type}", value={**place, **event.model_dump(mode="json", exclude=left_out)}
    )
