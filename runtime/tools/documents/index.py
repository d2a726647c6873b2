"""A full-text index of one folder: SQLite FTS5 with BM25, brought up to date file by file.

Several processes may use the same index. Readers never wait (write-ahead log). Writers take turns on a lock file, which
the system releases when its holder dies; whoever waited looks again and finds the work done. Every file's passages
are replaced in one transaction, so a reader sees a file's old passages or its new ones.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from runtime.errors import ConfigurationError
from runtime.telemetry import logger
from runtime.tools.documents.load import load
from runtime.tools.documents.passages import Passage, passages
from runtime.tools.documents.search import search_passages
from runtime.tools.documents.walk import FileStamp, Problem, Walk, walk

_VERSION = 2
"""Of the schema and of how documents are cut; an index of another version is built anew."""
_BUSY_S = 30.0
_SCHEMA = f"""
PRAGMA journal_mode = WAL;
BEGIN IMMEDIATE;
CREATE TABLE files (
    id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, changed_ns INTEGER NOT NULL, size INTEGER NOT NULL, problem TEXT
);
CREATE TABLE passages (id INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES files, location TEXT NOT NULL);
CREATE INDEX passages_of_file ON passages (file);
CREATE VIRTUAL TABLE words USING fts5 (title, text, tokenize = 'porter unicode61 remove_diacritics 2');
PRAGMA user_version = {_VERSION};
COMMIT;
"""

_log = logger("documents")

Progress = Callable[[int, int], None]
"""Told (files read, files to read): first with 0, last with both equal; not called when nothing changed."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Summary:
    """What an index holds."""

    files: int
    passages: int
    skipped: int
    """Files of other kinds."""
    problems: tuple[Problem, ...]


def build(folder: Path, data_dir: Path, progress: Progress) -> Summary:
    """Bring the index of ``folder`` up to date, for ``headrace index``.

    Raises :class:`ConfigurationError` if ``folder`` is no folder.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"documents folder {str(folder)!r} does not exist; name an existing folder")
    return Index(folder, data_dir).update(progress)


class Index:
    """The index of one folder, kept at ``<data_dir>/index/<sha256 of its path>.db``. Safe to use from any thread."""

    def __init__(self, folder: Path, data_dir: Path) -> None:
        self.folder = folder.resolve()
        key = hashlib.sha256(os.fsencode(self.folder)).hexdigest()
        self.path = data_dir / "index" / f"{key}.db"

    def update(self, progress: Progress) -> Summary:
        """Read what is new or changed, forget what is gone. Waits while another process does the same."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._turn():
            return self._mended(lambda: self._update(progress))

    def search(self, query: str, limit: int) -> list[Passage]:
        """The passages that answer ``query`` best, best first; none if the folder was never indexed."""
        if not self.path.exists():
            return []
        try:
            with closing(self._connect()) as connection:
                return search_passages(connection, query, limit)
        except sqlite3.DatabaseError as error:
            if not _is_corrupt(error):
                raise
            self.update(lambda done, total: None)
        with closing(self._connect()) as connection:
            return search_passages(connection, query, limit)

    def _update(self, progress: Progress) -> Summary:
        with closing(self._connect()) as connection:
            found = walk(self.folder)
            known = {
                name: (changed, size)
                for name, changed, size in connection.execute("SELECT name, changed_ns, size FROM files")
            }
            gone = known.keys() - {file.name for file in found.files}
            if gone:
                with _transaction(connection):
                    for name in gone:
                        _forget(connection, name)
            stale = [file for file in found.files if known.get(file.name) != (file.changed_ns, file.size)]
            if stale:
                progress(0, len(stale))
            for done, file in enumerate(stale, start=1):
                self._read(connection, file)
                progress(done, len(stale))
            return _summary(connection, found)

    def _read(self, connection: sqlite3.Connection, file: FileStamp) -> None:
        document = load(self.folder / file.name, file.name, file.kind)
        with _transaction(connection):
            _forget(connection, file.name)
            row = connection.execute(
                "INSERT INTO files (name, changed_ns, size, problem) VALUES (?, ?, ?, ?)",
                (file.name, file.changed_ns, file.size, document.problem),
            ).lastrowid
            for passage in passages(document):
                at = connection.execute(
                    "INSERT INTO passages (file, location) VALUES (?, ?)", (row, passage.location)
                ).lastrowid
                connection.execute(
                    "INSERT INTO words (rowid, title, text) VALUES (?, ?, ?)", (at, passage.title, passage.text)
                )

    def _mended(self, work: Callable[[], T]) -> T:
        """Do ``work``; on a corrupt or outdated file once more with a new one. Call it while holding the turn."""
        try:
            if self._version() not in (0, _VERSION):
                self._remove("is of another version")
            return work()
        except sqlite3.DatabaseError as error:
            if not _is_corrupt(error):
                raise
            self._remove(f"is corrupt ({error})")
        return work()

    def _version(self) -> int:
        if not self.path.exists():
            return 0
        with closing(sqlite3.connect(self.path, timeout=_BUSY_S)) as connection:
            return int(connection.execute("PRAGMA user_version").fetchone()[0])

    def _remove(self, reason: str) -> None:
        _log.warning("index %s of %s %s: building it anew", self.path, self.folder, reason)
        for suffix in ("-wal", "-shm", ""):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)

    def _connect(self) -> sqlite3.Connection:
        """An open connection to an index that has its tables. Creating it first gives the file its mode, which SQLite
        then gives to the files beside it."""
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
        try:
            connection.execute("PRAGMA synchronous = NORMAL")  # a lost index is built again: no fsync per file
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Hold the lock file: one updater at a time, among processes and among threads."""
        handle = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _forget(connection: sqlite3.Connection, name: str) -> None:
    of_file = "SELECT id FROM passages WHERE file = (SELECT id FROM files WHERE name = ?)"
    connection.execute(f"DELETE FROM words WHERE rowid IN ({of_file})", (name,))
    connection.execute("DELETE FROM passages WHERE file = (SELECT id FROM files WHERE name = ?)", (name,))
    connection.execute("DELETE FROM files WHERE name = ?", (name,))


def _summary(connection: sqlite3.Connection, found: Walk) -> Summary:
    unread = connection.execute("SELECT name, problem FROM files WHERE problem IS NOT NULL ORDER BY name")
    problems = (*found.problems, *(Problem(name, reason) for name, reason in unread))
    count = connection.execute("SELECT count(*) FROM passages").fetchone()[0]
    return Summary(len(found.files), count, found.skipped, problems)


def _is_corrupt(error: sqlite3.DatabaseError) -> bool:
    """Extended result codes keep the primary one in their low byte (sqlite.org/rescode.html)."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
