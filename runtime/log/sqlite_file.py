"""The file a SQLite log lives in: its lock, its mode, its settings, its format.

One process owns the file, and in it one connection writes and checkpoints: SQLite before 3.51.3 can corrupt a log in
WAL mode when two connections do so at once. Settings are read back after they are set, because SQLite ignores what it
cannot do (WAL on a network disk) without a word.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from importlib import resources
from pathlib import Path
from typing import Final

from runtime.errors import ConfigurationError, StoreLocked
from runtime.log.log import FORMAT_VERSION
from runtime.log.reset import Jump
from runtime.telemetry import logger

APPLICATION_ID: Final = 0x48445243
"""``HDRC``, in the file's header: says that a SQLite file is ours before anything in it is changed."""

BUSY_TIMEOUT_S: Final = 5.0

PRAGMAS: Final[tuple[tuple[str, str, str | int], ...]] = (
    ("journal_mode", "WAL", "wal"),
    ("synchronous", "FULL", 2),
    ("busy_timeout", str(int(BUSY_TIMEOUT_S * 1000)), int(BUSY_TIMEOUT_S * 1000)),
    ("foreign_keys", "ON", 1),
    ("trusted_schema", "OFF", 0),
    ("mmap_size", "0", 0),
    ("temp_store", "MEMORY", 2),
    ("secure_delete", "ON", 1),
    ("wal_autocheckpoint", "1000", 1000),
    ("journal_size_limit", "67108864", 67108864),
)
"""Name, what is set, and what must be read back (JOURNAL.md 1.9). ``secure_delete``: what is deleted is overwritten."""


_BEGIN: Final = "UPDATE store SET store_epoch = store_epoch + 1 RETURNING store_epoch, boot_id"
_JUMP: Final = "UPDATE runs SET epoch = epoch + ?, owner = NULL WHERE status IN ('accepted', 'running', 'waiting')"

_log = logger("sqlite")


class FileLock:
    """The right to be the one process that writes to ``path``; the kernel gives it back when the process dies."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = path.with_name(path.name + ".lock")
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock without waiting. Raises ``StoreLocked`` when another holds it, ``ConfigurationError``."""
        try:
            fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                self._take(fd)
            except BaseException:
                os.close(fd)
                raise
        except OSError as error:
            raise ConfigurationError(
                f"cannot lock {self._lock_path}: {error.strerror}. Put the data directory on a local disk."
            ) from error
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; the file stays, since removing it would let two processes each lock a different one."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _take(self, fd: int) -> None:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise StoreLocked(
                f"{self._path} is in use by another process (pid {holder}). "
                "Stop that Headrace first, or choose another data directory."
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)


def prepare(path: Path) -> None:
    """Make the directory and the file, readable by their owner alone. Raises ``ConfigurationError``."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its WAL the mode of the file itself, so it must be right before SQLite sees it.
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.fchmod(fd, 0o600)
        finally:
            os.close(fd)
    except OSError as error:
        raise ConfigurationError(
            f"cannot write to {path}: {error.strerror}. "
            "Choose a data directory on a local disk that this user may write to."
        ) from error


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Give the write connection to a sound file of our format, made if it was empty.

    Raises ``ConfigurationError`` for a file that is not ours, damaged, of another format, or on a disk without WAL.
    """
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, cached_statements=256)
    db.text_factory = _text
    try:
        version = _format_of(db, path)
        _set_and_read_back(db, path)
        if version == 0:
            _create(db)
        else:
            _upgrade(db, version)
        (verdict,) = db.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise ConfigurationError(f"{path} is damaged ({verdict}). Restore it from a backup.")
    except BaseException:
        db.close()
        raise
    return db


def begin(db: sqlite3.Connection, boot_id: str, jump: Jump) -> int:
    """Begin this opening of the file and give its number, in one transaction; see ``reset`` for the jump.

    An unknown ``boot_id`` (empty) cannot tell whether power was lost since, so it counts as another one.
    """
    db.execute("BEGIN IMMEDIATE")
    ((store_epoch, last_boot_id),) = db.execute(_BEGIN).fetchall()
    if not boot_id or boot_id != last_boot_id:
        db.execute("UPDATE store SET boot_id = ?", (boot_id,))
        jumped = db.execute(_JUMP, (jump(),)).rowcount
        if jumped:
            _log.warning(
                "the machine may have restarted since the log was last open: %d unfinished runs are free", jumped
            )
    db.execute("COMMIT")
    return int(store_epoch)


def forget(db: sqlite3.Connection, path: Path) -> None:
    """Take what was deleted out of the WAL too, where it stands until it is copied into the file and cut off."""
    ((busy, _, _),) = db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    if busy:
        _log.warning("%s: a reader held up the end of a deletion; the WAL still has its text until the next one", path)


def open_for_reading(path: Path) -> sqlite3.Connection | None:
    """Give a connection that cannot write; None while there is no log yet. Raises ``ConfigurationError``."""
    if not path.exists():
        return None
    uri = f"{path.resolve().as_uri()}?mode=ro"
    db = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    db.text_factory = _text
    try:
        db.execute("PRAGMA query_only=ON")
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("PRAGMA trusted_schema=OFF")
        version = _format_of(db, path)
    except BaseException:
        db.close()
        raise
    if version != FORMAT_VERSION:  # not made yet, or not upgraded yet: the writer does both when it opens
        db.close()
        return None
    return db


def _text(raw: bytes) -> str:
    # SQLite keeps any bytes as text: one row that is no UTF-8 must not hide every row that is read with it.
    return raw.decode("utf-8", "replace")


def _format_of(db: sqlite3.Connection, path: Path) -> int:
    """The format of a file of ours that can be used, 0 for an empty file; raises ``ConfigurationError`` for any other."""
    try:
        (application,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode not in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise
        raise ConfigurationError(
            f"{path} is damaged or no Headrace log ({error}). Restore it, or name another."
        ) from error
    if (application, version, tables) == (0, 0, 0):
        return 0
    if application != APPLICATION_ID:
        raise ConfigurationError(f"{path} is a database of another program. Choose another data directory.")
    if not 1 <= version <= FORMAT_VERSION:
        raise ConfigurationError(
            f"{path} is of format {version}; this Headrace reads formats 1 to {FORMAT_VERSION}. "
            "Use the Headrace that wrote it, or another data directory."
        )
    return int(version)


def _set_and_read_back(db: sqlite3.Connection, path: Path) -> None:
    for name, setting, expected in PRAGMAS:
        db.execute(f"PRAGMA {name}={setting}").fetchall()
        found = db.execute(f"PRAGMA {name}").fetchone()
        # A build without mmap answers its pragma with no row, which is what we ask for.
        if found is not None and found[0] != expected:
            raise ConfigurationError(
                f"{path}: SQLite refuses {name}={setting} (it is {found[0]}). Put the data directory on a local disk."
            )


def _upgrade(db: sqlite3.Connection, version: int) -> None:
    """Bring a file of an older format to ours, each step in one transaction."""
    for older in range(version, FORMAT_VERSION):
        step = _sql(f"upgrade_{older}.sql")
        db.executescript(f"BEGIN IMMEDIATE;\n{step}\nPRAGMA user_version={older + 1};\nCOMMIT;")


def _sql(name: str) -> str:
    return resources.files("runtime.log").joinpath("sql", name).read_text(encoding="utf-8")


def _create(db: sqlite3.Connection) -> None:
    """Make the tables and the format's number in one transaction, so that a half-made file is an empty one."""
    schema = _sql("schema.sql")
    db.executescript(
        f"BEGIN IMMEDIATE;\n{schema}\n"
        "INSERT INTO store (only, store_epoch) VALUES (1, 0);\n"
        f"PRAGMA application_id={APPLICATION_ID};\nPRAGMA user_version={FORMAT_VERSION};\nCOMMIT;"
    )
