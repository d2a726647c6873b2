"""A projection as one response: from which event on it is shown, where it ends, and what is said when it cannot go on.

A response to a new message begins with the run; one to an answer begins after the wait that was answered; a resumed stream begins
with the run again. Each ends with the run, or where it waits for people *now*: a wait that lies behind a resumed stream is no end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from runtime import __version__
from runtime.errors import Busy, StoreUnavailable
from runtime.events import catalog as ev
from runtime.events.codec import UnknownEvent, decode
from runtime.events.envelope import Stored
from runtime.generator.protocols.ai_sdk.chunks import DONE, HEADERS, Chunk, ClientVersion, frame
from runtime.generator.protocols.ai_sdk.projection import Projection
from runtime.generator.sse import HEARTBEAT, STORE_UNAVAILABLE
from runtime.stream.view import View

VERSION_KEY: Final = "ai-sdk.version"
"""In a run's metadata: what its client said of itself, so that every replay is the same."""


class UiMessageStream:
    """The UI message stream of one run, as a :class:`runtime.generator.stream.Framing`."""

    headers: Mapping[str, str] = HEADERS
    opening = f": headrace {__version__}: a UI message stream\n\n".encode()

    def __init__(self, view: View, *, rests_from: int, after: int = 0) -> None:
        """``rests_from``: a wait for people at this event or later ends it. ``after``: only later events are shown."""
        self._view = view
        self._rests_from = rests_from
        self._after = after
        self._projection: Projection | None = None
        self.over = False

    def bytes_of(self, batch: list[Stored] | None) -> bytes:
        """Frames of chunks; a comment for silence, another while the store is away."""
        if batch is None:
            return STORE_UNAVAILABLE
        if not batch:
            return HEARTBEAT
        frames = [frame(chunk) for stored in batch for chunk in self._shown(stored)]
        return b"".join([*frames, DONE] if self.over else frames) or HEARTBEAT

    def farewell(self, error: Busy | StoreUnavailable | None) -> bytes:
        """An error: a client takes a stream that just ends for a whole answer."""
        words = "This answer cannot be followed just now; reload to go on."
        if isinstance(error, StoreUnavailable):
            words = "The store of the runs cannot be reached; reload to go on."
        return frame({"type": "error", "errorText": words}) + DONE

    def _shown(self, stored: Stored) -> list[Chunk]:
        """The chunks of one event in this response."""
        if self.over:
            return []
        if self._projection is None:
            self._projection = Projection(version_of(stored))
        projection = self._projection
        chunks = projection.project(self._view.shown(stored))
        if stored.seq < self._after:
            return []
        if stored.seq == self._after:
            return [] if projection.at_rest == "waiting" else projection.reopen()
        waits = projection.at_rest == "waiting" and stored.seq >= self._rests_from
        self.over = waits or projection.at_rest == "ended"
        return chunks


def version_of(accepted: Stored) -> ClientVersion:
    """The client's version, by a run's first event."""
    try:
        event = decode(accepted).event
    except UnknownEvent:
        return 6
    said = event.input.metadata.get(VERSION_KEY) if isinstance(event, ev.RunAccepted) else None
    match said:
        case "5":
            return 5
        case "7":
            return 7
        case _:
            return 6
