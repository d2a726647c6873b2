"""From a page's bytes to text: which kinds are read, and how."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from runtime.tools.documents.html import html_lines
from runtime.tools.documents.load import clean, decode
from runtime.tools.fetch.target import FetchRefused

HTML = frozenset({"text/html", "application/xhtml+xml"})
PLAIN = frozenset(
    {"text/plain", "text/markdown", "text/x-markdown", "text/csv", "text/xml", "application/json", "application/xml"}
)
_SUFFIXES = ("+json", "+xml")
ACCEPT = "text/html, application/xhtml+xml, text/plain, text/markdown, application/json, application/xml;q=0.9"
LONGEST_LINE = 2000
"""Characters."""
_CHARSET = re.compile(r"""charset\s*=\s*["']?([A-Za-z0-9_.:-]+)""", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PageText:
    """What a reader of the page would see; no line is empty."""

    title: str
    lines: tuple[str, ...]


def check_type(content_type: str) -> None:
    """Raises :class:`FetchRefused` (``type_not_allowed``) for what is not read as text."""
    kind = _kind(content_type)
    if kind not in HTML | PLAIN and not kind.endswith(_SUFFIXES):
        raise FetchRefused("type_not_allowed", f"a page of type {kind[:80] or 'unknown'!r} is not read; only text is")


def page_text(body: bytes, content_type: str) -> PageText:
    """The text of ``body``. Raises :class:`FetchRefused` (``broken``) for HTML that cannot be read."""
    text = clean(_decoded(body, content_type))
    if _kind(content_type) not in HTML:
        return PageText("", _lines(text.splitlines()))
    page = html_lines(text)
    if page.problem is not None:
        raise FetchRefused("broken", f"the page cannot be read: {page.problem}")
    return PageText(page.title, _lines(words for words, _ in page.lines))


def _lines(lines: Iterable[str]) -> tuple[str, ...]:
    """Those with something in them; a very long one in pieces, so that one can read on in it."""
    full = (line.rstrip() for line in lines if line.strip())
    return tuple(line[at : at + LONGEST_LINE] for line in full for at in range(0, len(line), LONGEST_LINE))


def _decoded(body: bytes, content_type: str) -> str:
    """By what the server says of it; else by what it says of itself."""
    charset = _CHARSET.search(content_type)
    if charset is not None:
        try:
            return body.decode(charset[1], "replace")
        except (LookupError, UnicodeError):  # no such encoding, or one that is none of text
            pass
    return decode(body, declared=_kind(content_type) in HTML)[0]


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
