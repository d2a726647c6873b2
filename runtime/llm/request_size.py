"""How large a request can be for a model, if possible without asking its tokenizer.

No tokenizer makes more tokens of a text than it has bytes, so bytes are a bound. Pictures and PDFs are no text: a picture
has a bound of its own whatever its bytes, and what a PDF comes to only the provider can say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import ceil

import orjson

from runtime.events.messages import (
    ContentBlock,
    Conversation,
    DocumentBlock,
    ImageBlock,
    Message,
    TextBlock,
    ToolResultBlock,
)
from runtime.llm.client import ModelClient, ModelRequest, count_tokens
from runtime.llm.models import CATALOGUE
from runtime.llm.request import render

SCHEMA_GROWTH = 3
"""An output schema grows on its way: the SDK writes ``additionalProperties`` into every object and limits into descriptions."""
COUNT_ERROR = 1.1
"""A provider's count is an estimate; it is meant to be close."""
IMAGE_TOKENS = 5000
"""Of one picture at most: the API scales larger ones down to what takes fewer."""


def request_bytes(request: ModelRequest) -> int:
    """At least as many bytes as the text that the model is asked has in UTF-8, and :data:`IMAGE_TOKENS` for a picture."""
    schema = orjson.dumps(request.output_schema) if request.output_schema is not None else b""
    pictures = sum(isinstance(part, ImageBlock) for part in _parts(request.messages))
    words = replace(request, messages=_without_pictures(request.messages)) if pictures else request
    size = len(orjson.dumps(render(words, lambda whole: whole)))
    return size + pictures * IMAGE_TOKENS + SCHEMA_GROWTH * len(schema)


def is_countable(request: ModelRequest) -> bool:
    """Whether :func:`request_bytes` bounds its tokens: not if it holds a PDF, or a document from elsewhere."""
    return not any(
        isinstance(part, DocumentBlock) and part.source.get("type") != "text" for part in _parts(request.messages)
    )


async def size_bound(client: ModelClient, request: ModelRequest) -> int:
    """The most tokens ``request`` can have for its model. Asks the provider only where bytes are no bound."""
    size = request_bytes(request)
    if is_countable(request):
        return size
    counted = await count_tokens(client, request)
    if counted is not None:
        return ceil(counted * COUNT_ERROR)
    facts = CATALOGUE.find(request.model)
    return max(size, facts.window) if facts else size  # what is larger than the window is refused, and costs nothing


def server_tool_uses(request: ModelRequest) -> int:
    """How often the provider may use tools of its own in this turn."""
    return sum(CATALOGUE.server_tools.find(name).max_uses for name in request.server_tools)


def _parts(messages: Conversation) -> Iterator[ContentBlock]:
    for message in messages:
        for block in message.content:
            yield block
            if isinstance(block, ToolResultBlock) and not isinstance(block.content, str):
                yield from block.content


def _without_pictures(messages: Conversation) -> Conversation:
    return tuple(Message(role=m.role, content=tuple(map(_worded, m.content))) for m in messages)


def _worded(block: ContentBlock) -> ContentBlock:
    if isinstance(block, ImageBlock):
        return TextBlock(text="picture")
    if isinstance(block, ToolResultBlock) and not isinstance(block.content, str):
        return block.model_copy(update={"content": block.text()})
    return block
