"""What the simulation's models say, and the tools they use: three shapes of plan, and tools of the three kinds."""

from __future__ import annotations

import asyncio

from runtime.tools.tool import Tool, ToolContext, ToolKind, tool
from tests.executor.test_executor import PAIR
from tests.history import Effect
from tests.rig import CHAIN, PLANNING

EFFECTS: list[Effect] = []
"""What tools have done, noted before they answer; outside everything that can be lost."""

SLOW_CHAIN = CHAIN.replace('text = "words of', 'rate = 2\ntext = "so many, many words of')

ONE_STAGE = (
    PLANNING
    + """
[[turn]]
agent = "planner"
[turn.output]
todos = [{ id = "find", title = "Find", agent = "research", depends_on = [] }]
"""
)

WORK = (
    ONE_STAGE
    + """
[[turn]]
agent = "research"
rate = 4
text = "Let me see to it. "
[[turn.tool_calls]]
name = "look"
input = { what = "turn {turn}" }
[[turn.tool_calls]]
name = "put"
input = { what = "turn {turn}" }
[[turn.tool_calls]]
name = "send"
input = { what = "turn {turn}" }
[[turn]]
text = "what I have"
"""
)
"""One stage that uses its tools until its limit, and resumes."""

TEAM = (
    ONE_STAGE
    + """
[[turn]]
agent = "research"
turn = 1
rate = 4
text = "Others can do that. "
[[turn.tool_calls]]
name = "delegate"
input = { agent = "analysis", task = "the one half" }
[[turn.tool_calls]]
name = "delegate"
input = { agent = "analysis", task = "the other half" }
[[turn]]
agent = "analysis"
rate = 4
text = "I do {task}. "
[[turn.tool_calls]]
name = "look"
input = { what = "{task} in turn {turn}" }
[[turn.tool_calls]]
name = "put"
input = { what = "{task} in turn {turn}" }
[[turn.tool_calls]]
name = "send"
input = { what = "{task} in turn {turn}" }
[[turn]]
text = "what I have"
"""
)
"""One stage that gives its work to two delegates, who use their tools until their limit."""

DELEGATES = {"team": {"research": ("analysis",)}}
"""Who may delegate to whom, for the scripts that need it."""

SCRIPTS = {"chain": SLOW_CHAIN, "pair": PAIR, "work": WORK, "team": TEAM}


async def _effect(kind: ToolKind, what: str, context: ToolContext) -> str:
    await asyncio.sleep(0.3)
    EFFECTS.append(Effect(context.run_id, context.stage, kind, what, context.idempotency_key))
    await asyncio.sleep(0.3)
    return f"done: {what}"


@tool(reads_private=False)
async def look(what: str, context: ToolContext) -> str:
    """Look something up."""
    return await _effect("read", what, context)


@tool(kind="idempotent")
async def put(what: str, context: ToolContext) -> str:
    """Put something in its place."""
    return await _effect("idempotent", what, context)


@tool(kind="at_most_once")
async def send(what: str, context: ToolContext) -> str:
    """Send something away."""
    return await _effect("at_most_once", what, context)


TOOLS: tuple[Tool, ...] = (look, put, send)
