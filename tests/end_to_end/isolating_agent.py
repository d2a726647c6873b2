"""An agent whose tools do to their processes what no tool should; a module for ``--module``."""

from __future__ import annotations

import os
import time
from pathlib import Path

from runtime.agents.spec import AgentSpec
from runtime.tools.tool import tool
from tests.tools.isolated_tools import crash, crash_until, eat, effect_and_crash, spin, wait, where


@tool(kind="at_most_once", timeout_s=300)
async def hog(mark: str) -> str:
    """Stop the whole process it runs in from doing anything else.

    Args:
        mark: file for the process's id
    """
    Path(mark).write_text(str(os.getpid()))
    time.sleep(300)  # noqa: ASYNC251  # the fault
    return "never"


TOOLS = (hog, crash, crash_until, eat, effect_and_crash, spin, wait, where)

breaker = AgentSpec(
    name="breaker",
    description="Breaks processes.",
    instructions="Break everything.",
    tools=tuple(tool.name for tool in TOOLS),
)
