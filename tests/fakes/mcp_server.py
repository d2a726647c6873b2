"""An MCP server made with the SDK: ``python tests/fakes/mcp_server.py [stdio|http PORT|silent|malformed|exits|deaf] [FILE]``.

``FILE`` gets a line for every start and every effect. ``silent`` never answers,
``malformed`` answers nonsense, ``exits`` ends at once, ``deaf`` outlives the end
of its standard input.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from mcp.server import MCPServer
from mcp.types import (
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    TextContent,
    ToolAnnotations,
)

server = MCPServer("fake")
journal = Path(sys.argv[-1]) if sys.argv[-1].startswith("/") else None


def note(word: str) -> None:
    if journal is not None:
        with journal.open("a") as file:
            file.write(f"{word} {os.getpid()}\n")


@server.tool(title="Sum", annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
def put(value: str) -> str:
    """Put a value; again is the same."""
    note(f"put:{value}")
    return "put"


@server.tool()
def pay(amount: int) -> str:
    """Pay once."""
    note(f"pay:{amount}")
    return f"paid {amount}"


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def die() -> str:
    """End the server in the middle of the call."""
    note("die")
    os._exit(1)


@server.tool()
def pay_and_die(amount: int) -> str:
    """Pay, and end the server before it can say so."""
    note(f"pay:{amount}")
    os._exit(1)


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
async def hang() -> str:
    """Never answer."""
    try:
        await asyncio.Event().wait()
    finally:
        note("hang-ended")
    return ""


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def freeze() -> str:
    """Stop answering anything."""
    time.sleep(3600)
    return ""


@server.tool()
def fails() -> str:
    """Raise."""
    raise ValueError("the printer is on fire")


@server.tool()
def big() -> str:
    """A megabyte."""
    return "x" * 1_000_000


@server.tool()
def structured() -> Any:
    """Only structure."""
    return CallToolResult(content=[], structured_content={"grad": 21.5, "wo": "Köln"})


@server.tool()
def picture() -> Any:
    """A picture and a word."""
    image = ImageContent(type="image", data="AAAA", mime_type="image/png")
    return CallToolResult(content=[TextContent(type="text", text="look"), image])


@server.tool()
def drawing() -> Any:
    """A picture that is one, a PDF and a word."""
    image = ImageContent(type="image", data=base64.b64encode(b"\x89PNG\r\n\x1a\n...").decode(), mime_type="image/png")
    paper = BlobResourceContents(
        uri="file:///plan.pdf", mime_type="application/pdf", blob=base64.b64encode(b"%PDF-1.7 ...").decode()
    )
    return CallToolResult(
        content=[TextContent(type="text", text="look"), image, EmbeddedResource(type="resource", resource=paper)]
    )


@server.tool(name="odd name/with.dots")
def odd() -> str:
    """A name that is none of ours."""
    return "odd"


def main() -> None:
    mode = sys.argv[1] if len(sys.argv) > 1 else "stdio"
    note("start")
    if mode == "exits":
        sys.exit("nothing to serve")
    if mode == "malformed":
        for line in sys.stdin:
            wrong = {"jsonrpc": "2.0", "id": json.loads(line).get("id"), "result": {"tools": 5, "protocolVersion": []}}
            print("this is no JSON\n" + json.dumps(wrong), flush=True)
    if mode == "silent":
        time.sleep(3600)
    if mode == "http":
        server.run("streamable-http", host="127.0.0.1", port=int(sys.argv[2]))
    else:
        server.run("stdio")
        if mode == "deaf":
            time.sleep(3600)


if __name__ == "__main__":
    main()
