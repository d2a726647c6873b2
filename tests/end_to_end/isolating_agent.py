"""An agent whose tools do to their processes what no tool should; a module for ``--module``."""

from __future__ import annotations

from runtime.agents.spec import AgentSpec
from tests.tools.isolated_tools import crash, crash_until, eat, effect_and_crash, spin, wait, where

TOOLS = (crash, crash_until, eat, effect_and_crash, spin, wait, where)

breaker = AgentSpec(
    name="breaker",
    description="Breaks processes.",
    instructions="Break everything.",
    tools=tuple(tool.name for tool in TOOLS),
)
