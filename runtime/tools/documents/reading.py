"""Opening one document by the name a model gives, and showing a part of it. The name is not trusted."""

from __future__ import annotations

import os
import re
import stat
from functools import lru_cache
from pathlib import Path, PurePosixPath

from runtime.errors import ToolFailed
from runtime.tools.documents.load import Document, load
from runtime.tools.documents.walk import Kind, kind_of, too_large

MAX_LINES = 200
"""Of one answer: as much as a model reads with profit."""
MAX_BYTES = 16 * 1024
_LOCATION = re.compile(r"(?P<name>.+?)(?::(?P<line>\d{1,9})|#page=(?P<page>\d{1,9}))\Z", re.DOTALL)


def open_document(folder: Path, location: str) -> tuple[Document, int]:
    """The document at ``location`` (a path inside ``folder``, perhaps with a line or page) and its first line to show.

    Raises :class:`ToolFailed` for a path that leaves the folder, is hidden, is no document or cannot be read.
    """
    found = _LOCATION.match(location)
    if found is None or _is_file(folder, location):
        return _open(folder, location), 1
    document = _open(folder, found["name"])
    if found["line"]:
        return document, int(found["line"])
    page = int(found["page"])
    first = next((line.number for line in document.lines if line.page == page), None)
    if first is None:
        raise ToolFailed(f"{document.name!r} has no page {page}")
    return document, first


def cut_lines(document: Document, start: int, count: int | None) -> str:
    """Lines from ``start``, within the limits, and how to go on. Raises :class:`ToolFailed` beyond the end."""
    last = document.lines[-1].number if document.lines else 0
    wanted = [line for line in document.lines[max(0, start - 1) :]][: min(count or MAX_LINES, MAX_LINES)]
    if not wanted:
        raise ToolFailed(f"{document.name!r} has {last} lines; there is none from line {start} on")
    page = wanted[0].page
    where = f"{document.name}#page={page}" if page else f"{document.name}:{wanted[0].number}"
    shown = [f"{where} | {document.title}"]
    room = MAX_BYTES - len(shown[0].encode()) - 80  # for the last line
    for line in wanted:
        text = f"{line.number}: {'#' * line.level + ' ' if line.level and line.text else ''}{line.text}"
        room -= len(text.encode()) + 1
        if room < 0:
            break
        shown.append(text)
    if len(shown) == 1:  # a single line larger than the limit cannot be continued: show its beginning
        shown.append(
            f"{wanted[0].number}: {wanted[0].text.encode()[: MAX_BYTES - 1024].decode(errors='ignore')} (line cut)"
        )
    after = wanted[len(shown) - 2].number + 1
    if after <= last:
        shown.append(f"... ({last - after + 1} more lines; ask from start_line={after})")
    return "\n".join(shown)


def _open(folder: Path, name: str) -> Document:
    path, kind = _checked(folder, name)
    status = path.stat()
    document = _loaded(path, path.relative_to(folder).as_posix(), kind, status.st_mtime_ns, status.st_size)
    if not document.lines:
        raise ToolFailed(f"{name!r} {document.problem or 'has no text'}")
    return document


@lru_cache(maxsize=4)
def _loaded(path: Path, name: str, kind: Kind, changed_ns: int, size: int) -> Document:
    """Paging through a PDF reads it once; a change shows in the last two arguments."""
    return load(path, name, kind)


def _checked(folder: Path, name: str) -> tuple[Path, Kind]:
    path = _inside(folder, name)
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise ToolFailed(f"there is no document {name!r}; use a location that search_documents returned") from error
    except OSError as error:
        raise ToolFailed(f"{name!r} cannot be read: {error.strerror}") from error
    kind = kind_of(path.relative_to(folder).as_posix())
    if kind is None or not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
        raise ToolFailed(f"{name!r} is no document; text, Markdown, HTML and PDF can be read, hidden files cannot")
    reason = too_large(kind, status.st_size)
    if reason is not None:
        raise ToolFailed(f"{name!r} is {reason}")
    return path, kind


def _inside(folder: Path, name: str) -> Path:
    """The real path of ``name``, which must be inside ``folder`` after every link is followed."""
    parts = PurePosixPath(name.replace(os.sep, "/")).parts
    if not parts or name.startswith(("/", "\\", "~")) or ".." in parts:
        raise ToolFailed(f"{name!r} leaves the documents folder; give a path inside it")
    try:
        path = (folder / name).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, a name too long, a NUL
        raise ToolFailed(f"{name[:200]!r} is no path that can be followed") from error
    if not path.is_relative_to(folder):
        raise ToolFailed(f"{name!r} leaves the documents folder; give a path inside it")
    return path


def _is_file(folder: Path, name: str) -> bool:
    try:
        return _inside(folder, name).is_file()
    except ToolFailed:
        return False
