"""Running one tool call. Whatever goes wrong inside a tool is an answer the model reads, not an exception.

Only cancellation of the caller gets through. How a call ended is said apart from its words, because an effect that surely
did not happen, one that did, and one nobody knows of are three things (JOURNAL.md P6).
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol

from runtime.clock import Clock
from runtime.errors import ToolInDoubt
from runtime.events.attachments import Attachment
from runtime.telemetry import logger
from runtime.tools.answers import Unfit, bounded, result_of, told, values_of
from runtime.tools.threads import AT_ONCE, Threads, TooManyHang
from runtime.tools.tool import Citation, Tool, ToolContext, ToolResult

START_WITHIN_S = 60.0
"""How long a call waits for its place, its thread or its process before it is given up, not begun."""
OBEY_WITHIN_S = 1.0
"""How long an async tool may take over its clean-up once it is cancelled (JOURNAL.md P8: tools are told, and not waited for)."""

_log = logger("tools")

Ending = Literal["answered", "not_begun", "timed_out", "died"]
"""``answered``: the tool returned or raised, so it says itself what it did. ``not_begun``: it surely had no effect. The
others: it had begun, and whether it had its effect is not known."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What came of one call."""

    text: str
    """For the model, bounded."""
    is_error: bool
    citations: tuple[Citation, ...]
    ms: int
    """How long it took."""
    ending: Ending = "answered"

    attachments: tuple[Attachment, ...] = ()

    @property
    def in_doubt(self) -> bool:
        """Whether the tool had begun and may or may not have had its effect."""
        return self.ending in ("timed_out", "died")


_Outcome = tuple[ToolResult, bool, Ending]


class ToolRunner(Protocol):
    """The port through which agents run tools."""

    async def run(self, tool: Tool, arguments: dict[str, Any], context: ToolContext) -> Invocation:
        """Run ``tool`` once. Raises nothing but ``CancelledError``; a failure is an Invocation with ``is_error``.

        When the call takes too long or the caller is cancelled, the tool is told to stop: ``context.cancelled`` turns
        true, an async function is cancelled, a process is killed. A thread works on, unheard.
        """
        ...


class LocalToolRunner:
    """Runs tools in this process: async functions on the loop, sync ones in threads."""

    def __init__(self, clock: Clock, threads: int = AT_ONCE) -> None:
        self._clock = clock
        self._threads = Threads(threads)
        self._disobedient: set[asyncio.Task[_Outcome]] = set()

    async def run(self, tool: Tool, arguments: dict[str, Any], context: ToolContext) -> Invocation:
        started = self._clock.monotonic()
        cancelled = threading.Event()
        try:
            watching = replace(context, cancelled=cancelled.is_set)
            result, is_error, ending = await self._run(tool, arguments, watching)
        finally:
            cancelled.set()
        ms = round((self._clock.monotonic() - started) * 1000)
        return Invocation(bounded(result.text), is_error, result.citations, ms, ending, result.attachments)

    async def _run(self, tool: Tool, arguments: dict[str, Any], context: ToolContext) -> _Outcome:
        begun = asyncio.Event()
        try:
            values = values_of(tool, arguments)
        except Unfit as error:
            return ToolResult(str(error)), True, "not_begun"
        if tool.context_parameter is not None:
            values[tool.context_parameter] = context
        work = self._outcome(tool, partial(tool.function, **values), context, begun)
        task = asyncio.create_task(work, name=f"tool {tool.name}")
        try:
            at_once = inspect.iscoroutinefunction(tool.function)
            if (at_once or await _begins(task, begun)) and await _ends(task, tool.timeout_s):
                return task.result()
        except asyncio.CancelledError:
            await self._end(task, tool)
            raise
        await self._end(task, tool)
        if begun.is_set():
            _log.warning("tool %s took longer than %g s (run %s)", tool.name, tool.timeout_s, context.run_id)
            return ToolResult(too_long(tool)), True, "timed_out"
        return ToolResult(too_busy(tool)), True, "not_begun"

    async def _outcome(
        self, tool: Tool, call: Callable[[], Any], context: ToolContext, begun: asyncio.Event
    ) -> _Outcome:
        """Run the function; what it raises is caught here, since SystemExit out of a task would end the loop."""
        try:
            return result_of(await self._execute(tool, call, begun)), False, "answered"
        except ToolInDoubt as error:
            return ToolResult(told(tool, context.run_id, error)), True, "died"
        except TooManyHang as error:
            return ToolResult(f"{tool.name} was not run: {error}"), True, "not_begun"
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            failure: BaseException = error  # nobody cancelled us: the tool cancelled something of its own
        except (Exception, SystemExit) as error:
            failure = error
        return ToolResult(told(tool, context.run_id, failure)), True, "answered"

    async def _execute(self, tool: Tool, call: Callable[[], Any], begun: asyncio.Event) -> object:
        if inspect.iscoroutinefunction(tool.function):
            begun.set()
            return await call()
        value = await self._threads.run(tool.name, call, begun.set)
        return await value if inspect.isawaitable(value) else value

    async def _end(self, task: asyncio.Task[_Outcome], tool: Tool) -> None:
        """Cancel the call and wait a moment for it; one that will not end is left to itself."""
        task.cancel()
        if not await _ends(task, OBEY_WITHIN_S):
            _log.error("tool %s does not end although it was cancelled; it is left to itself", tool.name)
            self._disobedient.add(task)
            task.add_done_callback(self._disobedient.discard)


async def _begins(task: asyncio.Task[_Outcome], begun: asyncio.Event) -> bool:
    """Wait until the call has begun, or has ended without; False when it takes too long."""
    waiting = asyncio.create_task(begun.wait())
    try:
        done, _ = await asyncio.wait({task, waiting}, timeout=START_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    return bool(done)


async def _ends(task: asyncio.Task[_Outcome], within_s: float) -> bool:
    done, _ = await asyncio.wait({task}, timeout=within_s)
    return bool(done)


def too_long(tool: Tool) -> str:
    """What the model reads of a call that took too long."""
    return f"{tool.name} took longer than {tool.timeout_s:g} s and was given up"


def too_busy(tool: Tool) -> str:
    """What the model reads of a call that never found its place."""
    return f"{tool.name} was not run: there was no place for it within {START_WITHIN_S:g} s"
