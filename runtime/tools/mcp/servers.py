"""All MCP servers of one process: their tools found at its start, and later those of a server that was away then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence

from mcp_types import Tool as McpTool

from runtime.clock import Clock
from runtime.config import McpServer
from runtime.errors import ToolFailed
from runtime.telemetry import logger
from runtime.tools.mcp.convert import absent_tool, tool_of
from runtime.tools.mcp.session import McpSession
from runtime.tools.tool import SEPARATOR, Tool

LOOK_AGAIN_S = 30.0
"""Between two looks for a server that could not be reached."""

_log = logger("mcp")


class McpServers:
    """The servers in ``servers``; ``named`` are the tools of theirs that agents name one by one."""

    def __init__(self, servers: Mapping[str, McpServer], named: Iterable[str], clock: Clock) -> None:
        self._servers = dict(servers)
        self._named = tuple(named)
        self._clock = clock
        self._sessions = {name: McpSession(name, server, clock) for name, server in servers.items()}
        self._found: dict[str, Sequence[Tool]] = {}
        self._looking: asyncio.Task[None] | None = None

    @property
    def names(self) -> Sequence[str]:
        """The servers there are."""
        return tuple(self._servers)

    async def start(self, changed: Callable[[Sequence[Tool]], None]) -> Sequence[Tool]:
        """The tools of all servers that can be reached in time, asked side by side.

        ``changed`` hears all tools anew when a server that was away is found. Raises nothing: what a server lacks is logged.
        """
        await asyncio.gather(*map(self._look, self._servers))
        if len(self._found) < len(self._servers):
            self._looking = asyncio.create_task(self._look_again(changed), name="mcp-look")
        return self.tools()

    def tools(self) -> Sequence[Tool]:
        """All that were found, and for each named one that was not: one that says so."""
        found = {tool.name: tool for tools in self._found.values() for tool in tools}
        absent = (name for name in self._named if name not in found)
        return (*found.values(), *map(self._absent, absent))

    async def stop(self) -> None:
        """Close every connection and end every server that was started."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await asyncio.gather(*(session.close() for session in self._sessions.values()))

    async def _look(self, name: str) -> None:
        try:
            offered = await self._sessions[name].tools()
        except ToolFailed as error:
            _log.error("%s; its tools are not offered until it is there", error.message)
            return
        self._found[name] = self._converted(name, offered)

    async def _look_again(self, changed: Callable[[Sequence[Tool]], None]) -> None:
        while missing := [name for name in self._servers if name not in self._found]:
            await self._clock.sleep(LOOK_AGAIN_S)
            await asyncio.gather(*map(self._look, missing))
            if any(name in self._found for name in missing):
                changed(self.tools())

    def _converted(self, name: str, offered: Iterable[McpTool]) -> Sequence[Tool]:
        tools: dict[str, Tool] = {}
        for one in offered:
            try:
                tool = tool_of(name, self._servers[name], one, self._sessions[name].call)
            except (ValueError, RecursionError) as error:
                _log.error("the tool %r of the MCP server %r is left out: %s", one.name[:100], name, error)
                continue
            if tools.setdefault(tool.name, tool) is not tool:
                _log.error("the MCP server %r has two tools called %r; one is left out", name, one.name[:100])
        return tuple(tools.values())

    def _absent(self, full_name: str) -> Tool:
        name = full_name.partition(SEPARATOR)[0]
        return absent_tool(full_name, self._servers[name], self._sessions[name].tools)
