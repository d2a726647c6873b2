"""What an agent is: a name, instructions, tools, models and limits. Data only."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from runtime.events.plan import Identifier
from runtime.llm.options import ModelOptions, ServerTool

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
    """A shorter system prompt for when the first one failed: the same model is asked with it, then the ladder's others."""
    tools: tuple[ToolName, ...] = ()
    """Names of tools it may call; nothing else is offered to the model. ``server__tool`` is a tool of an MCP server, and
    ``server__*`` all of that server's."""
    delegates: tuple[Identifier, ...] = ()
    """Names of stage agents it may give tasks to, with the tool ``delegate``."""
    models: tuple[str, ...] = ()
    """The ladder, best first, as ``adapter:name``; empty means the settings' model for this agent."""
    max_tool_calls: Annotated[int, Field(ge=0, le=200)] = 25
    """Tool calls in one stage before ``ToolCallLimitReached`` (the user's article: limits of 25 to 100 are usual)."""
    max_turns: Annotated[int, Field(ge=1, le=200)] = 40
    max_tokens: Annotated[int, Field(ge=1, le=200_000)] = 4096
    """Output tokens of one turn."""
    options: ModelOptions = ModelOptions()
    """How its models are asked: thinking, choice of tools, and the like."""
    server_tools: tuple[ServerTool, ...] = ()
    """Tools that the provider runs itself; only ``anthropic`` models have them."""
    max_stage_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens of one stage, in and out, cached ones and delegates' included: past it no further turn is begun."""
    max_stage_cost_usd: Annotated[float, Field(gt=0)] | None = None
    """US dollars of one stage: past it no further turn is begun. The run's budget is the limit that is never passed."""
    idle_timeout_s: Annotated[float, Field(gt=0)] = 300.0
    """Of a stage without progress: without content of the model, a whole turn or a tool's answer."""
    timeout_s: Annotated[float, Field(gt=0)] = 1800.0
    """Of one stage, however much progress it makes, or of one planning call."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        self.options.check_room(self.max_tokens)
        return self
