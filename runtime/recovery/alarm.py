"""Alarms for operators, said once in a while however often the cause occurs. Pure: the time is passed in."""

from __future__ import annotations

from collections.abc import Hashable


class Alarms:
    """Which alarms are due; keys are few, such as the configured models."""

    def __init__(self, every_s: float = 60.0) -> None:
        self._every_s = every_s
        self._said: dict[Hashable, float] = {}

    def due(self, key: Hashable, now: float) -> bool:
        """Whether to say it now, in seconds of a monotonic clock; asking counts as having said it."""
        last = self._said.get(key)
        if last is not None and now - last < self._every_s:
            return False
        self._said[key] = now
        return True
