"""Citations the provider itself made, as ``citation.added`` events: of attached documents, and of pages it found.

Its text carries no marks, so they are numbered on from the highest mark there is. What one points to is said the way our own
citations say it (``paper.pdf#page=3``), or by its address.
"""

from __future__ import annotations

from typing import Any

from runtime.agents.citations import QUOTE_CHARACTERS
from runtime.events.catalog import CitationAdded
from runtime.events.messages import ContentBlock, TextBlock

Json = dict[str, Any]
"""A citation as the API gave it; Any: the provider decides what is in it."""


def provider_citations(content: tuple[ContentBlock, ...], highest: int) -> list[CitationAdded]:
    """A citation for each place that ``content`` rests on, once, numbered on from ``highest``."""
    places: dict[tuple[str, str], str] = {}
    for block in content:
        for citation in block.citations if isinstance(block, TextBlock) else ():
            location = _location(citation)
            if location:
                places.setdefault((location, _line(citation.get("cited_text"))[:QUOTE_CHARACTERS]), _title(citation))
    return [
        CitationAdded(source_id=str(number), title=title or location, location=location, quote=quote)
        for number, ((location, quote), title) in enumerate(places.items(), start=highest + 1)
    ]


def _location(citation: Json) -> str:
    """Where it points, in our own words; empty for a kind that is not known and has no address."""
    document = _title(citation) or f"document {citation.get('document_index', 0)}"
    match citation.get("type"):
        case "page_location":
            return f"{document}#page={citation.get('start_page_number')}"
        case "char_location":
            return f"{document}#characters={citation.get('start_char_index')}-{citation.get('end_char_index')}"
        case "content_block_location":
            return f"{document}#block={citation.get('start_block_index')}"
        case _:
            return _line(citation.get("url") or citation.get("source"))


def _title(citation: Json) -> str:
    return _line(citation.get("document_title") or citation.get("title"))


def _line(value: object) -> str:
    """``value`` on one line, as lists of sources need it; empty when it is no text."""
    return " ".join(value.split()) if isinstance(value, str) else ""
