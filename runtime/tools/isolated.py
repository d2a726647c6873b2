"""Isolated tools, each call in a process of its own: a crash, an endless loop or a lack of memory costs that call alone.

Where the processes come from is the port :class:`Workers`: children of this one (``processes``), or Ray's workers
(``actors/tool_tasks.py``). A process says ``begun`` before the tool runs, and the tool runs only once that can be heard
(in a pipe, or taken by the reader): so a call that has not begun surely had no effect, and may be repeated by anyone.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from runtime.clock import Clock
from runtime.telemetry import logger
from runtime.tools.answers import bounded, problem_of, shortened
from runtime.tools.call import Call, Frame, call_of, decode_frame
from runtime.tools.invoke import START_WITHIN_S, Ending, Invocation, ToolRunner, too_busy, too_long
from runtime.tools.tool import Resources, Tool, ToolContext, ToolResult

_log = logger("tools")

_Outcome = tuple[ToolResult, bool, Ending]


class WorkerDied(Exception):
    """The process ended without an answer; the message says how, as far as is known."""


class Workers(Protocol):
    """Gives each call a process of its own."""

    def open(self, call: Call, resources: Resources) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Run ``call`` in a new process; gives the frames it says, which end by raising :class:`WorkerDied`.

        Leaving the context kills the process and all it started, whatever it is doing.
        """
        ...


class IsolatingToolRunner:
    """Runs isolated tools in processes of ``workers``, the others by ``local``."""

    def __init__(self, local: ToolRunner, workers: Workers, clock: Clock) -> None:
        self._local = local
        self._workers = workers
        self._clock = clock

    async def run(self, tool: Tool, arguments: dict[str, Any], context: ToolContext) -> Invocation:
        if tool.isolation is None:
            return await self._local.run(tool, arguments, context)
        started = self._clock.monotonic()
        result, is_error, ending = await self._run(tool, tool.isolation, arguments, context)
        if ending != "answered":
            _log.warning("tool %s (run %s): %s: %s", tool.name, context.run_id, ending, result.text)
        ms = round((self._clock.monotonic() - started) * 1000)
        return Invocation(bounded(result.text), is_error, result.citations, ms, ending, result.attachments)

    async def _run(self, tool: Tool, resources: Resources, arguments: dict[str, Any], context: ToolContext) -> _Outcome:
        problem = problem_of(tool, arguments)
        if problem is not None:
            return ToolResult(problem), True, "not_begun"
        begun = False
        try:
            async with asyncio.timeout(START_WITHIN_S) as limit:
                async with self._workers.open(call_of(tool, arguments, context, resources), resources) as frames:
                    async for data in frames:
                        frame = _decoded(data)
                        if frame.kind == "begun":
                            begun = True
                            limit.reschedule(asyncio.get_running_loop().time() + tool.timeout_s)
                        elif (outcome := _heard(frame, context, tool)) is not None:
                            return outcome
            raise WorkerDied("it ended without an answer")
        except WorkerDied as error:
            if begun:
                return ToolResult(f"the process of {tool.name} died: {error}"), True, "died"
            return ToolResult(f"{tool.name} was not run, its process died first: {error}"), True, "not_begun"
        except TimeoutError:
            if begun:
                return ToolResult(too_long(tool)), True, "timed_out"
            return ToolResult(too_busy(tool)), True, "not_begun"


def _decoded(data: bytes) -> Frame:
    try:
        return decode_frame(data)
    except (TypeError, ValueError) as error:
        raise WorkerDied("it spoke out of turn") from error


def _heard(frame: Frame, context: ToolContext, tool: Tool) -> _Outcome | None:
    match frame.kind:
        case "refused":
            return ToolResult(frame.text), True, "not_begun"
        case "answer":
            if frame.trace:
                _log.warning("tool %s failed (run %s)\n%s", tool.name, context.run_id, frame.trace)
                return ToolResult(shortened(frame.text)), True, "answered"
            return frame.result(), frame.is_error, "answered"
        case "custom":
            context.emit(frame.text, frame.value)
    return None
