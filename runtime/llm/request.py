"""A :class:`ModelRequest` as the arguments of ``messages.create``. Pure, and the same bytes for the same request.

System prompt and tools come first and never change within a run, so the provider's prompt cache holds them: the one
cache mark sits on the system block and covers the tools before it. The API refuses some of what a log may hold, such as
empty text or thinking without its signature (a turn made by another adapter); these are left out here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.errors import ModelRequestRejected
from runtime.events.messages import ContentBlock, Message, TextBlock, ThinkingBlock
from runtime.llm.client import ModelRequest

Arguments = dict[str, Any]
"""Keyword arguments of the SDK. ``Any``: they are the SDK's own typed dictionaries, written as plain data."""

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
    return arguments


def _tool_choice(choice: str | None) -> Arguments:
    if choice is None:
        return {}
    return {"tool_choice": {"type": "none"} if choice == "none" else {"type": "tool", "name": choice}}


def _format(schema: dict[str, Any], transform: SchemaTransform) -> Arguments:
    try:
        return {"type": "json_schema", "schema": transform(schema)}
    except (ValueError, TypeError, AssertionError) as error:
        # What the SDK's transform raises on a schema that leaves a type open or names several.
        raise ModelRequestRejected(f"the output schema cannot be put to the model: {error}") from error


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
