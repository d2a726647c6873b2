"""Running one tool call. Whatever goes wrong inside a tool is an answer the model reads, not an exception.

Only cancellation of the caller gets through. A sync function runs in a thread, and no thread can be stopped: after its
timeout it works on unheard, and keeps its place in the pool until it ends.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from pydantic import BaseModel, TypeAdapter, ValidationError

from runtime.clock import Clock
from runtime.errors import HeadraceError
from runtime.telemetry import logger
from runtime.tools.tool import Citation, Tool, ToolContext, ToolResult

MAX_RESULT_BYTES = 32 * 1024
"""Of a result's text: about 8,000 tokens, twice what read_document gives."""
_THREADS = 16
"""Sync tools at one time in one process."""
_MISTAKES = 5
"""Mistakes told at once; a model mends no more."""
_MESSAGE = 500
"""Characters of an exception's message the model reads."""
_UNSENDABLE = {0: None} | dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
"""NUL and lone surrogates, which PostgreSQL and UTF-8 do not take (SECURITY.md 1)."""
_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)  # Any: what a user's tool returns

_log = logger("tools")


@dataclass(frozen=True, slots=True)
class Invocation:
    """What came of one call."""

    text: str
    """For the model, bounded."""
    is_error: bool
    citations: tuple[Citation, ...]
    ms: int
    """How long it took."""


class ToolRunner(Protocol):
    """The port through which agents run tools."""

    async def run(self, tool: Tool, arguments: dict[str, Any], context: ToolContext) -> Invocation:
        """Run ``tool`` once. Raises nothing but ``CancelledError``; a failure is an Invocation with ``is_error``."""
        ...


class _Failed(Exception):
    """A failure put into words for the model."""


class LocalToolRunner:
    """Runs tools in this process: async functions on the loop, sync ones in threads."""

    def __init__(self, clock: Clock, threads: int = _THREADS) -> None:
        self._clock = clock
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tool")

    async def run(self, tool: Tool, arguments: dict[str, Any], context: ToolContext) -> Invocation:
        started = self._clock.monotonic()
        try:
            result = _result(await self._call(tool, _validated(tool, arguments), context))
            failed = False
        except _Failed as failure:
            result, failed = ToolResult(str(failure)), True
        ms = round((self._clock.monotonic() - started) * 1000)
        return Invocation(_bounded(result.text), failed, result.citations, ms)

    def close(self) -> None:
        """Take no further calls; does not wait for threads that are still at work."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _call(self, tool: Tool, values: dict[str, Any], context: ToolContext) -> object:
        if tool.context_parameter is not None:
            values[tool.context_parameter] = context
        try:
            async with asyncio.timeout(tool.timeout_s) as limit:
                return await self._execute(partial(tool.function, **values), inspect.iscoroutinefunction(tool.function))
        except TimeoutError as error:
            if limit.expired():
                _log.warning("tool %s took longer than %g s (run %s)", tool.name, tool.timeout_s, context.run_id)
                raise _Failed(f"{tool.name} took longer than {tool.timeout_s:g} s and was given up") from error
            raise _told(tool, context, error) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise _told(tool, context, error) from error  # nobody cancelled us: the tool cancelled something of its own
        except (Exception, SystemExit) as error:
            raise _told(tool, context, error) from error

    async def _execute(self, call: Callable[[], Any], is_async: bool) -> object:
        if is_async:
            return await call()
        variables = contextvars.copy_context()
        value, error = await asyncio.get_running_loop().run_in_executor(self._pool, variables.run, _caught, call)
        if error is not None:
            raise error
        return await value if inspect.isawaitable(value) else value


def _caught(call: Callable[[], object]) -> tuple[object, BaseException | None]:
    """A thread's outcome as a value: a future cannot carry StopIteration, and SystemExit would end the loop."""
    try:
        return call(), None
    except StopIteration as error:
        return None, RuntimeError(f"StopIteration: {error}").with_traceback(error.__traceback__)
    except (Exception, SystemExit) as error:
        return None, error


def _validated(tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
    """The function's keyword arguments. By way of JSON text, so that the rules are JSON's: ``"5"`` is no number,
    ``true`` is none either, but a list may be a tuple and a string a date."""
    try:
        model = tool.arguments.model_validate_json(json.dumps(arguments, allow_nan=False), strict=True)
    except ValidationError as error:
        raise _Failed(_mistakes(tool, error)) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise _Failed(f"the arguments of {tool.name} are no JSON: {error}"[:_MESSAGE]) from error
    return {field.alias or name: getattr(model, name) for name, field in tool.arguments.model_fields.items()}


def _mistakes(tool: Tool, error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [
        f"- {'.'.join(str(part) for part in p['loc'][:6]) or 'arguments'}: {p['msg']}"[:300]
        for p in problems[:_MISTAKES]
    ]
    if len(problems) > _MISTAKES:
        lines.append(f"- and {len(problems) - _MISTAKES} more")
    known = ", ".join(field.alias or name for name, field in tool.arguments.model_fields.items()) or "none"
    return "\n".join([f"{tool.name} was not run, its arguments do not fit:", *lines, f"Its parameters: {known}."])


def _told(tool: Tool, context: ToolContext, error: BaseException) -> _Failed:
    """The words for the model; the traceback is for the log only. Our own errors already speak to the reader."""
    _log.warning("tool %s failed (run %s)", tool.name, context.run_id, exc_info=error)
    if isinstance(error, HeadraceError):
        return _Failed(f"{tool.name} failed: {error.message or error.code}"[:_MESSAGE])
    return _Failed(f"{tool.name} failed: {type(error).__name__}: {error}"[:_MESSAGE].rstrip(": "))


def _result(value: object) -> ToolResult:
    if isinstance(value, ToolResult):
        return value
    if value is None:
        return ToolResult("(no result)")
    if isinstance(value, str):
        return ToolResult(value)
    try:
        if isinstance(value, BaseModel):
            return ToolResult(value.model_dump_json())
        return ToolResult(_ANYTHING.dump_json(value).decode())
    except (ValueError, TypeError, RecursionError) as error:
        _log.warning("a tool returned %s, which JSON cannot hold", type(value).__name__, exc_info=error)
        raise _Failed(f"the tool returned a {type(value).__name__}, which JSON cannot hold") from error


def _bounded(text: str) -> str:
    clean = text.translate(_UNSENDABLE)
    data = clean.encode()
    if len(data) <= MAX_RESULT_BYTES:
        return clean
    note = f"\n... (cut: {len(data)} bytes in all; ask for less)"
    return data[: MAX_RESULT_BYTES - len(note)].decode(errors="ignore") + note
