"""From a server's tools to ours, and from its results to words. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64decode
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from mcp_types import (
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)
from mcp_types import Tool as McpTool

from runtime.config import McpServer
from runtime.errors import ToolFailed
from runtime.events.attachments import Attachment
from runtime.events.tool_events import guessed
from runtime.tools.files import attached
from runtime.tools.tool import SEPARATOR, Tool, ToolContext, ToolKind, ToolResult

MAX_DESCRIPTION = 4096
MAX_SCHEMA_BYTES = 32 * 1024
"""A schema goes to the model with every turn; a longer one is left out, and its tool with it."""
_MAX_NAME = 64
_UNFIT = re.compile(r"[^A-Za-z0-9_-]")

CallPort = Callable[[str, dict[str, Any]], Awaitable[CallToolResult]]
"""Calls a tool of the server by its own name."""


def tool_of(name: str, server: McpServer, offered: McpTool, call: CallPort) -> Tool:
    """``offered`` by the server called ``name``, as a tool of ours. Raises ``ValueError`` when it cannot be one."""
    if len(json.dumps(offered.input_schema)) > MAX_SCHEMA_BYTES:
        raise ValueError(f"its schema is longer than {MAX_SCHEMA_BYTES} bytes")

    async def forward(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        return result_of(await call(offered.name, arguments))

    annotations = offered.annotations or ToolAnnotations()
    kind = server.kinds.get(offered.name) or kind_of(annotations)
    title = offered.title or annotations.title or offered.name.replace("_", " ").capitalize()
    return Tool(
        name=name_of(name, offered.name),
        title=title[:200],
        description=(offered.description or title)[:MAX_DESCRIPTION],
        input_schema=offered.input_schema,
        arguments=None,
        function=forward,
        kind=kind,
        timeout_s=server.timeout_s,
        context_parameter="context",
        sends_out="sends_out"
        in guessed(kind),  # its server is the operator's choice; what only reads there is let through
    )


def absent_tool(full_name: str, server: McpServer, tools: Callable[[], Awaitable[Sequence[McpTool]]]) -> Tool:
    """Stands for a tool an agent names that its server did not offer at the start: each call says why it cannot be run."""
    server_name, _, own_name = full_name.partition(SEPARATOR)

    async def forward(arguments: dict[str, Any], context: ToolContext) -> ToolResult:
        names = [name_of(server_name, tool.name) for tool in await tools()]  # raises when there still is no server
        if full_name in names:
            raise ToolFailed(f"the MCP server {server_name!r} has only just come up; its tools come with the next step")
        raise ToolFailed(f"the MCP server {server_name!r} has no such tool; it has: {', '.join(names)[:400] or 'none'}")

    return Tool(
        name=full_name,
        title=own_name.replace("_", " ").capitalize(),
        description=f"The tool {own_name} of {server_name}, which could not be asked about it.",
        input_schema={"type": "object"},
        arguments=None,
        function=forward,
        timeout_s=server.timeout_s,
        context_parameter="context",
    )


def name_of(server: str, tool: str) -> str:
    """``server__tool``, within what names of tools may look like; a longer one is cut and told apart by a digest."""
    plain = _UNFIT.sub("_", tool)
    name = f"{server}{SEPARATOR}{plain}"
    if plain == tool and len(name) <= _MAX_NAME:
        return name
    digest = hashlib.sha256(tool.encode()).hexdigest()[:8]
    return f"{name[: _MAX_NAME - len(digest) - 1]}_{digest}"


def kind_of(annotations: ToolAnnotations) -> ToolKind:
    """What repeating a call does, as the server says; without a word from it a call is never repeated."""
    if annotations.read_only_hint:
        return "read"
    return "idempotent" if annotations.idempotent_hint else "at_most_once"


def result_of(result: CallToolResult) -> ToolResult:
    """What a result says: its texts, or what it has of structure as JSON; its pictures and PDFs. Raises :class:`ToolFailed`
    for an error."""
    parts: list[str] = []
    files: list[Attachment] = []
    for block in result.content:
        match block:
            case TextContent(text=text) | EmbeddedResource(resource=TextResourceContents(text=text)):
                parts.append(text)
            case ImageContent(data=data, mime_type=media_type):
                _take(files, parts, data, media_type, "")
            case EmbeddedResource(resource=BlobResourceContents(blob=data, mime_type=media_type, uri=uri)):
                _take(files, parts, data, media_type or "", str(uri).rpartition("/")[2])
            case ResourceLink(uri=uri):
                parts.append(f"(a resource: {uri})")
            case _:
                parts.append(f"(left out: {block.type})")
    text = "\n".join(parts)
    if not text.strip() and not files and result.structured_content is not None:
        text = json.dumps(result.structured_content, ensure_ascii=False)
    if result.is_error:
        raise ToolFailed(text.strip() or "the server says that it failed, and not why")
    return ToolResult(text if text.strip() or files else "(no result)", attachments=tuple(files))


def _take(files: list[Attachment], parts: list[str], data: str, media_type: str, name: str) -> None:
    """Add the file, or the words that say why it is left out."""
    try:
        files.append(attached(b64decode(data, validate=True), media_type, name))
    except (ValueError, ToolFailed) as error:
        why = error.message if isinstance(error, ToolFailed) else "it is not base64"
        parts.append(f"(left out: {media_type[:60] or 'a file'}: {why})")
