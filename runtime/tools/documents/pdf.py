"""PDF -> text by page, by pypdf. The only module that imports it, and only when there is a PDF: it takes half a second,
which every process that merely knows of the tools would pay at its start.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.telemetry import logger

if TYPE_CHECKING:
    from pypdf import PdfReader

_MAX_PAGES = 2_000
"""Beyond this a PDF is an archive; pypdf takes about 10-50 ms a page."""

_log = logger("documents")


@dataclass(frozen=True, slots=True)
class PdfPages:
    """``texts`` has one entry per page, empty where nothing could be read."""

    title: str = ""
    texts: tuple[str, ...] = ()
    problem: str | None = None


def pdf_pages(path: Path) -> PdfPages:
    """Read a PDF as far as it can be read. pypdf raises errors of many unrelated classes on a broken file, hence
    ``except Exception``: each becomes a problem."""
    from pypdf import PdfReader

    try:
        reader = PdfReader(path, strict=False)
        if reader.is_encrypted and not reader.decrypt(""):
            return PdfPages(problem="needs a password")
        count = len(reader.pages)
    except Exception as error:
        return PdfPages(problem=f"is no readable PDF ({_short(error)})")
    problems = [f"has {count} pages: those after {_MAX_PAGES} are left out"] if count > _MAX_PAGES else []
    texts = tuple(_page_texts(reader, min(count, _MAX_PAGES), problems))
    if not problems and not any(text.strip() for text in texts):
        problems.append("has no text (scanned pages?)")
    return PdfPages(_title(reader), texts, "; ".join(problems) or None)


def _page_texts(reader: PdfReader, count: int, problems: list[str]) -> Iterator[str]:
    for number in range(count):
        try:
            yield reader.pages[number].extract_text()
        except Exception as error:
            problems.append(f"page {number + 1} cannot be read ({_short(error)})")
            yield ""


def _title(reader: PdfReader) -> str:
    try:
        title = reader.metadata.title if reader.metadata is not None else None
    except Exception as error:
        _log.debug("PDF without a readable title: %s", _short(error))
        return ""
    return " ".join(str(title).split())[:200] if title else ""


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:120]
