"""A :class:`ModelRequest` as the arguments of ``messages.create``. Pure, and the same bytes for the same request.

System prompt and tools come first and never change within a run, so the provider's prompt cache holds them: the one
cache mark sits on the system block and covers the tools before it. The API refuses some of what a log may hold, such as
empty text or thinking without its signature (a turn made by another adapter); these are left out here. Lone surrogates,
which a tool may return and UTF-8 cannot hold, become U+FFFD as they do in the log.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from runtime.errors import ModelRequestRejected
from runtime.events.messages import ContentBlock, Message, TextBlock, ThinkingBlock
from runtime.llm.client import ModelRequest

Arguments = dict[str, Any]
"""Keyword arguments of the SDK. ``Any``: they are the SDK's own typed dictionaries, written as plain data."""

SCHEMA_GROWTH = 3
"""An output schema grows on its way: the SDK writes ``additionalProperties`` into every object and limits into descriptions."""
_SURROGATE = re.compile("[\ud800-\udfff]")

SchemaTransform = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns any JSON Schema into the subset the API accepts (``additionalProperties: false`` everywhere)."""


def render(request: ModelRequest, transform: SchemaTransform) -> Arguments:
    """The arguments; raises :class:`ModelRequestRejected` when the output schema cannot be put to the API."""
    arguments: Arguments = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": [m for m in map(_message, request.messages) if m["content"]],
    }
    if request.system:
        arguments["system"] = [{"type": "text", "text": request.system, "cache_control": {"type": "ephemeral"}}]
    if request.tools:
        arguments["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}
            for tool in request.tools
        ]
        arguments |= _tool_choice(request.tool_choice)
    if request.output_schema is not None:
        arguments["output_config"] = {"format": _format(request.output_schema, transform)}
    return _storable(arguments)


def request_bytes(request: ModelRequest) -> int:
    """At least as many bytes as what the model is asked has in UTF-8: no tokenizer makes more tokens of it than that."""
    schema = orjson.dumps(request.output_schema) if request.output_schema is not None else b""
    return len(orjson.dumps(render(request, lambda whole: whole))) + SCHEMA_GROWTH * len(schema)


def _storable(arguments: Arguments) -> Arguments:
    try:
        orjson.dumps(arguments)
    except TypeError:  # rare, and only then is everything looked through
        return _clean(arguments)  # type: ignore[no-any-return]  # a dictionary stays one
    return arguments


def _clean(value: Any) -> Any:
    """``value`` with every lone surrogate replaced; Any because it is any JSON value."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def _tool_choice(choice: str | None) -> Arguments:
    if choice is None:
        return {}
    return {"tool_choice": {"type": "none"} if choice == "none" else {"type": "tool", "name": choice}}


def _format(schema: dict[str, Any], transform: SchemaTransform) -> Arguments:
    try:
        return {"type": "json_schema", "schema": transform(schema)}
    except (ValueError, TypeError, AssertionError) as error:
        # What the SDK's transform raises on a schema that leaves a type open or names several.
        raise ModelRequestRejected(f"the output schema cannot be put to the model: {error}", None, True) from error


def _message(message: Message) -> Arguments:
    return {"role": message.role, "content": [_block(block) for block in message.content if _is_sendable(block)]}


def _is_sendable(block: ContentBlock) -> bool:
    if isinstance(block, TextBlock):
        return bool(block.text.strip())
    return not isinstance(block, ThinkingBlock) or bool(block.signature)


def _block(block: ContentBlock) -> Arguments:
    rendered = block.model_dump()
    if rendered.get("is_error") is False:
        del rendered["is_error"]
    return rendered
