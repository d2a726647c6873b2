"""HTML -> lines of text, by selectolax (Lexbor). The only module that imports it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from selectolax.lexbor import LexborHTMLParser

_UNREAD = ["script", "style", "template", "noscript", "nav", "svg", "iframe", "select", "button"]
_BLOCKS = (
    "p,div,li,dt,dd,tr,blockquote,section,article,header,footer,main,aside,figure,figcaption,caption,details,summary,"
    "ul,ol,dl,table,hr,br,form,fieldset,address"
)
_MARK = "\x02"
"""Ends a line. Documents hold no control characters: :mod:`load` has taken them out."""
_LEVEL = "\x03"
"""Begins a heading, followed by its level."""
_PRE = "\x04"
"""Begins preformatted text, whose own lines stay."""
_MAX_DEPTH = 20_000
"""Lexbor's time grows with the square of the nesting (measured: 10,000 deep 0.2 s, 20,000 0.9 s, 40,000 4.5 s)."""
_TAG = re.compile(
    r"<(/?)(?!(?:p|li|td|th|tr|dt|dd|br|hr|img|input|link|meta|source|wbr|col|option|tbody|thead)\b)[a-zA-Z]"
)


@dataclass(frozen=True, slots=True)
class HtmlPage:
    """``lines`` are pairs of text and heading level (0 for none); an empty line parts two paragraphs."""

    title: str
    lines: tuple[tuple[str, int], ...]
    problem: str | None = None


def html_lines(source: str) -> HtmlPage:
    """The text a reader of the page would see, without scripts, styles and navigation."""
    if _depth(source) > _MAX_DEPTH:
        return HtmlPage("", (), "its tags are nested too deeply")
    parser = LexborHTMLParser(source)
    found = parser.css_first("title")
    title = " ".join(found.text().split()) if found is not None else ""
    parser.strip_tags(_UNREAD)
    if parser.body is None:
        return HtmlPage(title, ())
    _put_marks(parser)
    lines: list[tuple[str, int]] = []
    for block in parser.body.text(deep=True).split(_MARK):
        rows = _rows(block)
        if rows:
            lines.extend([*rows, ("", 0)])
    return HtmlPage(title, tuple(lines[:-1]))


def _put_marks(parser: LexborHTMLParser) -> None:
    """Write where lines end into the text itself, so that taking it out is one pass in C."""
    for node in parser.css(_BLOCKS):
        node.insert_before(_MARK)
        node.insert_after(_MARK)
    for level in range(1, 7):
        for node in parser.css(f"h{level}"):
            node.insert_before(f"{_MARK}{_LEVEL}{level}")
            node.insert_after(_MARK)
    for node in parser.css("pre"):
        node.insert_before(f"{_MARK}{_PRE}")
        node.insert_after(_MARK)
    for node in parser.css("td,th"):
        node.insert_after(" ")


def _rows(block: str) -> list[tuple[str, int]]:
    block = block.strip(" \t\r\n")
    if block.startswith(_PRE):
        rows = [row.rstrip() for row in block[1:].strip("\r\n").split("\n")]
        return [(row, 0) for row in rows] if any(rows) else []
    level = 0
    if block.startswith(_LEVEL):
        level, block = int(block[1]), block[2:]
    words = " ".join(block.replace(_PRE, " ").replace(_LEVEL, " ").split())
    return [(words, level)] if words else []


def _depth(source: str) -> int:
    """An upper guess of how deeply elements nest; those whose end tag may be left out do not count."""
    depth = deepest = 0
    for tag in _TAG.finditer(source):
        depth = depth + 1 if not tag[1] else max(0, depth - 1)
        deepest = max(deepest, depth)
    return deepest
