"""What of a run waits for a time of its own: stages whose model asked for a long pause, or its planning."""

from __future__ import annotations

from runtime.errors import Parked


class Parking:
    """By stage; planning under None."""

    def __init__(self) -> None:
        self._waits: dict[str | None, tuple[float, str]] = {}

    def __bool__(self) -> bool:
        return bool(self._waits)

    def park(self, what: str | None, parked: Parked, now: float) -> None:
        """Let ``what`` wait from ``now`` on, in seconds since the epoch."""
        self._waits[what] = (now + parked.wait_s, parked.message)

    def release(self, now: float) -> None:
        """Forget what may go on."""
        self._waits = {what: wait for what, wait in self._waits.items() if wait[0] > now}

    @property
    def stages(self) -> frozenset[str]:
        """The stages that wait."""
        return frozenset(stage for stage in self._waits if stage is not None)

    def next(self, otherwise: float) -> tuple[float, str]:
        """When the first of them may go on, but not later than ``otherwise``, and the words why it waits."""
        due, reason = min(self._waits.values(), default=(otherwise, ""))
        return min(due, otherwise), reason
