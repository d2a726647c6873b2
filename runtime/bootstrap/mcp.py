"""The MCP servers that a process's agents use; their library is imported only where there are any."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from runtime.clock import Clock
from runtime.composition import ALL, Composition, server_of
from runtime.tools.tool import Tool


class ToolServers(Protocol):
    """Servers of tools, once :func:`build_servers` has made them; see :class:`runtime.tools.mcp.servers.McpServers`."""

    async def start(self, changed: Callable[[Sequence[Tool]], None]) -> Sequence[Tool]: ...
    async def stop(self) -> None: ...


def build_servers(parts: Composition, agents: Collection[str], clock: Clock) -> ToolServers | None:
    """The servers whose tools ``agents`` may call; None when there are none."""
    names = [name for agent in agents for name in parts.specs[agent].tools if server_of(name)]
    servers = {name: about for name, about in parts.settings.mcp_servers.items() if name in map(server_of, names)}
    if not servers:
        return None
    module = importlib.import_module("runtime.tools.mcp.servers")
    named = dict.fromkeys(n for n in names if server_of(n) in servers and not n.endswith(ALL))
    made: ToolServers = module.McpServers(servers, named, clock)
    return made
