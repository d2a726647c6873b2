"""The closed union of everything that happens in a run.

Each class is one ``type`` and belongs to one ``family``; a client that knows only the five families can already draw
typing, cards, progress bars and error dialogs. A new event type is a new class here and in ``Event``; every fold ends in
``assert_never``, so the type checker names the places that must learn of it. Clients must ignore types they do not know.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from runtime.events.messages import ContentBlock, Usage
from runtime.events.plan import Plan

Family = Literal["token", "object", "status", "error", "system"]

SCHEMA_VERSION = 1
"""Raised when the meaning of an event changes; golden files in tests show every change in a diff."""


class EventData(BaseModel):
    """Base of all events: frozen, and closed to fields it does not name when we write it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    family: ClassVar[Family]


class RunInput(EventData):
    """What was asked, and under which conditions."""

    family = "status"
    question: str
    documents: str | None = None
    """A folder on the server whose documents the agents may search."""
    metadata: dict[str, str] = {}


class Limits(EventData):
    """What a run may use before it is ended."""

    family = "status"
    deadline_s: float = 3600.0
    tool_calls: int = 200


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


# --- the run ---------------------------------------------------------------------------------------------------------


class RunAccepted(EventData):
    """The run exists, durably; nothing has been done yet."""

    type: Literal["run.accepted"] = "run.accepted"
    family = "status"
    input: RunInput
    limits: Limits = Limits()
    conversation_id: str | None = None
    on_disconnect: Literal["cancel", "continue"] = "continue"
    grace_s: float = 30.0
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


class InputReceived(EventData):
    """A person said something to a running run."""

    type: Literal["input.received"] = "input.received"
    family = "system"
    text: str


# --- planning --------------------------------------------------------------------------------------------------------


class AgentStarted(EventData):
    """A planning agent began."""

    type: Literal["agent.started"] = "agent.started"
    family = "status"
    model: str


class AgentCompleted(EventData):
    """A planning agent's result is valid."""

    type: Literal["agent.completed"] = "agent.completed"
    family = "status"
    ms: int


class AgentFailed(EventData):
    """A planning agent gave no valid result; ``fatal`` tells whether the run ends with it."""

    type: Literal["agent.failed"] = "agent.failed"
    family = "status"
    ms: int
    code: str
    message: str
    fatal: bool


class TitleSet(EventData):
    """What the conversation is about."""

    type: Literal["title.set"] = "title.set"
    family = "object"
    title: str


class GuardrailVerdict(EventData):
    """Whether the request may be worked on. ``allowed=False`` is the run's stop reason."""

    type: Literal["guardrail.verdict"] = "guardrail.verdict"
    family = "object"
    allowed: bool
    category: str
    reason: str


class PlanCommitted(EventData):
    """The validated plan; stages start only after it."""

    type: Literal["plan.committed"] = "plan.committed"
    family = "object"
    plan: Plan


class PlanRevised(EventData):
    """A new plan takes the old one's place; completed todos stay completed."""

    type: Literal["plan.revised"] = "plan.revised"
    family = "object"
    plan: Plan
    reason: str


# --- stages ----------------------------------------------------------------------------------------------------------


class StageDispatched(EventData):
    """An agent is about to be given this stage; a higher ``dispatch`` shuts out every lower one."""

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


class StageSkipped(EventData):
    """The stage was not run."""

    type: Literal["stage.skipped"] = "stage.skipped"
    family = "status"
    todo: str
    title: str
    reason: str


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


# --- turns of a model ------------------------------------------------------------------------------------------------


class TurnStarted(EventData):
    """A request to a model is about to be made."""

    type: Literal["turn.started"] = "turn.started"
    family = "system"
    model: str
    request_hash: str
    reserved_cost_usd: float = 0.0


class TurnDelta(EventData):
    """A piece of what the model is saying, keyed by (stage, agent, turn, attempt)."""

    type: Literal["turn.delta"] = "turn.delta"
    family = "token"
    kind: Literal["text", "thinking", "tool_input"] = "text"
    text: str
    call_id: str | None = None
    """For ``tool_input``: the tool call being written."""
    name: str | None = None
    """For ``tool_input``: the tool's name."""


class TurnCompleted(EventData):
    """The canonical content of a turn; replaces what its deltas said."""

    type: Literal["turn.completed"] = "turn.completed"
    family = "object"
    content: tuple[ContentBlock, ...]
    stop_reason: str
    usage: Usage
    model: str
    truncated: bool = False


class TurnSnapshot(EventData):
    """The same after compaction."""

    type: Literal["turn.snapshot"] = "turn.snapshot"
    family = "object"
    content: tuple[ContentBlock, ...]
    replace: Literal[True] = True


class TurnFailed(EventData):
    """All attempts at this turn failed."""

    type: Literal["turn.failed"] = "turn.failed"
    family = "error"
    code: str
    message: str
    attempts: int


class TurnSuperseded(EventData):
    """An attempt is withdrawn: clients drop its text."""

    type: Literal["turn.superseded"] = "turn.superseded"
    family = "system"
    reason: str


# --- tools -----------------------------------------------------------------------------------------------------------


class ToolCalled(EventData):
    """A tool is about to run."""

    type: Literal["tool.called"] = "tool.called"
    family = "object"
    call_id: str
    name: str
    title: str = ""
    description: str = ""
    arguments: dict[str, Any]
    kind: Literal["read", "idempotent", "at_most_once"] = "read"


class ToolCompleted(EventData):
    """What the tool answered."""

    type: Literal["tool.completed"] = "tool.completed"
    family = "object"
    call_id: str
    name: str
    result: str
    is_error: bool = False
    ms: int = 0


class ToolOutcomeUnknown(EventData):
    """A tool may or may not have had its effect."""

    type: Literal["tool.outcome_unknown"] = "tool.outcome_unknown"
    family = "error"
    call_id: str
    name: str
    known: str


class ToolArgumentsInvalid(EventData):
    """The model wrote arguments that do not parse or do not fit; it is told, and may try again."""

    type: Literal["tool.arguments_invalid"] = "tool.arguments_invalid"
    family = "error"
    call_id: str
    name: str
    message: str


class CitationAdded(EventData):
    """A statement's source: ``quote`` stands in the document at ``location``."""

    type: Literal["citation.added"] = "citation.added"
    family = "object"
    source_id: str
    """The mark used in the text, such as ``1`` for ``[1]``; unique in its stage."""
    title: str
    location: str
    """Path and line, or page: ``guide.md:120`` or ``paper.pdf#page=3``."""
    quote: str


# --- people, recovery, accounting ------------------------------------------------------------------------------------


class ApprovalRequested(EventData):
    """A person must agree to exactly this."""

    type: Literal["approval.requested"] = "approval.requested"
    family = "object"
    what: str
    arguments_hash: str


class ApprovalGiven(EventData):
    """A person agreed."""

    type: Literal["approval.given"] = "approval.given"
    family = "system"
    by: str
    arguments_hash: str


class RecoveryRetrying(EventData):
    """A failure is being answered by trying again."""

    type: Literal["recovery.retrying"] = "recovery.retrying"
    family = "system"
    failure: str
    message: str
    attempt: int
    of: int
    delay_s: float


class RecoveryFellBack(EventData):
    """Another model takes over."""

    type: Literal["recovery.fell_back"] = "recovery.fell_back"
    family = "system"
    from_model: str
    to_model: str
    failure: str


class RecoveryResumed(EventData):
    """Work goes on from the tool-call limit with the whole conversation."""

    type: Literal["recovery.resumed"] = "recovery.resumed"
    family = "system"
    reason: Literal["tool_call_limit", "takeover"]
    attempt: int
    of: int
    tool_calls: int = 0


class UsageUpdated(EventData):
    """What the run has used so far."""

    type: Literal["usage.updated"] = "usage.updated"
    family = "object"
    usage: Usage


class Custom(EventData):
    """What a user's tool or hook says in its own words."""

    type: Literal["custom"] = "custom"
    family = "object"
    name: str
    value: Any
    """Any JSON value: it is the user's, so its type is not ours to name."""


Event = (
    RunAccepted
    | RunStarted
    | RunWaiting
    | RunCompleted
    | RunCancelled
    | RunFailed
    | RunExpired
    | RunCancelRequested
    | InputReceived
    | AgentStarted
    | AgentCompleted
    | AgentFailed
    | TitleSet
    | GuardrailVerdict
    | PlanCommitted
    | PlanRevised
    | StageDispatched
    | StageStarted
    | StageCompleted
    | StageSkipped
    | StageFailed
    | TurnStarted
    | TurnDelta
    | TurnCompleted
    | TurnSnapshot
    | TurnFailed
    | TurnSuperseded
    | ToolCalled
    | ToolCompleted
    | ToolOutcomeUnknown
    | ToolArgumentsInvalid
    | CitationAdded
    | ApprovalRequested
    | ApprovalGiven
    | RecoveryRetrying
    | RecoveryFellBack
    | RecoveryResumed
    | UsageUpdated
    | Custom
)

EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])
"""Validates one event's ``{"type": ..., **data}``."""
