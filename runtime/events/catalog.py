"""The closed union of everything that happens in a run.

Each class is one ``type`` and belongs to one ``family``; a client that knows only the five families can already draw
typing, cards, progress bars and error dialogs. A new event type is a new class here and in ``Event``; every fold ends in
``assert_never``, so the type checker names the places that must learn of it. Clients must ignore types they do not know.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from runtime.events.base import SCHEMA_VERSION as SCHEMA_VERSION
from runtime.events.base import EventData as EventData
from runtime.events.base import Family as Family
from runtime.events.planning_events import (
    AgentCompleted as AgentCompleted,
    AgentFailed as AgentFailed,
    AgentStarted as AgentStarted,
    GuardrailVerdict as GuardrailVerdict,
    PlanCommitted as PlanCommitted,
    PlanRevised as PlanRevised,
    TitleSet as TitleSet,
)
from runtime.events.recovery_events import (
    ApprovalGiven as ApprovalGiven,
    ApprovalRequested as ApprovalRequested,
    Custom as Custom,
    RecoveryFellBack as RecoveryFellBack,
    RecoveryResumed as RecoveryResumed,
    RecoveryRetrying as RecoveryRetrying,
    UsageUpdated as UsageUpdated,
)
from runtime.events.run_events import (
    InputReceived as InputReceived,
    Limits as Limits,
    ResumeHint as ResumeHint,
    RunAccepted as RunAccepted,
    RunCancelRequested as RunCancelRequested,
    RunCancelled as RunCancelled,
    RunCompleted as RunCompleted,
    RunExpired as RunExpired,
    RunFailed as RunFailed,
    RunInput as RunInput,
    RunStarted as RunStarted,
    RunWaiting as RunWaiting,
    StageOutput as StageOutput,
)
from runtime.events.stage_events import (
    StageCompleted as StageCompleted,
    StageDispatched as StageDispatched,
    StageFailed as StageFailed,
    StageSkipped as StageSkipped,
    StageStarted as StageStarted,
)
from runtime.events.tool_events import (
    CitationAdded as CitationAdded,
    ToolArgumentsInvalid as ToolArgumentsInvalid,
    ToolCalled as ToolCalled,
    ToolCompleted as ToolCompleted,
    ToolOutcomeUnknown as ToolOutcomeUnknown,
)
from runtime.events.turn_events import (
    TurnCompleted as TurnCompleted,
    TurnDelta as TurnDelta,
    TurnFailed as TurnFailed,
    TurnSnapshot as TurnSnapshot,
    TurnStarted as TurnStarted,
    TurnSuperseded as TurnSuperseded,
)

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
