"""The native API in types: what may be sent, and what is answered. ``/openapi.json`` is generated from these models.

Requests are closed and strict: an unknown field, ``"5"`` for 5 or ``true`` for 1 is refused (SECURITY.md 1).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from runtime.events.catalog import Family
from runtime.events.messages import Usage
from runtime.events.plan import Identifier, Todo
from runtime.log.log import Status

OnDisconnect = Literal["cancel", "continue"]

MetadataKey = Annotated[str, Field(min_length=1, max_length=64)]
MetadataValue = Annotated[str, Field(max_length=512)]


class Body(BaseModel):
    """Base of everything that crosses the API: closed, strict, frozen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


# --- what is sent ----------------------------------------------------------------------------------------------------


class CreateRun(Body):
    """A question, and the conditions under which it is worked on."""

    input: Annotated[str, Field(min_length=1, max_length=20_000, json_schema_extra={"pattern": r"\S"})]
    """The question; not blank."""
    documents: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """A folder on the server whose documents the agents may search; the server's own choice when left out."""
    conversation_id: Identifier | None = None
    on_disconnect: OnDisconnect | None = None
    """Default: ``cancel`` when the answer is a stream, ``continue`` when it is a 202."""
    grace_s: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """How long the last reader may be gone before ``cancel`` takes effect."""
    deadline_s: Annotated[float, Field(ge=1, le=86_400)] = 3600.0
    """How long the run may take."""
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=16)] = {}
    """The caller's own notes; kept with the run, never read by it."""

    @field_validator("input")
    @classmethod
    def _not_blank(cls, text: str) -> str:
        if not text.strip():
            raise ValueError("must not be blank")
        return text


# --- what is answered ------------------------------------------------------------------------------------------------


class Links(Body):
    """Where to go from here, as paths."""

    self: str
    events: str
    cancel: str


class RunAcceptedBody(Body):
    """The run exists, durably."""

    run_id: str
    state: Status
    created_at: float
    """Seconds since the epoch, UTC."""
    conversation_id: str | None = None
    on_disconnect: OnDisconnect
    links: Links


class CancelAccepted(Body):
    """The cancel request is recorded; the stream tells when the run has ended."""

    run_id: str
    cancel_requested: Literal[True] = True
    links: Links


class RunSummary(Body):
    """A run in a list."""

    run_id: str
    state: Status
    question: str
    """Its first 200 characters."""
    conversation_id: str | None = None
    created_at: float
    links: Links


class RunList(Body):
    """The newest runs first."""

    runs: list[RunSummary]


class Guardrail(Body):
    """Whether the request may be worked on, and why."""

    allowed: bool
    category: str
    reason: str


class TodoView(Todo):
    """A todo of the plan, with what became of it."""

    status: Literal["pending", "dispatched", "running", "completed", "failed", "skipped"]
    failures: int = 0


class AgentView(Body):
    """A planning agent."""

    name: str
    status: Literal["running", "completed", "failed"]
    model: str
    ms: int
    message: str = ""
    """Why it failed, if it did."""


class CitationView(Body):
    """A statement's source."""

    source_id: str
    title: str
    location: str
    quote: str


class OutputView(Body):
    """The answer of one completed stage."""

    stage: str
    title: str
    agent: str
    text: str
    partial: bool
    """True when the stage ended at a limit, with what it had."""
    citations: list[CitationView]


class RunError(Body):
    """Why the run ended without an answer."""

    code: str
    message: str
    layer: str
    retryable: bool
    completed: list[str]
    """Ids of the stages that were completed; their texts stand in ``outputs``."""


class Resume(Body):
    """How to go on after a failure."""

    possible: bool
    how: str


class RunSnapshot(Body):
    """The state of a run: a fold of its log, tokens left out."""

    run_id: str
    state: Status
    question: str
    conversation_id: str | None = None
    title: str | None = None
    guardrail: Guardrail | None = None
    plan: list[TodoView] | None = None
    agents: list[AgentView] = []
    outputs: list[OutputView] = []
    answer: str | None = None
    stopped: str | None = None
    """Why nothing more was executed, when a guardrail or a hook ended the run early."""
    note: str | None = None
    """What a reader must know about the answer, such as which model made it."""
    waiting_for: str | None = None
    cancel_requested: bool = False
    usage: Usage
    models: dict[str, str] = {}
    recoveries: dict[str, int] = {}
    """How often each kind of recovery happened."""
    error: RunError | None = None
    resume: Resume | None = None
    metadata: dict[str, str] = {}
    created_at: float
    elapsed_s: float
    last_event_id: str
    """The cursor to follow the run from; an unfinished turn is whole again with its ``turn.completed``."""
    links: Links


class PublicEvent(BaseModel):
    """One event as clients get it. Types a client does not know must be ignored, and so must unknown fields."""

    model_config = ConfigDict(extra="allow")

    seq: int
    epoch: int
    run_id: str
    family: Family
    type: str
    at: float
    stage: str | None = None
    agent: str | None = None
    turn: int | None = None
    attempt: int | None = None
    data: dict[str, Any]
    """By ``type``; its fields are those of ``runtime.events.catalog``."""


class EventPage(Body):
    """Some events in order, and where to go on."""

    events: list[PublicEvent]
    next_after: str
    """Give this as ``after`` for the next page."""
    finished: bool
    """The last event of this page is the run's last."""


class Healthy(Body):
    """The process answers."""

    status: Literal["ok"] = "ok"


class Readiness(Body):
    """Whether runs can be accepted; ``problems`` has one sentence for each component that cannot."""

    status: Literal["ready", "not_ready"]
    problems: dict[str, str] = {}


class FieldError(Body):
    """What is wrong with one field of the request."""

    pointer: str
    """JSON pointer (RFC 6901) into the body; empty for the body as a whole."""
    detail: str


class Problem(Body):
    """An error (RFC 9457), as ``application/problem+json``."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    """Stable; programs decide by it."""
    retryable: bool
    instance: str | None = None
    """The path asked for. Left out of 404, whose body is the same for everything that is not there."""
    request_id: str | None = None
    errors: list[FieldError] | None = None
    head: int | None = None
    """With ``cursor_ahead``: the last event's number."""
