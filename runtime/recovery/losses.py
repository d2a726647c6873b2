"""How often a stage lost its agent's process, and whether the stage itself is to blame.

Many stages share an agent's process, and one poisonous tool takes it from all of them. So a loss counts against a stage
only when a tool call of its own was under way, and only as long as it makes no progress between losses.
"""

from __future__ import annotations

from runtime.recovery.policy import LossPolicy

INNOCENT = 20
"""Losses without progress and without a tool call under way before a stage is given up all the same."""


class Losses:
    """Counted per stage by its driver."""

    def __init__(self, policy: LossPolicy) -> None:
        self._policy = policy
        self._progress: tuple[int, ...] = (0, 0)
        self._blamed = 0
        self._idle = 0
        self.total = 0

    def count(self, *, progress: tuple[int, ...], calling: bool) -> None:
        """One more loss, at that progress (turns completed, tool calls answered), a tool call under way or not."""
        self.total += 1
        if progress > self._progress:
            self._progress, self._blamed, self._idle = progress, 0, 0
        self._idle += 1
        self._blamed += calling

    @property
    def too_many(self) -> bool:
        """Whether the stage is not to be tried again."""
        return self._policy.give_up(self._blamed) or self._idle >= INNOCENT

    @property
    def most(self) -> int:
        """How many losses are borne while a tool call is under way."""
        return self._policy.attempts

    @property
    def delay_s(self) -> float:
        """Seconds before the next dispatch."""
        return self._policy.delay_s(self._idle)
