"""An agent with the tools of an MCP server. Install one (`pip install mcp-server-time`), and start with

HEADRACE_MCP_SERVERS='{"time": {"command": "mcp-server-time", "kinds": {"get_current_time": "read"}}}' \
headrace serve --module examples.mcp_time
"""

from runtime.agents.spec import AgentSpec

CLOCK = AgentSpec(
    name="clock",
    description="Knows what time it is anywhere, and converts times between time zones.",
    instructions="Answer the task about times with the tools you have. State the time and its zone in one sentence.",
    tools=("time__*",),
)
