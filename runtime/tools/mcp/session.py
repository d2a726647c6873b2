"""One MCP server, connected when it is needed and again when it was lost.

A connection is entered and left in a task of its own, as its library wants it; calls of any number of runs share it. It is
given up when the server's end of it is closed, and after a call that was cancelled or failed it is only used again when
the server answers a question in time: a frozen server must not cost every later call its whole patience. What was under
way when a connection was lost is in doubt (:class:`runtime.errors.ToolInDoubt`); a call that found no connection surely was not made.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
from mcp import StdioServerParameters
from mcp.client import Client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from mcp_types import CONNECTION_CLOSED, CallToolResult
from mcp_types import Tool as McpTool

from runtime.clock import Clock
from runtime.config import McpServer
from runtime.errors import ToolFailed, ToolInDoubt
from runtime.telemetry import logger

ANSWERS_WITHIN_S = 5.0
"""How long a server in doubt may take to show that it is there."""
AGAIN_AFTER_S = 5.0
"""After a server could not be reached, calls fail at once for so long: not each of them waits for a start."""
MOST_PAGES = 20
MOST_TOOLS = 256
CLOSES_WITHIN_S = 8.0
"""For a server to end in order; the library takes up to 6 s over one that does not want to."""

_log = logger("mcp")


class _Link:
    """One connection."""

    def __init__(self, within_s: float) -> None:
        loop = asyncio.get_running_loop()
        self.deadline = loop.time() + within_s
        """Until when it must stand."""
        self.ready: asyncio.Future[Client] = loop.create_future()
        self.leave = asyncio.Event()
        self.lost = False
        """The server's end of it is closed."""
        self.suspect = False
        self.task: asyncio.Task[None] | None = None


class McpSession:
    """The connection to one server, whichever it is at the moment."""

    def __init__(self, name: str, server: McpServer, clock: Clock) -> None:
        self._name = name
        self._server = server
        self._clock = clock
        self._link: _Link | None = None
        self._opening = asyncio.Lock()
        self._given_up: set[asyncio.Task[None]] = set()
        self._failed: tuple[float, str] | None = None
        """When the server last could not be reached, and why."""

    async def tools(self) -> list[McpTool]:
        """What the server offers. Raises :class:`ToolFailed` when it cannot be asked in time."""
        link = await self._connected()
        try:
            async with asyncio.timeout(self._server.start_within_s):
                return await _listed(link.ready.result())
        except Exception as error:  # of whatever kind: what another's program says may be anything
            self._give_up(link)
            raise ToolFailed(f"the MCP server {self._name!r} does not say what it can do: {_said(error)}") from error

    async def call(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        """Call ``tool`` once. Raises :class:`ToolFailed` when it was not run, :class:`ToolInDoubt` when nobody knows."""
        link = await self._connected()
        client = link.ready.result()
        try:
            return await client.call_tool(tool, arguments)
        except asyncio.CancelledError:
            link.suspect = True
            raise
        except MCPError as error:
            link.suspect = True
            if link.lost or (self._server.url is not None and error.code == CONNECTION_CLOSED):
                raise ToolInDoubt(f"the MCP server {self._name!r} was lost during the call") from error
            raise ToolFailed(f"the MCP server {self._name!r} refused the call: {_said(error)}") from error
        except (httpx2.HTTPError, OSError) as error:
            link.suspect = True
            raise ToolInDoubt(f"the MCP server {self._name!r} was lost during the call: {_said(error)}") from error

    async def close(self) -> None:
        """End the connection, and a server that was started for it; one that will not end is left to its bond."""
        if self._link is not None:
            self._give_up(self._link)
        if self._given_up:
            _, open_ = await asyncio.wait(self._given_up, timeout=CLOSES_WITHIN_S)
            for task in open_:
                _log.warning("the MCP server %r did not end within %g s", self._name, CLOSES_WITHIN_S)
                task.cancel()

    # --- connections -------------------------------------------------------------------------------------------------

    async def _connected(self) -> _Link:
        """A connection that can be used. Raises :class:`ToolFailed`.

        A caller that cannot wait so long leaves the connection to the next one: a slow start is begun once.
        """
        async with self._opening:
            link = self._link
            if link is not None and (link.lost or (link.suspect and not await self._answers(link))):
                self._give_up(link)
                link = None
            if link is None:
                link = self._begun()
        try:
            async with asyncio.timeout_at(link.deadline):
                await asyncio.shield(link.ready)
        except Exception as error:  # of whatever kind: it is another's program that did not start
            why = (
                f"no answer within {self._server.start_within_s:g} s"
                if isinstance(error, TimeoutError)
                else _said(error)
            )
            raise self._failure(link, why) from error
        return link

    def _begun(self) -> _Link:
        """A new connection, on its way. Raises :class:`ToolFailed` when the last attempt is too short a time ago."""
        if self._failed is not None and self._clock.monotonic() - self._failed[0] < AGAIN_AFTER_S:
            raise ToolFailed(self._failed[1])
        link = self._link = _Link(self._server.start_within_s)
        link.task = asyncio.create_task(self._keep(link), name=f"mcp {self._name}")
        return link

    def _failure(self, link: _Link, why: str) -> ToolFailed:
        words = f"the MCP server {self._name!r} cannot be reached: {why}"
        if self._link is link:  # told once, however many wait for it
            _log.error("%s", words)
            self._failed = (self._clock.monotonic(), words)
        self._give_up(link)
        return ToolFailed(words)

    async def _answers(self, link: _Link) -> bool:
        """Whether the server behind a doubtful connection still answers."""
        try:
            async with asyncio.timeout(ANSWERS_WITHIN_S):
                await link.ready.result().list_tools(cache_mode="bypass")
        except Exception as error:  # of whatever kind, as above
            _log.warning("the MCP server %r does not answer any more (%s); connecting anew", self._name, _said(error))
            return False
        link.suspect = False
        return True

    def _give_up(self, link: _Link) -> None:
        """Leave the connection, which ends by itself."""
        if self._link is link:
            self._link = None
        task = link.task
        if task is None or task.done():
            return
        link.leave.set()
        if not link.ready.done():
            task.cancel()
        self._given_up.add(task)
        task.add_done_callback(self._given_up.discard)

    async def _keep(self, link: _Link) -> None:
        """Be connected until told to leave, all in one task."""
        try:
            async with Client(_heard(self._transport(), lambda: setattr(link, "lost", True))) as client:
                link.ready.set_result(client)
                await link.leave.wait()
        except asyncio.CancelledError:
            if not link.ready.done():
                link.ready.set_exception(ConnectionError("it was given up"))
                link.ready.exception()  # perhaps nobody waits for it any more
            raise
        except Exception as error:  # told to whoever waits for it; later ones have been told by their calls
            link.lost = True
            if not link.ready.done():
                link.ready.set_exception(error)
                link.ready.exception()
            else:
                _log.warning("the connection to the MCP server %r ended: %s", self._name, _said(error))

    @asynccontextmanager
    async def _transport(self) -> AsyncIterator[Any]:  # Any: the library's pair of streams
        server = self._server
        if server.command is not None:
            bond = (str(Path(__file__).with_name("bond.py")), str(os.getpid()))
            command = StdioServerParameters(
                command=sys.executable, args=["-I", "-S", *bond, server.command, *server.args], env=dict(server.env)
            )
            async with stdio_client(command) as streams:
                yield streams
            return
        assert server.url is not None  # one of the two, as the settings say
        timeout = httpx2.Timeout(30.0, read=None)  # a call's own limit bounds its answer
        async with (
            httpx2.AsyncClient(headers=server.headers, timeout=timeout, trust_env=False) as client,
            streamable_http_client(server.url, http_client=client) as streams,
        ):
            yield streams


async def _listed(client: Client) -> list[McpTool]:
    found: list[McpTool] = []
    cursor: str | None = None
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if cursor is None or len(found) >= MOST_TOOLS:
            break
    return found[:MOST_TOOLS]


@asynccontextmanager
async def _heard(transport: Any, ended: Callable[[], None]) -> AsyncIterator[Any]:
    """``transport``, with a word when its other side has closed it."""
    async with transport as (read, write):
        yield _Reading(read, ended), write


class _Reading:
    """A stream of messages that notices its end; Any throughout, as the library's stream is passed through."""

    def __init__(self, inner: Any, ended: Callable[[], None]) -> None:
        self._inner = inner
        self._ended = ended

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __aiter__(self) -> _Reading:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._inner.__anext__()
        except StopAsyncIteration:
            self._ended()
            raise

    async def __aenter__(self) -> _Reading:
        await self._inner.__aenter__()
        return self

    async def __aexit__(self, *failure: Any) -> Any:
        return await self._inner.__aexit__(*failure)


def _said(error: BaseException) -> str:
    """What went wrong, in one line; the first cause of a group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join((str(error) or type(error).__name__).split())[:300]
