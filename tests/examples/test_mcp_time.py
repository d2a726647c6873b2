"""The example with an MCP server: a server from PyPI is started, asked and ended by a run."""

from __future__ import annotations

import sys
from pathlib import Path

from runtime.bootstrap.system import in_process_server
from runtime.client import HeadraceClient
from runtime.config import McpServer, Settings
from runtime.events import catalog as ev

SCRIPT = Path(__file__).parents[2] / "examples" / "mcp_time.toml"


async def test_agent_of_the_example_uses_a_real_server(tmp_path: Path) -> None:
    settings = Settings(
        model="scripted",
        script=SCRIPT,
        modules=("examples.mcp_time",),
        mcp_servers={"time": McpServer(command=sys.executable, args=("-m", "mcp_server_time"))},
        data_dir=tmp_path,
        log="memory:",
    )
    async with in_process_server(settings) as url, HeadraceClient(url) as client:
        events = [e.data async for e in client.stream("What is 9:30 in Kolkata in Tokyo?")]
    [called] = [event for event in events if isinstance(event, ev.ToolCalled)]
    assert (called.name, called.kind) == ("time__convert_time", "read")
    assert called.title
    assert called.description
    [answered] = [event for event in events if isinstance(event, ev.ToolCompleted)]
    assert not answered.is_error, answered.result
    assert "13:00:00+09:00" in answered.result
    assert isinstance(events[-1], ev.RunCompleted)
