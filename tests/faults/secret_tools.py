"""A tool that not everybody may see, for tests of who sees what."""

from runtime.agents.spec import AgentSpec
from runtime.tools.tool import tool


@tool(visible=["spy"])
def secret_count(start: str) -> int:
    """Count what must not be known."""
    return len(start)


COUNTER = AgentSpec(name="counter", description="Counts.", instructions="Count.", tools=("secret_count",))
