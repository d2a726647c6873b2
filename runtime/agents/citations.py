"""From marks to sources: ``[2]`` in an answer becomes a ``citation.added`` event that points into a document.

Two forms carry sources through conversations, both plain text a model can read and write: passages in tool results
(``[n] location | title`` and the passage's lines) and the list that ends a text (``Sources:`` and ``[n] location | title`` lines).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from runtime.agents.request import Source
from runtime.events.catalog import CitationAdded
from runtime.events.compaction import PASSAGE as _HEADER
from runtime.events.compaction import source_texts
from runtime.events.messages import Conversation

_SOURCES = re.compile(r"^Sources:[ \t]*$", re.MULTILINE)
_MARK = re.compile(r"\[(\d+)\]")

QUOTE_CHARACTERS = 300
"""Of a passage, kept as its quote: enough to find the place by."""


def renumber(text: str, base: int) -> str:
    """Passage headers numbered on from ``base``, so that marks are unique in a stage."""
    return _HEADER.sub(lambda m: f"[{int(m[1]) + base}] {m[2]} | {m[3]}", text)


def highest_mark(conversation: Conversation) -> int:
    """The highest number a passage has in the conversation's tool results; 0 when there is none."""
    return max(map(highest_in, source_texts(conversation)), default=0)


def highest_in(text: str) -> int:
    """The highest number a passage has in one tool result; 0 when there is none."""
    return max((int(m[1]) for m in _HEADER.finditer(text)), default=0)


def highest_in_words(text: str) -> int:
    """The highest mark a text uses; 0 when it uses none."""
    return max((int(mark) for mark in _MARK.findall(text) if len(mark) < 6), default=0)


def passages(conversation: Conversation) -> dict[str, Source]:
    """Every passage the tools have shown, by its mark."""
    found: dict[str, Source] = {}
    for text in source_texts(conversation):
        headers = list(_HEADER.finditer(text))
        ends = [following.start() for following in headers[1:]] + [len(text)]
        for header, end in zip(headers, ends, strict=False):
            body = text[header.end() : end].strip()
            found[header[1]] = Source(header[2], header[3], body[:QUOTE_CHARACTERS])
    return found


def listed(text: str) -> dict[str, tuple[str, str]]:
    """The list that ends a text: mark -> (location, title)."""
    start = _SOURCES.search(text)
    return {m[1]: (m[2], m[3]) for m in _HEADER.finditer(text[start.end() :])} if start else {}


def sources_list(citations: Sequence[CitationAdded]) -> str:
    """The list for the end of a text."""
    return "Sources:\n" + "\n".join(f"[{c.source_id}] {c.location} | {c.title}" for c in citations)


def citations_of(text: str, conversation: Conversation, known: Sequence[Source]) -> list[CitationAdded]:
    """A citation for every mark in ``text`` whose source is known, in the order of first use.

    The quote is words of the document: from the passage a tool showed, or as an earlier stage cited it; when neither is
    at hand, the statement that carries the mark.
    """
    start = _SOURCES.search(text)
    statements = text[: start.start()] if start else text
    own, shown = listed(text), passages(conversation)
    quotes = {source.location: source.quote for source in (*known, *shown.values())}
    found: list[CitationAdded] = []
    for mark in dict.fromkeys(_MARK.findall(statements)):
        if mark in own:
            location, title = own[mark]
            quote = quotes.get(location) or _statement(statements, mark)
        elif mark in shown:
            location, title = shown[mark].location, shown[mark].title
            # The words of a passage may have been left out to save room.
            quote = shown[mark].quote or _statement(statements, mark)
        else:
            continue
        found.append(CitationAdded(source_id=mark, title=title, location=location, quote=quote))
    return found


def handed_back(text: str, citations: Sequence[CitationAdded], base: int) -> str:
    """A delegate's answer for its caller: marks numbered on from ``base``, and its sources as passages that can be cited."""
    start = _SOURCES.search(text)
    statements = text[: start.start()].rstrip() if start else text
    marks = {citation.source_id: base + n for n, citation in enumerate(citations, start=1)}
    statements = _MARK.sub(lambda m: f"[{marks[m[1]]}]" if m[1] in marks else m[0], statements)
    statements = _HEADER.sub(lambda m: f" {m[0]}", statements)  # words of an answer are never a passage
    shown = [f"[{marks[c.source_id]}] {c.location} | {c.title}\n{c.quote}" for c in citations]
    return "\n\n".join([statements, *shown])


def _statement(text: str, mark: str) -> str:
    line = next((line for line in text.splitlines() if f"[{mark}]" in line), "")
    return _MARK.sub("", line).strip(" -*\t")[:QUOTE_CHARACTERS]
