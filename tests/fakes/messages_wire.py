"""The Messages API's streaming events as plain data, for the fake server and for tests that record streams."""

from __future__ import annotations

import json
import re
from typing import Any

Event = dict[str, Any]


def start(model: str, input_tokens: int = 25, cached: dict[str, int] | None = None) -> Event:
    """The start of a message; ``cached``: how many of its tokens were read from the cache and written to it."""
    cached = cached or {"cache_read_input_tokens": 0}
    usage = {"input_tokens": max(0, input_tokens - sum(cached.values())), "output_tokens": 1, **cached}
    message = {"id": "msg_fake", "type": "message", "role": "assistant", "model": model, "content": [], "usage": usage}
    return {"type": "message_start", "message": message | {"stop_reason": None, "stop_sequence": None}}


def opened(index: int, block: dict[str, Any]) -> Event:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, kind: str, **fields: Any) -> Event:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def closed(index: int) -> Event:
    return {"type": "content_block_stop", "index": index}


def finish(stop_reason: str | None, output_tokens: int = 10, searches: int = 0) -> list[Event]:
    """The end of a message; ``searches``: how many the server made itself."""
    used = {"server_tool_use": {"web_search_requests": searches, "web_fetch_requests": 0}} if searches else {}
    change = {"stop_reason": stop_reason, "stop_sequence": None}
    return [
        {"type": "message_delta", "delta": change, "usage": {"output_tokens": output_tokens, **used}},
        {"type": "message_stop"},
    ]


def text_block(index: int, text: str) -> list[Event]:
    """A block of text, one delta a word."""
    words = [delta(index, "text_delta", text=word) for word in re.findall(r"\s*\S+|\s+", text)]
    return [opened(index, {"type": "text", "text": ""}), *words, closed(index)]


def tool_block(index: int, name: str, raw: str, call_id: str = "toolu_fake") -> list[Event]:
    """A tool call whose arguments are ``raw``, well formed or not, in small pieces."""
    pieces = [delta(index, "input_json_delta", partial_json=piece) for piece in re.findall(r"(?s).{1,7}", raw)]
    block = {"type": "tool_use", "id": call_id, "name": name, "input": {}}
    return [opened(index, block), delta(index, "input_json_delta", partial_json=""), *pieces, closed(index)]


def cited_block(index: int, text: str, *citations: Event) -> list[Event]:
    """A block of text and what it rests on."""
    begin, *words, end = text_block(index, text)
    return [begin, *(delta(index, "citations_delta", citation=citation) for citation in citations), *words, end]


def search_blocks(index: int, query: str, call_id: str = "srvtoolu_1") -> list[Event]:
    """A search the server made itself, and what it found, as the API sends them: the result whole, at its start."""
    page = {"type": "web_search_result", "title": "Höhe", "url": "https://example.org/h", "encrypted_content": "RU5D"}
    result = {"type": "web_search_tool_result", "tool_use_id": call_id, "content": [page | {"page_age": None}]}
    call = tool_block(index, "web_search", json.dumps({"query": query}), call_id)
    call[0]["content_block"]["type"] = "server_tool_use"
    return [*call, opened(index + 1, result | {"caller": {"type": "direct"}}), closed(index + 1)]


def error(kind: str, message: str = "something broke") -> Event:
    return {"type": "error", "error": {"type": kind, "message": message}}


def encode(*events: Event) -> bytes:
    """The bytes of those events in a stream."""
    rows = (f"event: {e['type']}\ndata: {json.dumps(e, ensure_ascii=False)}\n\n" for e in events)
    return "".join(rows).encode()
