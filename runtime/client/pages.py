"""What comes in pages."""

from __future__ import annotations

from typing import NamedTuple

from runtime.client.events import RunEvent


class EventPage(NamedTuple):
    """Some events of a run in order, and where to go on."""

    events: tuple[RunEvent, ...]
    next_after: str
    """Give this as ``after`` for the next page."""
    finished: bool
    """Nothing more will come."""
