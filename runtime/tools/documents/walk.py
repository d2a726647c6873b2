"""Which files of a folder are documents.

Symbolic links below the folder are never followed: what they point to inside it is found under its own name, and what
they point to outside is none of our business. So there are no loops and no way out.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

Kind = Literal["text", "markdown", "html", "pdf"]

KINDS: dict[str, Kind] = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdx": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".txt": "text",
    ".text": "text",
    ".rst": "text",
    ".adoc": "text",
    ".asciidoc": "text",
    ".org": "text",
    ".tex": "text",
    ".log": "text",
    ".csv": "text",
    ".tsv": "text",
    "": "text",  # README, LICENSE, NOTES; a binary without a suffix is recognised when it is read
}
"""Suffix -> how it is read. Prose only: a folder of source code would drown the documents beside it."""

SKIPPED_FOLDERS = frozenset({"node_modules", "__pycache__", "venv", "site-packages"})
"""Beside every folder whose name starts with a dot (``.git``, ``.venv``): what tools put there is not for reading."""

MAX_BYTES = 5 * 2**20
"""Of one file; larger text is data, not a document."""
MAX_PDF_BYTES = 50 * 2**20
"""Of one PDF, most of which is pictures and fonts."""
MAX_FILES = 20_000
"""Documents in one folder: whoever names ``/`` by mistake gets an answer in minutes, and is told."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in the folder that could not be read, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class FileStamp:
    """One document and the marks by which a change is seen."""

    name: str
    """Path relative to the folder, with ``/``."""
    kind: Kind
    changed_ns: int
    """The later of mtime and ctime: ctime also shows a repaired permission, or an older file moved into place."""
    size: int


@dataclass(frozen=True, slots=True)
class Walk:
    """What a folder holds, in the order of names."""

    files: tuple[FileStamp, ...]
    problems: tuple[Problem, ...]
    skipped: int
    """Files of other kinds."""


def kind_of(name: str) -> Kind | None:
    """How the document called ``name`` (relative, with ``/``) is read; None if it is none: hidden, or other."""
    path = PurePosixPath(name)
    if any(part.startswith(".") or part in SKIPPED_FOLDERS for part in path.parts):
        return None
    return KINDS.get(path.suffix.lower())


def walk(root: Path) -> Walk:
    """The documents below ``root``. Folders that cannot be listed and files that are too large are problems."""
    files: list[FileStamp] = []
    problems: list[Problem] = []
    skipped = 0
    for entry in _entries(root, problems):
        name = os.path.relpath(entry.path, root).replace(os.sep, "/")
        kind = kind_of(name)
        if kind is None:
            skipped += 1
            continue
        if len(files) == MAX_FILES:
            problems.append(Problem(name, f"more than {MAX_FILES} documents: this one and all after it are left out"))
            break
        stamp = _stamp(entry, name, kind)
        if isinstance(stamp, Problem):
            problems.append(stamp)
        else:
            files.append(stamp)
    return Walk(tuple(sorted(files, key=lambda file: file.name)), tuple(problems), skipped)


def too_large(kind: Kind, size: int) -> str | None:
    """The sentence for a file beyond its limit, else None."""
    limit = MAX_PDF_BYTES if kind == "pdf" else MAX_BYTES
    return f"larger than {limit // 2**20} MiB" if size > limit else None


def _entries(root: Path, problems: list[Problem]) -> Iterator[os.DirEntry[str]]:
    """Every regular file below ``root``, in the order of names. A stack, not recursion: folders may nest deeply."""
    pending = [str(root)]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            problems.append(Problem(_printable(os.path.relpath(folder, root)), f"cannot be listed: {error.strerror}"))
            continue
        below = []
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith(".") and entry.name not in SKIPPED_FOLDERS:
                    below.append(entry.path)
            elif entry.is_file(follow_symlinks=False):
                yield entry
        pending.extend(reversed(below))


def _stamp(entry: os.DirEntry[str], name: str, kind: Kind) -> FileStamp | Problem:
    if not name.isprintable():  # also true of names that are not UTF-8: they arrive with lone surrogates
        return Problem(_printable(name), "its name has control characters or is not UTF-8")
    try:
        status = entry.stat(follow_symlinks=False)
    except OSError as error:
        return Problem(name, f"cannot be read: {error.strerror}")
    if not stat.S_ISREG(status.st_mode):  # replaced since it was listed
        return Problem(name, "is no regular file")
    reason = too_large(kind, status.st_size)
    if reason is not None:
        return Problem(name, reason)
    return FileStamp(name, kind, max(status.st_mtime_ns, status.st_ctime_ns), status.st_size)


def _printable(name: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in name)
