"""What the loop of an agent works with: of the agent itself, and what a stage shares with its delegates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import runtime.errors as errors
from runtime.agents.patience import Patience
from runtime.agents.spec import AgentSpec
from runtime.agents.turn import TurnTools
from runtime.events.transcript import Transcript
from runtime.tools.invoke import START_WITHIN_S, ToolRunner
from runtime.tools.registry import Registry


@dataclass(frozen=True, slots=True)
class LoopTools:
    """What every stage of an agent shares."""

    spec: AgentSpec
    turn: TurnTools
    registry: Registry
    runner: ToolRunner
    data_dir: str
    team: Mapping[str, LoopTools] = field(default_factory=dict, compare=False, repr=False)
    """The agents it may delegate to, and those they may, by name."""

    def patience(self, outer: Patience | None = None) -> Patience:
        """For one stage; a tool, also a delegate's, that may take longer than the agent may idle is given its own time."""
        names = {name for tools in (self, *self.team.values()) for name in tools.spec.tools}
        slowest = max((tool.timeout_s + START_WITHIN_S for tool in self.registry.find(names)), default=0.0)
        return Patience(self.spec.timeout_s, max(self.spec.idle_timeout_s, slowest), outer)


class CallsLeft:
    """What is left of the run's total of tool calls; a stage and its delegates draw on one."""

    def __init__(self, left: int) -> None:
        self._left = max(0, left)

    def take(self, wanted: int) -> int:
        """As many of ``wanted`` as there are."""
        taken = min(max(0, wanted), self._left)
        self._left -= taken
        return taken


@dataclass(frozen=True, slots=True)
class Share:
    """What a stage and its delegates use up together."""

    calls: CallsLeft
    patience: Patience


def limit_reached(spec: AgentSpec, transcript: Transcript) -> errors.StageFailed | None:
    """Why no further turn may be taken, if so. Delegates' tokens and money count; what is under way is not cut."""
    turns, used = transcript.turns_done, transcript.spent()
    if turns >= spec.max_turns * (1 + transcript.resumes):
        return errors.StageFailed(f"no answer after {turns} turns", "turn_limit")
    if spec.max_stage_tokens is not None and used.tokens >= spec.max_stage_tokens:
        return errors.StageFailed(f"no answer after {used.tokens} of {spec.max_stage_tokens} tokens", "token_limit")
    if spec.max_stage_cost_usd is not None and used.cost_usd >= spec.max_stage_cost_usd:
        words = f"no answer after {used.cost_usd:.4f} of {spec.max_stage_cost_usd:g} USD"
        return errors.StageFailed(words, "cost_limit")
    return None
