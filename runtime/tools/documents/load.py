"""Files -> numbered lines. Never raises for what a file holds: the reason stands in ``Document.problem``."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from runtime.tools.documents.html import html_lines
from runtime.tools.documents.pdf import pdf_pages
from runtime.tools.documents.walk import Kind

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*\Z")
_SETEXT = re.compile(r" {0,3}(=+|-+)[ \t]*\Z")
_NOT_A_HEADING = re.compile(r" {4}|\t| {0,3}([-*+>|]|\d+[.)])\s?")
_CHARSET = re.compile(rb"""charset\s*=\s*["']?\s*([A-Za-z0-9_.:-]+)""", re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\r|\n")  # not str.splitlines: editors do not count U+2028 or form feeds as lines
_UNWANTED = {
    code: " " for code in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if chr(code) not in "\t\n\r"
} | dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}")
"""Control characters and lone surrogates, which neither PostgreSQL nor UTF-8 take (SECURITY.md 1)."""
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark its own begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LONGEST_TITLE = 80
_SNIFFED = 8192
"""Bytes looked at for a NUL, the mark of a binary; git looks at 8,000 (xdiff-interface.c)."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a document."""

    number: int
    """From 1. For HTML and PDF, of the text taken out, since their files have no lines a person would look for."""
    text: str
    level: int = 0
    """1-6 in a heading, where ``text`` is the heading's own words; 0 elsewhere."""
    page: int = 0
    """Page of a PDF, from 1; 0 elsewhere."""
    fenced: bool = False
    """Inside a Markdown code block, where an empty line ends no paragraph."""


@dataclass(frozen=True, slots=True)
class Document:
    """A file as text. With a ``problem`` it may still have the lines that could be read."""

    name: str
    title: str
    lines: tuple[Line, ...] = ()
    problem: str | None = None


def load(path: Path, name: str, kind: Kind) -> Document:
    """Read the file at ``path``; ``name`` is what it is called in locations."""
    stem = PurePosixPath(name).stem
    if kind == "pdf":
        pages = pdf_pages(path)
        return Document(name, clean(pages.title).strip() or stem, _paged_lines(pages.texts), pages.problem)
    try:
        data = path.read_bytes()
    except OSError as error:
        return Document(name, stem, problem=f"cannot be read: {error.strerror}")
    if _is_binary(data):
        return Document(name, stem, problem="is no text" if PurePosixPath(name).suffix else None)
    text, problem = decode(data, declared=kind == "html")
    text = clean(text)
    if kind == "html":
        page = html_lines(text)
        lines = tuple(Line(number, words, level) for number, (words, level) in enumerate(page.lines, start=1))
        return Document(name, page.title or _first_heading(lines) or stem, lines, page.problem or problem)
    raw = _LINE_END.split(text.removesuffix("\n")) if text else []
    if kind == "markdown":
        lines = _markdown_lines(raw)
        return Document(name, _first_heading(lines) or stem, lines, problem)
    lines = tuple(Line(number, line) for number, line in enumerate(raw, start=1))
    return Document(name, _first_line(raw) or stem, lines, problem)


def decode(data: bytes, *, declared: bool = False) -> tuple[str, str | None]:
    """Text of ``data``, and a problem if its encoding had to be guessed.

    By its byte order mark; else UTF-8; else (``declared``) what an HTML page says of itself; else Windows-1252.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace"), None
    try:
        return data.decode("utf-8"), None
    except UnicodeDecodeError:
        found = _CHARSET.search(data[:2048]) if declared else None
    if found is not None:
        try:
            return data.decode(found[1].decode("ascii"), "replace"), None
        except LookupError:
            return data.decode("cp1252", "replace"), "declares an unknown encoding: read as Windows-1252"
    return data.decode("cp1252", "replace"), "is not UTF-8: read as Windows-1252"


def _is_binary(data: bytes) -> bool:
    return not data.startswith(tuple(mark for mark, _ in _BOMS)) and b"\0" in data[:_SNIFFED]


def clean(text: str) -> str:
    """``text`` without characters that no store takes."""
    return text.translate(_UNWANTED)


def _first_heading(lines: tuple[Line, ...]) -> str | None:
    return next((line.text for line in lines if line.level and line.text), None)


def _first_line(raw: list[str]) -> str | None:
    """The title of a plain text: its first line when it stands alone at the margin, is short, and is no sentence."""
    title = raw[0].rstrip() if raw else ""
    alone = len(raw) > 1 and not raw[1].strip(" \t=-~*#")
    is_title = (
        alone and title[:1].isalnum() and len(title) <= _LONGEST_TITLE and not title.endswith((".", ",", ";", ":"))
    )
    return title if is_title else None


def _paged_lines(texts: tuple[str, ...]) -> tuple[Line, ...]:
    pairs = ((page, text) for page, whole in enumerate(texts, start=1) for text in _LINE_END.split(clean(whole)))
    return tuple(Line(number, text, page=page) for number, (page, text) in enumerate(pairs, start=1))


def _markdown_lines(raw: list[str]) -> tuple[Line, ...]:
    """Lines with their headings marked: ``# so``, or underlined; nothing inside a code block or front matter is one."""
    lines: list[Line] = []
    fence = "---" if raw and raw[0].rstrip() == "---" and any(t.rstrip() == "---" for t in raw[1:]) else ""
    for number, text in enumerate(raw, start=1):
        opening = _FENCE.match(text)
        if fence:
            lines.append(Line(number, text, fenced=True))
            closes = text.strip().startswith(fence) and not text.strip().strip(fence[0])
            fence = "" if closes and number > 1 else fence
        elif opening:
            fence = opening[1]
            lines.append(Line(number, text, fenced=True))
        elif (heading := _ATX.match(text)) is not None:
            lines.append(Line(number, heading[2] or "", level=len(heading[1])))
        elif (under := _SETEXT.match(text)) is not None and _may_be_underlined(lines):
            level = 1 if "=" in under[1] else 2
            lines[-1] = Line(number - 1, lines[-1].text.strip(), level=level)
            lines.append(Line(number, "", level=level))
        else:
            lines.append(Line(number, text))
    return tuple(lines)


def _may_be_underlined(lines: list[Line]) -> bool:
    """Only a paragraph of a single line becomes a heading; longer ones are rare and mostly something else."""
    if not lines or lines[-1].level or lines[-1].fenced or not lines[-1].text.strip():
        return False
    alone = len(lines) == 1 or bool(lines[-2].level) or not lines[-2].text.strip()
    return alone and _NOT_A_HEADING.match(lines[-1].text) is None
