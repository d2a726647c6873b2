"""Where a request carries cache marks: each next turn of a stage then reads what it repeats from the provider's cache. Pure.

A mark covers everything before it, and tools come before the system prompt, so the mark on the system prompt holds both.
A conversation only grows at its end: this turn's mark on its last user message is what the next turn reads from, and it
says so by a mark at the same place. That makes three; the API takes four. Nothing is marked that is not read again: no
conversation without tools goes on, and one whose tools have just been switched off is at its end.
"""

from __future__ import annotations

from typing import Any

import orjson

MARK = {"type": "ephemeral"}
"""The five-minute kind; see the prices in ``models.toml``."""


def mark(arguments: dict[str, Any], minimum: int) -> None:
    """Put the marks into ``arguments``, which are the SDK's own and plain data. ``minimum``: the shortest prefix, in tokens,
    that is cached at all; no text has more tokens than bytes."""
    if minimum and len(orjson.dumps(arguments, default=str)) < minimum:
        return
    if "system" in arguments:
        arguments["system"][-1]["cache_control"] = MARK
    if "tools" in arguments and arguments.get("tool_choice", {}).get("type") != "none":
        for message in [m for m in arguments["messages"] if m["role"] == "user"][-2:]:
            message["content"][-1]["cache_control"] = MARK
