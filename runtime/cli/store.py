"""The state of a store, from outside: a SQLite file, its format and who holds its lock; a PostgreSQL database, whether
it is there, set up safely, and what version its tables have. Writes nothing."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from runtime.cli.check import Check
from runtime.config import Settings
from runtime.errors import ConfigurationError, HeadraceError

if TYPE_CHECKING:
    from runtime.log.postgres_schema import Examined

POSTGRES = ("postgresql", "postgres")
EXTRA = 'pip install "headrace[postgres]"'
EXTRAS_MODULES = frozenset({"asyncpg", "alembic", "sqlalchemy", "mako"})


def examine_store(settings: Settings) -> Check:
    """What a system would find at the store the settings name."""
    kind, _, rest = settings.log_url().partition(":")
    if kind == "sqlite" and rest:
        return examine_sqlite(Path(rest))
    if kind == "memory":
        return Check("store", "warn", "memory:", "runs are gone when the system stops; leave --log out to keep them")
    if kind in POSTGRES:
        return examine_postgres(settings)
    mend = "write sqlite:PATH, postgresql://HOST/DATABASE or memory:"
    return Check("store", "fail", f"HEADRACE_LOG begins with {kind!r}", mend)


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def postgres_url(settings: Settings) -> str:
    """The database the settings name. Raises ``ConfigurationError`` when it is none, or would be misread."""
    url = settings.log_url()
    if url.partition(":")[0] not in POSTGRES:
        raise ConfigurationError(
            f"the runs are in {settings.log_words()}, which needs no migration;"
            " name a database with --log or HEADRACE_LOG: postgresql://USER@HOST/DATABASE"
        )
    parts = urlsplit(url)
    if "@" in parts.path or parts.netloc.count("@") > 1:  # what follows would pass for a host, and be printed as one
        raise ConfigurationError(
            f"{settings.log_words()} has an @ too many: a user or password in a URL is written percent-encoded"
            " (%40 for @, %2F for /); better is PGPASSWORD or ~/.pgpass"
        )
    return url


@contextmanager
def postgres_schema() -> Iterator[ModuleType]:
    """The module that knows the tables. Raises ``ConfigurationError``, also inside, when its libraries are missing."""
    try:
        from runtime.log import postgres_schema as schema  # here: its libraries are an extra

        yield schema
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS_MODULES:
            raise
        words = f"a log in PostgreSQL needs {error.name}, which is not installed: {EXTRA}"
        raise ConfigurationError(words) from error


def examine_postgres(settings: Settings) -> Check:
    """Whether a system could use the database."""
    try:
        url = postgres_url(settings)
        with postgres_schema() as schema:
            found: Examined = asyncio.run(schema.examine(url))
    except ConfigurationError as error:
        return Check("store", "fail", error.message, _mend(error.message))
    except HeadraceError as error:
        mend = "start the server, or mend HEADRACE_LOG and the network between"
        return Check("store", "fail", error.message, mend)
    state = f"PostgreSQL {found.server_version} at {found.server}"
    if found.version is None and not found.may_create:
        mend = "run `headrace migrate` with a role that owns the database"
        return Check("store", "fail", f"{state} has no tables, and this role may not make them", mend)
    if found.version != found.wanted:
        has = "no tables yet" if found.version is None else f"tables of version {found.version}"
        mend = "run `headrace migrate`; without it the next start does the same, if its role may"
        return Check("store", "ok" if found.version is None else "warn", f"{state} has {has}", mend)
    state = f"{state} has tables of version {found.version}"
    return Check("store", "warn" if found.warnings else "ok", "; ".join([state, *found.warnings]))


def _mend(message: str) -> str:
    """The remedy in the words we use elsewhere; most of these messages name their own."""
    return EXTRA if EXTRA in message else "mend what it names, then try again"


# --- SQLite ----------------------------------------------------------------------------------------------------------


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
