"""An agent that needs people, for ``settings.modules``."""

from __future__ import annotations

from runtime.agents.spec import AgentSpec
from runtime.tools.tool import tool


@tool(kind="at_most_once", needs_approval=True)
def send(to: str) -> str:
    """Send the answer.

    Args:
        to: whom
    """
    return f"sent to {to}"


clerk = AgentSpec(name="clerk", description="Sends.", instructions="Send.", tools=("send", "ask_person", "calculate"))
