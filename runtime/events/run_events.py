"""What happens to a run as a whole."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from runtime.events.attachments import Attachment
from runtime.events.base import SCHEMA_VERSION, EventData
from runtime.events.history import History
from runtime.events.messages import Usage


class RunInput(EventData):
    """What was asked, and under which conditions."""

    family = "status"
    question: str
    documents: str | None = None
    """A folder on the server whose documents the agents may search."""
    metadata: dict[str, str] = {}
    attachments: tuple[Attachment, ...] = Field(default=(), exclude_if=lambda value: not value)
    """What the person attached; shown to the models that can see it."""


class Limits(EventData):
    """What a run may use before it is ended."""

    family = "status"
    deadline_s: float = 3600.0
    tool_calls: int = 200
    budget_usd: float | None = None
    """US dollars the run may spend on models; None: no limit of its own."""


class StageOutput(EventData):
    """What a completed stage hands on; also how an answer so far is shown."""

    family = "status"
    stage: str
    title: str
    agent: str
    text: str


class ResumeHint(EventData):
    """How to go on after a failure."""

    family = "error"
    possible: bool
    how: str
    """One sentence a person can act on."""


class RunAccepted(EventData):
    """The run exists, durably; nothing has been done yet."""

    type: Literal["run.accepted"] = "run.accepted"
    family = "status"
    input: RunInput
    limits: Limits = Limits()
    conversation_id: str | None = None
    on_disconnect: Literal["cancel", "continue"] = "continue"
    grace_s: float = 30.0
    title: str | None = None
    """The conversation's, if it had one: then no other is looked for."""
    history: History = History()
    """What was said in the conversation before: the run answers to this, whatever is said meanwhile."""
    approve_plan: bool = False
    """A person must approve the plan before anything of it is done."""
    resumed_from: str | None = None
    """The run whose completed stages this one carries over."""
    schema_version: int = SCHEMA_VERSION


class RunStarted(EventData):
    """An executor owns the run; written again after every takeover."""

    type: Literal["run.started"] = "run.started"
    family = "system"
    epoch: int
    owner: str
    code_version: str
    models: dict[str, str] = {}
    """Agent -> the model it uses; an offline model says here that it is no language model."""


class RunWaiting(EventData):
    """Nothing can go on until something outside happens."""

    type: Literal["run.waiting"] = "run.waiting"
    family = "status"
    reason: str
    until: float | None = None
    """When it goes on by itself, in seconds since the epoch; None: not by itself."""
    approvals: tuple[str, ...] = ()
    """What people are to answer; the run's deadline stands still until one of them is answered."""


class RunCompleted(EventData):
    """The run reached its end. ``stopped`` is set when a guardrail or a hook ended it early."""

    type: Literal["run.completed"] = "run.completed"
    family = "status"
    answer: str
    usage: Usage = Usage()
    elapsed_s: float = 0.0
    stopped: str | None = None
    """Why nothing more was executed: the guardrail's or the hook's reason."""
    outputs: tuple[StageOutput, ...] = ()
    note: str | None = None
    """What a reader must know about the answer, such as which model made it."""


class RunCancelled(EventData):
    """Someone, or the loss of every reader, ended the run; what was completed stays."""

    type: Literal["run.cancelled"] = "run.cancelled"
    family = "status"
    reason: str
    outputs: tuple[StageOutput, ...] = ()
    usage: Usage = Usage()


class RunFailed(EventData):
    """The run ended without an answer: where, why, what was completed, and whether another try helps."""

    type: Literal["run.failed"] = "run.failed"
    family = "error"
    code: str
    message: str
    layer: Literal["generator", "executor", "orchestrator", "pipeline", "agent", "model", "tool"]
    retryable: bool
    completed: tuple[StageOutput, ...] = ()
    resume: ResumeHint
    usage: Usage = Usage()


class RunExpired(EventData):
    """The run's deadline passed."""

    type: Literal["run.expired"] = "run.expired"
    family = "error"
    message: str
    completed: tuple[StageOutput, ...] = ()
    resume: ResumeHint
    usage: Usage = Usage()


class RunCancelRequested(EventData):
    """From here on nothing new may start."""

    type: Literal["run.cancel_requested"] = "run.cancel_requested"
    family = "system"
    by: Literal["user", "disconnect", "shutdown"]
