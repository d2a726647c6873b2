"""The bytes of an AG-UI stream: one or several runs of a thread, each event a ``data:`` line, LF only.

The last frame of an event of ours carries its cursor as ``id:``, which AG-UI ignores. A stream that ends without a terminal event
would pass for success; so when the door cannot go on, the client is told with ``RUN_ERROR``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ag_ui.core import events as ag
from ag_ui.encoder import EventEncoder

from runtime import __version__
from runtime.errors import Busy, StoreUnavailable
from runtime.events import catalog as ev
from runtime.events.codec import UnknownEvent, decode
from runtime.events.envelope import Envelope, Stored
from runtime.generator.protocols.ag_ui.projection import Projection, Reader
from runtime.generator.sse import HEADERS, HEARTBEAT, STORE_UNAVAILABLE, cursor_of
from runtime.stream.view import View
from runtime.telemetry import logger

_log = logger("generator.ag_ui")
_encoder = EventEncoder()


class Thread:
    """The runs of a thread, one after another, as AG-UI events."""

    def __init__(self, reader: Reader, *, after: int = 0, until: tuple[str, int] = ("", 0)) -> None:
        """``after``: of a run that is gone on with, what was shown before. ``until``: ``(run, seq)``, an interrupt of that run
        at or after that number is the last that there is to say."""
        self._reader = reader
        self._after = after
        self._until = until
        self._projection = Projection(reader)
        self._runs = 0
        self.over = False
        """Nothing follows before a person has answered."""

    @property
    def active(self) -> bool:
        """An AG-UI run has begun and not finished."""
        return self._projection.active

    def of(self, envelope: Envelope) -> list[ag.BaseEvent]:
        """What the next event is to the reader."""
        if isinstance(envelope.event, ev.RunAccepted):
            before = (*self._reader.before, *self._projection.messages)
            self._projection = Projection(
                replace(self._reader, before=before, clear=self._reader.clear and not self._runs)
            )
            self._runs += 1
        events = self._projection.of(envelope)
        if envelope.seq <= self._after:
            return []
        run_id, seq = self._until
        self.over = envelope.run_id == run_id and envelope.seq >= seq and bool(events) and _interrupts(events[-1])
        return events


class AgUi:
    """The framing of an AG-UI stream, see ``runtime.generator.stream.Framing``."""

    headers: Mapping[str, str] = HEADERS
    opening = f": headrace {__version__}: AG-UI\n\n".encode()

    def __init__(self, thread: Thread, view: View) -> None:
        self._thread = thread
        self._view = view
        self._said = False

    @property
    def over(self) -> bool:
        return self._thread.over

    def bytes_of(self, batch: list[Stored] | None) -> bytes:
        """Frames; a comment for silence, another while the store is away. Nothing follows an interrupt."""
        if not batch:
            return STORE_UNAVAILABLE if batch is None else HEARTBEAT
        found: list[bytes] = []
        for stored in map(self._view.shown, batch):
            found += self._frames(stored)
            if self._thread.over:
                break
        self._said = self._said or bool(found)
        return b"".join(found)

    def farewell(self, error: Busy | StoreUnavailable | None) -> bytes:
        """The error, where a run is under way or nothing was said yet."""
        if self._said and not self._thread.active:
            return b""
        words = "The run can no longer be followed from here. It is not lost: connect again."
        return _bytes(ag.RunErrorEvent(message=words, code=error.code if error is not None else "busy"))

    def _frames(self, stored: Stored) -> list[bytes]:
        try:
            envelope = decode(stored)
        except UnknownEvent as error:  # written by a newer version; clients pass such events over, and so do we
            _log.warning("an event is left out: %s", error)
            return []
        frames = [_bytes(event) for event in self._thread.of(envelope)]
        if frames:
            frames[-1] = b"id: %s\n" % str(cursor_of(stored)).encode() + frames[-1]
        return frames


def _bytes(event: ag.BaseEvent) -> bytes:
    return _encoder.encode(event).encode()


def _interrupts(event: ag.BaseEvent) -> bool:
    return isinstance(event, ag.RunFinishedEvent) and isinstance(event.outcome, ag.RunFinishedInterruptOutcome)
