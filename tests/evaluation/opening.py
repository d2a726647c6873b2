"""Opens what a citation points to, as a person who follows it would, and says what stands there."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ToolFailed
from runtime.events.catalog import CitationAdded
from runtime.tools.documents.load import Line
from runtime.tools.documents.reading import open_document
from tests.evaluation.questions import Place

LINES_READ = 30
"""Lines a person reads from the place on; a passage of the index is shorter."""
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Opened:
    """What a reader finds at a location."""

    document: str
    page: int
    headings: tuple[str, ...]
    """Above the place, outermost first."""
    text: str

    def is_at(self, place: Place) -> bool:
        """Whether this is that place."""
        return (
            self.document == place.document
            and (place.section is None or place.section in self.headings)
            and (place.page is None or place.page == self.page)
            and (place.near is None or _plain(place.near) in _plain(self.text))
        )

    def holds(self, quote: str) -> bool:
        """Whether the words of ``quote`` are read here; the last one may have been cut where the quote ends."""
        words = _WORD.findall(quote.casefold())
        return set(words[:-1] or words) <= set(_WORD.findall(self.text.casefold()))


def opened(folder: Path, location: str) -> Opened | None:
    """What stands at ``location``; None when it cannot be opened."""
    try:
        document, first = open_document(folder, location)
    except ToolFailed:
        return None
    if not 1 <= first <= len(document.lines):
        return None
    start = document.lines[first - 1]
    read = [line for line in document.lines[first - 1 : first - 1 + LINES_READ] if line.page == start.page]
    trail: list[Line] = []
    for line in document.lines[:first]:
        if line.level and line.text:
            trail = [*(above for above in trail if above.level < line.level), line]
    return Opened(document.name, start.page, tuple(line.text for line in trail), "\n".join(line.text for line in read))


def opens_right(folder: Path, citation: CitationAdded) -> bool:
    """Whether the citation's location opens where its quote stands."""
    found = opened(folder, citation.location)
    return found is not None and found.holds(citation.quote)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
