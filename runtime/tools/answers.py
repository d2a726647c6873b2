"""From a model's arguments to a function's, and from what came of it to words for the model. Pure but for the log lines."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from runtime.errors import HeadraceError
from runtime.events.attachments import Attachment
from runtime.telemetry import guarded, logger
from runtime.tools.files import kept
from runtime.tools.schema import mistakes
from runtime.tools.tool import Tool, ToolResult

MAX_RESULT_BYTES = 32 * 1024
"""Of a result's text: about 8,000 tokens, twice what read_document gives."""
_MISTAKES = 5
"""Mistakes told at once; a model mends no more."""
_MESSAGE = 500
"""Characters of an exception's message the model reads."""
_UNSENDABLE = {0: None} | dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
"""NUL and lone surrogates, which PostgreSQL and UTF-8 do not take (SECURITY.md 1)."""
_ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)  # Any: what a user's tool returns

_log = logger("tools")


class Unfit(Exception):
    """Arguments that do not fit, or a result that JSON cannot hold, in words for the model."""


def problem_of(tool: Tool, arguments: dict[str, Any]) -> str | None:
    """What is wrong with ``arguments``, in words for the model; None if they fit."""
    try:
        values_of(tool, arguments)
    except Unfit as error:
        return str(error)
    return None


def values_of(tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
    """The function's keyword arguments. Raises :class:`Unfit`.

    By way of JSON text, so that the rules are JSON's: ``"5"`` is no number, ``true`` is none either, but a list may be a
    tuple and a string a date.
    """
    try:
        text = json.dumps(arguments, allow_nan=False)
        if tool.arguments is None:
            return _by_schema(tool, arguments)
        model = tool.arguments.model_validate_json(text, strict=True)
    except ValidationError as error:
        raise Unfit(_mistakes(tool, error)) from error
    except (TypeError, ValueError, RecursionError) as error:
        raise Unfit(f"the arguments of {tool.name} are no JSON: {error}"[:_MESSAGE]) from error
    return {field.alias or name: getattr(model, name) for name, field in tool.arguments.model_fields.items()}


def _by_schema(tool: Tool, arguments: dict[str, Any]) -> dict[str, Any]:
    lines = mistakes(tool.input_schema, arguments, _MISTAKES)
    if lines:
        raise Unfit("\n".join([f"{tool.name} was not run, its arguments do not fit:", *lines]))
    return {"arguments": arguments}


def _mistakes(tool: Tool, error: ValidationError) -> str:
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    lines = [
        f"- {'.'.join(str(part) for part in p['loc'][:6]) or 'arguments'}: {p['msg']}"[:300]
        for p in problems[:_MISTAKES]
    ]
    if len(problems) > _MISTAKES:
        lines.append(f"- and {len(problems) - _MISTAKES} more")
    fields = tool.arguments.model_fields if tool.arguments is not None else {}
    known = ", ".join(field.alias or name for name, field in fields.items()) or "none"
    return "\n".join([f"{tool.name} was not run, its arguments do not fit:", *lines, f"Its parameters: {known}."])


def told(tool: Tool, run_id: str, error: BaseException) -> str:
    """An exception in words for the model; the traceback is for the log only. Our own errors already speak to the reader."""
    if not isinstance(error, Unfit):
        _log.warning("tool %s failed (run %s)", tool.name, run_id, exc_info=error)
    return words_of(tool, error)


def words_of(tool: Tool, error: BaseException) -> str:
    """The same without the log line."""
    return str(error) if isinstance(error, Unfit) else shortened(what_failed(tool, error))


def what_failed(tool: Tool, error: BaseException) -> str:
    """In words, however long they are."""
    if isinstance(error, HeadraceError):
        return f"{tool.name} failed: {error.message or error.code}"
    return f"{tool.name} failed: {type(error).__name__}: {error}".rstrip(": ")


def shortened(words: str) -> str:
    """As many as the model reads. Secrets are taken out first: half of one would not be known as one."""
    return guarded(words)[:_MESSAGE].rstrip(": ")


def result_of(value: object) -> ToolResult:
    """What a function returned, as a result. Raises :class:`Unfit` when JSON cannot hold it."""
    if isinstance(value, ToolResult):
        return kept(value)
    if isinstance(value, Attachment):
        return kept(ToolResult("", attachments=(value,)))
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
        raise Unfit(f"the tool returned a {type(value).__name__}, which JSON cannot hold") from error


def bounded(text: str, most: int = MAX_RESULT_BYTES) -> str:
    """``text`` as every store takes it, without the secrets this process knows, cut to ``most`` bytes with a note."""
    clean = guarded(text.translate(_UNSENDABLE))
    data = clean.encode()
    if len(data) <= most:
        return clean
    note = f"\n... (cut: {len(data)} bytes in all; ask for less)"
    return data[: most - len(note)].decode(errors="ignore") + note
