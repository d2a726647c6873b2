"""Citations as source parts, and what the model's provider searched by itself as tool parts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from runtime.events import catalog as ev
from runtime.events.messages import ContentBlock, OpaqueBlock, ServerToolUseBlock
from runtime.generator.protocols.ai_sdk.chunks import Chunk, ours

_MEDIA: Final = {
    "pdf": "application/pdf",
    "md": "text/markdown",
    "html": "text/html",
    "htm": "text/html",
    "csv": "text/csv",
    "json": "application/json",
}
"""By the ending of a document's name; all others are plain text to who reads them."""

_PLACE: Final = re.compile(r"(#.*|:\d+(-\d+)?)\Z", re.DOTALL)
"""Where in a document: page or lines."""


def source_of(event: ev.CitationAdded, stage: str | None) -> Chunk:
    """The source of a statement. Its id is unique in the message; its mark in the text is in ``providerMetadata``."""
    told = {
        "sourceId": f"{stage or ''}:{event.source_id}",
        "title": event.title,
        "providerMetadata": ours(stage=stage, mark=event.source_id, quote=event.quote, location=event.location),
    }
    if event.location.startswith(("https://", "http://")):
        return {"type": "source-url", "url": event.location, **told}
    name = _PLACE.sub("", event.location)
    media = _MEDIA.get(name.rpartition(".")[2].lower(), "text/plain")
    return {"type": "source-document", "mediaType": media, "filename": name, **told}


def provider_calls(content: tuple[ContentBlock, ...]) -> Iterator[tuple[ServerToolUseBlock, object]]:
    """The tools that the provider ran in a turn, each with what of its result people can use: titles and addresses."""
    results = {
        str(of): block.model_extra or {}
        for block in content
        if isinstance(block, OpaqueBlock) and (of := (block.model_extra or {}).get("tool_use_id")) is not None
    }
    for block in content:
        if isinstance(block, ServerToolUseBlock):
            yield block, _found(results.get(block.id, {}))


def _found(result: Mapping[str, object]) -> object:
    items = result.get("content")
    pages = [item for item in items if isinstance(item, dict) and "url" in item] if isinstance(items, list) else []
    return [{"title": page.get("title"), "url": page["url"]} for page in pages]
