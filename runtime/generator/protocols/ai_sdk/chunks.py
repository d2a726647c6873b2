"""Chunks of the UI message stream: JSON objects with a ``type``, framed as server-sent events."""

from __future__ import annotations

from typing import Any, Final, Literal

import orjson

Chunk = dict[str, Any]
"""``Any``: tools and users choose what is in inputs, outputs and data."""

ClientVersion = Literal[5, 6, 7]
"""The major version of the client's ``ai`` package. 6 where nobody says: what it knows, 7 knows too, and 5 but for approvals."""

HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
    "x-vercel-ai-ui-message-stream": "v1",
}
DONE: Final = b"data: [DONE]\n\n"
OURS: Final = "headrace"
"""The key of what we say in ``providerMetadata``."""


def frame(chunk: Chunk) -> bytes:
    """A chunk on the wire. What users or models wrote is JSON on one line, so no text can break a frame."""
    return b"data: " + orjson.dumps(chunk) + b"\n\n"


def data(name: str, value: object, id: str | None = None, *, transient: bool = False) -> Chunk:
    """A ``data-<name>`` part. With an ``id`` it takes the place of the one before; ``transient``: no part of the message."""
    chunk: Chunk = {"type": f"data-{name}", "data": value}
    if id is not None:
        chunk["id"] = id
    if transient:
        chunk["transient"] = True
    return chunk


def named(**fields: object) -> dict[str, object]:
    """Those fields that have a value: optional fields are left out, never null."""
    return {name: value for name, value in fields.items() if value is not None}


def ours(**fields: object) -> dict[str, object]:
    """``providerMetadata`` that says this of us."""
    return {OURS: named(**fields)}
