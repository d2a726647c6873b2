"""A :class:`ModelRequest` as the arguments of ``messages.create``. Pure, and the same bytes for the same request.

System prompt and tools come first and never change within a run, and a conversation only grows at its end, so the
provider's prompt cache holds them (:mod:`runtime.llm.caching`). The API refuses some of what a log may hold: empty text,
thinking without its signature (a turn made by another adapter), a tool run by the provider whose result never came (a turn
cut short). These are left out here; all else goes back as it came. Lone surrogates, which a tool may return and UTF-8
cannot hold, become U+FFFD as they do in the log.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

from runtime.errors import ModelRequestRejected
from runtime.events.messages import (
    ContentBlock,
    Conversation,
    OpaqueBlock,
    ServerToolUseBlock,
    TextBlock,
    ThinkingBlock,
)
from runtime.llm import caching
from runtime.llm.client import ModelRequest
from runtime.llm.models import CATALOGUE
from runtime.llm.options import ModelOptions

Arguments = dict[str, Any]
"""Keyword arguments of the SDK. ``Any``: they are the SDK's own typed dictionaries, written as plain data."""

_SURROGATE = re.compile("[\ud800-\udfff]")

SchemaTransform = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns any JSON Schema into the subset the API accepts (``additionalProperties: false`` everywhere)."""


def render(request: ModelRequest, transform: SchemaTransform) -> Arguments:
    """The arguments; raises :class:`ModelRequestRejected` when the output schema cannot be put to the API."""
    arguments: Arguments = {
        "model": request.model,
        "max_tokens": request.max_tokens,
        "messages": _messages(request.messages),
    }
    if request.system:
        arguments["system"] = [{"type": "text", "text": request.system}]
    if request.tools or request.server_tools:
        arguments["tools"] = [
            {"name": tool.name, "description": tool.description, "input_schema": tool.input_schema}
            for tool in request.tools
        ] + [CATALOGUE.server_tools.find(name).declared(name) for name in request.server_tools]
        arguments |= _tool_choice(request)
    arguments |= _options(request.options)
    if request.output_schema is not None:
        arguments["output_config"] = {"format": _format(request.output_schema, transform)}
    facts = CATALOGUE.find(request.model)
    arguments = _storable(arguments)
    caching.mark(arguments, facts.cache_minimum if facts else 0)
    return arguments


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


def _tool_choice(request: ModelRequest) -> Arguments:
    choice = request.tool_choice
    alone: Arguments = {} if request.options.parallel_tool_calls else {"disable_parallel_tool_use": True}
    if choice == "none":
        return {"tool_choice": {"type": "none"}}
    if choice is None:
        return {"tool_choice": {"type": "auto", **alone}} if alone else {}
    return {"tool_choice": {"type": "any", **alone} if choice == "any" else {"type": "tool", "name": choice, **alone}}


def _options(options: ModelOptions) -> Arguments:
    arguments: Arguments = {}
    match options.thinking:
        case None:
            pass
        case "off":
            arguments["thinking"] = {"type": "disabled"}
        case "adaptive":
            arguments["thinking"] = {"type": "adaptive"}
        case budget:
            arguments["thinking"] = {"type": "enabled", "budget_tokens": budget}
    if options.stop_sequences:
        arguments["stop_sequences"] = list(options.stop_sequences)
    if options.extra_body:
        arguments["extra_body"] = options.extra_body
    return arguments


def _format(schema: dict[str, Any], transform: SchemaTransform) -> Arguments:
    try:
        return {"type": "json_schema", "schema": transform(schema)}
    except (ValueError, TypeError, AssertionError) as error:
        # What the SDK's transform raises on a schema that leaves a type open or names several.
        raise ModelRequestRejected(f"the output schema cannot be put to the model: {error}", None, True) from error


def _messages(conversation: Conversation) -> list[Arguments]:
    last = len(conversation) - 1
    answered = {
        block.model_extra.get("tool_use_id")
        for message in conversation
        for block in message.content
        if isinstance(block, OpaqueBlock) and block.model_extra
    }
    rendered = [
        # At the very end, a tool the provider has begun is what it goes on with after a pause.
        {"role": message.role, "content": [_block(b) for b in message.content if _is_sendable(b, answered, at == last)]}
        for at, message in enumerate(conversation)
    ]
    return [message for message in rendered if message["content"]]


def _is_sendable(block: ContentBlock, answered: set[Any], is_last: bool) -> bool:
    match block:
        case TextBlock():
            return bool(block.text.strip())
        case ThinkingBlock():
            return bool(block.signature)
        case ServerToolUseBlock():
            return is_last or block.id in answered
    return True


def _block(block: ContentBlock) -> Arguments:
    rendered = {key: list(value) if isinstance(value, tuple) else value for key, value in block.model_dump().items()}
    if rendered.get("is_error") is False:
        del rendered["is_error"]
    return rendered
