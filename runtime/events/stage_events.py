"""Stages of the pipeline."""

from __future__ import annotations

from typing import Literal

from runtime.events.base import EventData
from runtime.events.tool_events import Tag


class StageDispatched(EventData):
    """An agent is about to be given this stage; a higher ``dispatch`` shuts out every lower one.

    Without a stage: the run is about to be planned once more, after a process that planned it was lost.
    """

    type: Literal["stage.dispatched"] = "stage.dispatched"
    family = "system"
    dispatch: int
    lease_s: float


class StageStarted(EventData):
    """The agent of this stage begins."""

    type: Literal["stage.started"] = "stage.started"
    family = "status"
    index: int
    of: int
    title: str
    todo: str
    context: str | None = None
    """What a join hook made of the results of the stages it depends on; None: it is given each of them."""


class StageCompleted(EventData):
    """The stage's answer, and what its hook hands to the stages that depend on it."""

    type: Literal["stage.completed"] = "stage.completed"
    family = "status"
    index: int
    of: int
    title: str
    todo: str
    output: str
    summary: str
    context: str
    """What the post-hook hands to the stages that depend on this one."""
    tool_calls: int = 0
    partial: bool = False
    """True when the stage ended at a limit, with what it had."""
    carried_from: str | None = None
    stop: str | None = None
    """Set when the post-hook ended the pipeline here: its reason."""
    taint: tuple[Tag, ...] | None = None
    """What the conversation behind the answer has met; null: not known, as in older logs."""


class StageSkipped(EventData):
    """The stage was not run."""

    type: Literal["stage.skipped"] = "stage.skipped"
    family = "status"
    todo: str
    title: str
    reason: str
    stop: str | None = None
    """Set when a join hook ended the pipeline here: its reason."""


class StageFailed(EventData):
    """The stage ended without an answer; ``decision`` is what the post-hook made of it."""

    type: Literal["stage.failed"] = "stage.failed"
    family = "error"
    todo: str
    title: str
    code: str
    message: str
    attempts: int
    decision: Literal["continue", "retry", "stop"]
