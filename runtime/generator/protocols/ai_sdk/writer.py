"""What has been written of a message: the chunks of the event in hand, and, for clients that can reset a step, the step's.

Nothing said can be unsaid before version 7 of the client. From then on ``reset-step`` empties the current step; what of it still
stands is then said again. So steps begin only where nothing is open.
"""

from __future__ import annotations

from runtime.events.texts import TextKey
from runtime.generator.protocols.ai_sdk.chunks import Chunk

_MORE = {"text-delta": "delta", "reasoning-delta": "delta", "tool-input-delta": "inputTextDelta"}
"""Chunks of which a part has many, and the field they add to."""
_LEAVES_NO_PART = frozenset({"message-metadata", "start", "finish", "start-step", "finish-step", "error", "abort"})


class Writer:
    """Collects chunks; ``take`` gives those since the last time."""

    def __init__(self, *, resets: bool) -> None:
        """``resets``: the client knows ``reset-step``."""
        self._resets = resets
        self._new: list[Chunk] = []
        self._step: list[tuple[TextKey | None, Chunk, list[str]]] = []
        self._more: dict[tuple[str, str], list[str]] = {}
        self.step_empty = True
        """Whether nothing stands in the current step."""

    def put(self, chunk: Chunk, owner: TextKey | None = None) -> None:
        """Write a chunk; ``owner`` is the turn whose withdrawal takes it back."""
        self._new.append(chunk)
        if chunk["type"] in _LEAVES_NO_PART or chunk.get("transient"):
            return
        self.step_empty = False
        if self._resets:
            self._remember(chunk, owner)

    def take(self) -> list[Chunk]:
        """What was written since the last time."""
        new, self._new = self._new, []
        return new

    def start_step(self) -> None:
        """Begin a step."""
        self.put({"type": "start-step"})
        self._step.clear()
        self._more.clear()
        self.step_empty = True

    def finish_step(self) -> None:
        """End the step."""
        self.put({"type": "finish-step"})

    def take_back(self, owner: TextKey) -> bool:
        """Take back what a turn said; False when the client cannot."""
        if not self._resets:
            return False
        stands = [(who, _whole(chunk, more)) for who, chunk, more in self._step if who != owner]
        if len(stands) == len(self._step):
            return True
        self._step.clear()
        self._more.clear()
        self.put({"type": "reset-step"})
        for who, chunk in stands:
            self.put(chunk, who)
        return True

    def _remember(self, chunk: Chunk, owner: TextKey | None) -> None:
        field = _MORE.get(chunk["type"])
        if field is None:
            if chunk["type"] != "reset-step":
                self._step.append((owner, chunk, []))
            return
        place = chunk["type"], str(chunk.get("id") or chunk.get("toolCallId"))
        if (more := self._more.get(place)) is None:
            more = self._more[place] = []
            self._step.append((owner, chunk, more))
        more.append(chunk[field])


def _whole(chunk: Chunk, more: list[str]) -> Chunk:
    """A delta with all that the ones after it added."""
    return {**chunk, _MORE[chunk["type"]]: "".join(more)} if more else chunk
