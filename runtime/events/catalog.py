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
from runtime.events.history import Cited as Cited
from runtime.events.history import Exchange as Exchange
from runtime.events.history import History as History
from runtime.events.people_events import (
    ApprovalGiven as ApprovalGiven,
)
from runtime.events.people_events import (
    ApprovalRequested as ApprovalRequested,
)
from runtime.events.people_events import (
    InputDelivered as InputDelivered,
)
from runtime.events.people_events import (
    InputReceived as InputReceived,
)
from runtime.events.planning_events import (
    AgentCompleted as AgentCompleted,
)
from runtime.events.planning_events import (
    AgentFailed as AgentFailed,
)
from runtime.events.planning_events import (
    AgentStarted as AgentStarted,
)
from runtime.events.planning_events import (
    GuardrailVerdict as GuardrailVerdict,
)
from runtime.events.planning_events import (
    PlanCommitted as PlanCommitted,
)
from runtime.events.planning_events import (
    PlanRevised as PlanRevised,
)
from runtime.events.planning_events import (
    TitleSet as TitleSet,
)
from runtime.events.recovery_events import (
    Custom as Custom,
)
from runtime.events.recovery_events import (
    Hidden as Hidden,
)
from runtime.events.recovery_events import (
    RecoveryCompacted as RecoveryCompacted,
)
from runtime.events.recovery_events import (
    RecoveryFellBack as RecoveryFellBack,
)
from runtime.events.recovery_events import (
    RecoveryResumed as RecoveryResumed,
)
from runtime.events.recovery_events import (
    RecoveryRetrying as RecoveryRetrying,
)
from runtime.events.recovery_events import (
    RecoveryToolSwitchedOff as RecoveryToolSwitchedOff,
)
from runtime.events.recovery_events import (
    UsageUpdated as UsageUpdated,
)
from runtime.events.run_events import (
    Limits as Limits,
)
from runtime.events.run_events import (
    ResumeHint as ResumeHint,
)
from runtime.events.run_events import (
    RunAccepted as RunAccepted,
)
from runtime.events.run_events import (
    RunCancelled as RunCancelled,
)
from runtime.events.run_events import (
    RunCancelRequested as RunCancelRequested,
)
from runtime.events.run_events import (
    RunCompleted as RunCompleted,
)
from runtime.events.run_events import (
    RunExpired as RunExpired,
)
from runtime.events.run_events import (
    RunFailed as RunFailed,
)
from runtime.events.run_events import (
    RunInput as RunInput,
)
from runtime.events.run_events import (
    RunStarted as RunStarted,
)
from runtime.events.run_events import (
    RunWaiting as RunWaiting,
)
from runtime.events.run_events import (
    StageOutput as StageOutput,
)
from runtime.events.stage_events import (
    StageCompleted as StageCompleted,
)
from runtime.events.stage_events import (
    StageDispatched as StageDispatched,
)
from runtime.events.stage_events import (
    StageFailed as StageFailed,
)
from runtime.events.stage_events import (
    StageSkipped as StageSkipped,
)
from runtime.events.stage_events import (
    StageStarted as StageStarted,
)
from runtime.events.tool_events import (
    CitationAdded as CitationAdded,
)
from runtime.events.tool_events import (
    ToolArgumentsInvalid as ToolArgumentsInvalid,
)
from runtime.events.tool_events import (
    ToolCalled as ToolCalled,
)
from runtime.events.tool_events import (
    ToolCompleted as ToolCompleted,
)
from runtime.events.tool_events import (
    ToolOutcomeUnknown as ToolOutcomeUnknown,
)
from runtime.events.turn_events import (
    TurnCompleted as TurnCompleted,
)
from runtime.events.turn_events import (
    TurnDelta as TurnDelta,
)
from runtime.events.turn_events import (
    TurnFailed as TurnFailed,
)
from runtime.events.turn_events import (
    TurnSnapshot as TurnSnapshot,
)
from runtime.events.turn_events import (
    TurnStarted as TurnStarted,
)
from runtime.events.turn_events import (
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
    | InputDelivered
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
    | RecoveryCompacted
    | RecoveryFellBack
    | RecoveryResumed
    | RecoveryToolSwitchedOff
    | UsageUpdated
    | Custom
    | Hidden
)

EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])
"""Validates one event's ``{"type": ..., **data}``."""
