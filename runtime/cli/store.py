"""The state of a SQLite store, from outside: its format, and who holds its lock. Writes nothing."""

from __future__ import annotations

import fcntl
from pathlib import Path

from runtime.cli.check import Check
from runtime.errors import ConfigurationError


def examine_sqlite(path: Path) -> Check:
    """Whether a system could use the store at ``path``, or does so already."""
    from runtime.log.sqlite_file import open_for_reading  # here: the adapter is looked at, never used to write

    if not path.exists():
        return Check("store", "ok", f"{path} will be made")
    try:
        db = open_for_reading(path)
    except ConfigurationError as error:
        return Check("store", "fail", error.message, "restore it, or choose another data directory with --data")
    runs = 0
    if db is not None:
        (runs,) = db.execute("SELECT count(*) FROM runs").fetchone()
        db.close()
    holder = lock_holder(path.with_name(path.name + ".lock"))
    if holder is not None:
        held = f"{path} has {runs} runs and is in use by process {holder}"
        return Check("store", "warn", held, "a second system needs another data directory: --data DIR")
    return Check("store", "ok", f"{path} has {runs} runs and is free")


def lock_holder(lock: Path) -> str | None:
    """The pid in a lock file that is held, None when nobody holds it."""
    if not lock.exists():
        return None
    with lock.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return file.read(32).decode("ascii", "replace").strip() or "unknown"
    return None
