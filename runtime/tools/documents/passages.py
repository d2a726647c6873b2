"""Documents -> passages: pieces of verbatim text, a few hundred characters long, cut where the text itself has joints.

Never across a heading or a page; preferably between paragraphs, else after a line that ends a sentence, else at a
sentence's end or a space inside a long line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby

from runtime.tools.documents.load import Document, Line

MIN_CHARACTERS = 400
"""A passage that has this much ends with its paragraph."""
MAX_CHARACTERS = 1200
"""A passage is never longer: six of them must fit well into a small model's prompt."""
_SENTENCE_END = re.compile(r"[.!?:;][\"')\]]*\s")


@dataclass(frozen=True, slots=True)
class Passage:
    """A citable piece of a document."""

    location: str
    """``guide.md:120`` or ``paper.pdf#page=3``."""
    title: str
    """The headings above it, outermost first, or the document's title."""
    text: str


@dataclass(slots=True)
class _Piece:
    """Lines that will stand in one passage, and the length of their text."""

    lines: list[Line]
    size: int

    @classmethod
    def of(cls, lines: list[Line]) -> _Piece:
        return cls(lines, sum(len(line.text) + 1 for line in lines))

    def take(self, other: _Piece) -> None:
        self.lines.extend(other.lines)
        self.size += other.size


def passages(document: Document) -> Iterator[Passage]:
    """Cut a document; every line that has text, other than headings, is in a passage. Empty lines are left out."""
    trail: list[tuple[int, str]] = []
    for (level, page), group in groupby(document.lines, key=lambda line: (line.level, line.page)):
        if level:
            for line in group:
                if line.text:
                    trail = [(above, words) for above, words in trail if above < level] + [(level, line.text)]
            continue
        title = " ".join(" > ".join(words for _, words in trail).split()) or document.title
        for piece in _packed(_paragraphs(list(group))):
            location = f"{document.name}#page={page}" if page else f"{document.name}:{piece.lines[0].number}"
            yield Passage(location, title, "\n".join(line.text for line in piece.lines if line.text.strip()))


def _packed(paragraphs: Iterator[_Piece]) -> list[_Piece]:
    """Neighbouring paragraphs in one passage until it has its least size; a short last one joins the one before."""
    pieces: list[_Piece] = []
    for paragraph in paragraphs:
        if pieces and pieces[-1].size < MIN_CHARACTERS and pieces[-1].size + paragraph.size <= MAX_CHARACTERS:
            pieces[-1].take(paragraph)
        else:
            pieces.append(paragraph)
    if len(pieces) > 1 and pieces[-1].size < MIN_CHARACTERS and pieces[-2].size + pieces[-1].size <= MAX_CHARACTERS:
        pieces[-2].take(pieces.pop())
    return pieces


def _paragraphs(lines: list[Line]) -> Iterator[_Piece]:
    """Lines between empty ones, none longer than a passage; a code block stays whole if it fits."""
    paragraph: list[Line] = []
    for line in lines:
        if line.text.strip() or (line.fenced and paragraph):
            paragraph.append(line)
        elif paragraph:
            yield from _shortened(paragraph)
            paragraph = []
    if paragraph:
        yield from _shortened(paragraph)


def _shortened(paragraph: list[Line]) -> Iterator[_Piece]:
    lines: list[Line] = []
    size = 0
    for line in (part for whole in paragraph for part in _cut(whole)):
        if size + len(line.text) + 1 > MAX_CHARACTERS:
            keep = _last_joint(lines)
            yield _Piece.of(lines[:keep])
            lines = lines[keep:]
            size = sum(len(kept.text) + 1 for kept in lines)
        lines.append(line)
        size += len(line.text) + 1
    yield _Piece.of(lines)


def _last_joint(lines: list[Line]) -> int:
    """How many lines to keep: up to the last that ends a sentence or a table's row, if that leaves enough."""
    size = joint = 0
    for count, line in enumerate(lines, start=1):
        size += len(line.text) + 1
        if size >= MIN_CHARACTERS and line.text.rstrip().endswith((".", "!", "?", ":", ";", "|")):
            joint = count
    return joint or len(lines)


def _cut(line: Line) -> Iterator[Line]:
    """A line longer than a passage, in parts with the same number: after a sentence, else at a space, else anywhere."""
    text, start = line.text, 0
    while len(text) - start >= MAX_CHARACTERS:
        window = text[start : start + MAX_CHARACTERS - 1]
        ends = [found.end() for found in _SENTENCE_END.finditer(window)] or [window.rfind(" ") + 1]
        length = ends[-1] if ends[-1] >= MIN_CHARACTERS else len(window)
        yield replace(line, text=window[:length].rstrip())
        start += length
    if text[start:].strip() or not start:
        yield replace(line, text=text[start:])
