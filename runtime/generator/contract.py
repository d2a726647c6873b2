"""The native API in types: what is answered (``requests`` is what may be sent). ``/openapi.json`` is made from them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from runtime.events.catalog import Family
from runtime.events.messages import Usage
from runtime.events.plan import Todo
from runtime.log.log import Status

OnDisconnect = Literal["cancel", "continue"]


class Body(BaseModel):
    """Base of everything that crosses the API: closed, strict, frozen."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Links(Body):
    """Where to go from here, as paths."""

    self: str
    events: str
    cancel: str
    input: str
    resume: str | None = None
    """Where the run is resumed from; only once it has ended."""


class RunAcceptedBody(Body):
    """The run exists, durably."""

    run_id: str
    state: Status
    created_at: float
    """Seconds since the epoch, UTC."""
    conversation_id: str | None = None
    resumed_from: str | None = None
    """The run whose completed steps this one carries over."""
    on_disconnect: OnDisconnect
    links: Links


class InputAccepted(Body):
    """What was said is recorded; the stream tells what comes of it."""

    run_id: str
    name: str
    """Under which it is recorded in the run."""
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


class ConversationLinks(Body):
    """Where the conversation is, as a path."""

    self: str


class ConversationSummary(Body):
    """A conversation in a list."""

    conversation_id: str
    title: str | None
    question: str
    """The first 200 characters of its first run's."""
    created_at: float
    updated_at: float
    """When its newest run was created."""
    run_count: int
    cost_usd: float
    """What all its runs have spent on models."""
    reserved_usd: float
    """Held back for model calls under way."""
    links: ConversationLinks


class ConversationList(Body):
    """Those with the newest runs first."""

    conversations: list[ConversationSummary]
    next_before: str | None
    """Give this as ``before`` for the next page; none when this is the last."""


class ConversationRun(Body):
    """A run in its conversation."""

    run_id: str
    state: Status
    question: str
    answer: str | None
    """None while there is none, and when the run ended without one."""
    resumed_from: str | None
    """The run whose completed steps it carried over; what is asked next goes on from this one instead."""
    created_at: float
    cost_usd: float
    links: Links


class ConversationView(ConversationSummary):
    """A conversation with its newest runs, in the order they were asked."""

    runs: list[ConversationRun]
    next_before: str | None
    """Give this as ``before`` for the runs before these; none when these begin it."""


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
    carried_from: str | None = None
    """The run that it was carried over from."""
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
    href: str | None = None
    """Where to POST; none when it is not possible."""
    from_stage: str | None = None
    """The first step that would be run; none when there was no plan yet, or when only the end is missing."""


class BudgetView(Body):
    """The run's money, in US dollars."""

    limit_usd: float | None
    """None: no limit of its own."""
    reserved_usd: float
    """Held back for model calls under way."""
    spent_usd: float


class ApprovalView(Body):
    """What a person was asked, and the answer."""

    approval: str
    kind: Literal["plan", "tool", "question"]
    what: str
    stage: str | None
    name: str | None
    """Of a tool."""
    arguments: dict[str, Any] | None
    """Of a tool's call."""
    reason: str
    options: list[str]
    arguments_hash: str
    expires_at: float
    open: bool
    """It waits for an answer."""
    approved: bool | None = None
    """None: not answered."""
    text: str = ""
    """The answer, or why it was refused."""


class RunSnapshot(Body):
    """The state of a run: a fold of its log, tokens left out."""

    run_id: str
    state: Status
    question: str
    conversation_id: str | None = None
    resumed_from: str | None = None
    """The run whose completed steps this one carries over."""
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
    approvals: list[ApprovalView] = []
    """What people were asked."""
    cancel_requested: bool = False
    usage: Usage
    """Of this run alone: what was carried over is not counted again."""
    budget: BudgetView
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


class ToolEntry(Body):
    """A tool that agents may call."""

    name: str
    title: str
    description: str
    icon: str
    kind: Literal["read", "idempotent", "at_most_once"]
    """What repeating a call does."""
    input_schema: dict[str, Any]
    """JSON Schema of its arguments."""
    agents: list[str]
    """Who may call it."""


class ToolList(Body):
    """The tools this viewer may see."""

    tools: list[ToolEntry]


class AgentEntry(Body):
    """An agent."""

    name: str
    description: str
    role: Literal["stage", "planning"]
    tools: list[str]
    """Names; ``server__*`` stands for all tools of an MCP server."""
    models: list[str]
    """Its ladder, best first, as ``adapter:name``."""


class AgentList(Body):
    """All agents."""

    agents: list[AgentEntry]


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
