"""What an agent is: a name, instructions, tools, models and limits. Data only."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from runtime.events.plan import Identifier

ToolName = Annotated[str, Field(pattern=r"^([A-Za-z0-9_-]{1,64}|[A-Za-z0-9_-]{1,24}__\*)$")]


class AgentSpec(BaseModel):
    """A specialized agent. Put instances at the top level of a module and name that module in ``settings.modules``."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    name: Identifier
    role: Literal["stage", "planning"] = "stage"
    """``stage`` agents do todos; ``planning`` agents are the planner, the titler and the guardrail."""
    description: str
    """One sentence the planner reads to choose this agent."""
    instructions: str
    """The system prompt."""
    simpler_instructions: str | None = None
    """Used on the last attempts, when the first prompt kept failing."""
    tools: tuple[ToolName, ...] = ()
    """Names of tools it may call; nothing else is offered to the model. ``server__tool`` is a tool of an MCP server, and
    ``server__*`` all of that server's."""
    models: tuple[str, ...] = ()
    """The ladder, best first, as ``adapter:name``; empty means the settings' model for this agent."""
    max_tool_calls: Annotated[int, Field(ge=0, le=200)] = 25
    """Tool calls in one stage before ``ToolCallLimitReached`` (the user's article: limits of 25 to 100 are usual)."""
    max_turns: Annotated[int, Field(ge=1, le=200)] = 40
    max_tokens: Annotated[int, Field(ge=1, le=200_000)] = 4096
    """Output tokens of one turn."""
    timeout_s: Annotated[float, Field(gt=0)] = 600.0
    """Of one stage, or of one planning call."""
