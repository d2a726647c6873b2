"""The events of a run as lines of JSON (``application/x-ndjson``): for programs that read lines, such as ``jq``. Pure.

The rules are those of the event stream. An empty line stands for silence and for a store that is away, and comes first, before
any event. What an ``EventSource`` needs is left out: a stream that cannot be begun is refused (429, 503), and one that cannot go
on is broken off, since a clean end without a terminal event would pass for success.
"""

from __future__ import annotations

from collections.abc import Mapping

from runtime.errors import Busy, StoreUnavailable
from runtime.events.codec import public_json
from runtime.events.envelope import Stored
from runtime.generator.accept import NDJSON
from runtime.generator.sse import HEADERS
from runtime.stream.view import View

SILENCE = b"\n"


class Lines:
    """Each event a line of JSON; its ``seq`` and ``epoch`` are its cursor."""

    headers: Mapping[str, str] = {**HEADERS, "Content-Type": NDJSON}
    opening = SILENCE
    over = False

    def __init__(self, view: View | None = None) -> None:
        self._view = view or View()

    def bytes_of(self, batch: list[Stored] | None) -> bytes:
        """Lines; an empty one for silence."""
        if not batch:
            return SILENCE
        return b"".join(public_json(self._view.shown(stored)) + b"\n" for stored in batch)

    def farewell(self, error: Busy | StoreUnavailable | None) -> bytes:
        """Raises ``error``: that breaks the connection off."""
        if error is not None:
            raise error
        return b""
