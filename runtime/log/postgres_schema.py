"""The tables and their version: made and brought up to date when the log is opened, or by ``headrace migrate``.

Alembic keeps the migrations, in ``migrations/versions``, and puts them in order; it only writes the SQL. The same driver
that does all else runs it, in one transaction under an advisory lock, so of several processes that start at once one
migrates, and a migration that fails leaves nothing. Migrations are therefore plain SQL.
"""

from __future__ import annotations

import asyncio
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import asyncpg

from runtime.errors import ConfigurationError
from runtime.log.postgres_connections import WORK_S, Connection, connect, connect_and_read_back, let_go, server_of
from runtime.log.postgres_errors import refused
from runtime.log.postgres_settings import SESSION, warnings

SCHEMA_VERSION: Final = "0003"
"""The newest revision in ``migrations/versions``: what this Headrace reads and writes."""

LOCK: Final = 0x48445243
"""``HDRC``, of PostgreSQL's advisory locks; one database has one Headrace in it."""

MIGRATIONS: Final = Path(__file__).parent / "migrations"

MIGRATION_S: Final = 600.0

IDLE: Final = "60s"
"""How long a migration's transaction may idle: Alembic is loaded within it, seconds on a busy machine."""


_LOCKED: Final = """
    SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class
    WHERE relnamespace = 'headrace'::regnamespace AND relkind IN ('r', 'p') AND relname <> 'schema_version'
    AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE'))"""
"""The tables that the role may not fully use, or NULL."""


async def ensure_schema(url: str) -> str:
    """Bring the tables to ``SCHEMA_VERSION``; answers a sentence. Raises ``ConfigurationError``, ``StoreUnavailable``."""
    server = server_of(url)
    patient = f"{MIGRATION_S:.0f}s"
    limits = {"statement_timeout": patient, "lock_timeout": patient, "idle_in_transaction_session_timeout": IDLE}
    try:
        db = await connect(url, {**SESSION, **limits})
        try:
            async with asyncio.timeout(WORK_S) as limit:
                return await _ensure(db, server, limit)
        finally:
            await let_go(db)
    except Exception as error:
        if (translated := refused(error, server)) is not None:
            raise translated from error
        raise


def migrate(url: str) -> str:
    """The same for a command line without an event loop."""
    return asyncio.run(ensure_schema(url))


@dataclass(frozen=True, slots=True)
class Examined:
    """What a log would find at a database."""

    server: str
    server_version: str
    version: str | None
    """Of the tables; None: there are none."""
    wanted: str
    may_create: bool
    """Whether the role may make the schema, if there is none."""
    warnings: tuple[str, ...]


async def examine(url: str) -> Examined:
    """Look without changing anything. Raises ``ConfigurationError`` for what a log would refuse, ``StoreUnavailable``."""
    server = server_of(url)
    try:
        db, settings = await connect_and_read_back(url)
        try:
            async with asyncio.timeout(WORK_S):
                version = await _version(db, server)
                if version is not None:
                    await _refuse_without_rights(db, server)
                may = await db.fetchval("SELECT has_database_privilege(current_database(), 'CREATE')")
        finally:
            await let_go(db)
    except Exception as error:
        if (translated := refused(error, server)) is not None:
            raise translated from error
        raise
    return Examined(server, settings["server_version"], version, SCHEMA_VERSION, may, tuple(warnings(settings)))


async def _ensure(db: Connection, server: str, limit: asyncio.Timeout) -> str:
    if await _version(db, server) == SCHEMA_VERSION:
        await _refuse_without_rights(db, server)
        return f"The tables at {server} are of version {SCHEMA_VERSION} already."
    limit.reschedule(asyncio.get_running_loop().time() + MIGRATION_S)
    # Before the transaction, which then sees what others did while we waited; it ends with the connection.
    await db.execute("SELECT pg_advisory_lock($1)", LOCK)
    async with db.transaction():
        found = await _version(db, server)
        if found == SCHEMA_VERSION:
            return f"The tables at {server} are of version {SCHEMA_VERSION} already."
        await _upgrade(db, found, server)
    return f"Migrated the tables at {server} from {found or 'nothing'} to version {SCHEMA_VERSION}."


async def _version(db: Connection, server: str) -> str | None:
    """The tables' version, None when there are none; raises ``ConfigurationError`` for one we do not know."""
    if await db.fetchval("SELECT to_regnamespace('headrace')") is None:
        return None
    if await db.fetchval("SELECT to_regclass('headrace.schema_version')") is None:
        return None
    found: str | None = await db.fetchval("SELECT version_num FROM headrace.schema_version")
    if found is not None and not (found.isdigit() and found <= SCHEMA_VERSION):
        raise ConfigurationError(
            f"the tables at {server} are of version {found}; this Headrace knows up to {SCHEMA_VERSION}."
            " Upgrade Headrace, or name another database. `headrace migrate` of the newer Headrace made them."
        )
    return found


async def _refuse_without_rights(db: Connection, server: str) -> None:
    locked = await db.fetchval(_LOCKED)
    if locked is not None:
        raise ConfigurationError(
            f"at {server} this role may not use the tables {locked}. Grant it USAGE on schema headrace and SELECT, INSERT,"
            " UPDATE, DELETE on all tables in it."
        )


async def _upgrade(db: Connection, found: str | None, server: str) -> None:
    try:
        if await db.fetchval("SELECT to_regnamespace('headrace')") is None:
            await db.execute("CREATE SCHEMA headrace")
        await db.execute(upgrade_script(found))
    except asyncpg.InsufficientPrivilegeError as error:
        state = "has no tables yet" if found is None else f"has tables of version {found}, needed is {SCHEMA_VERSION}"
        raise ConfigurationError(
            f"the database at {server} {state}, and this role may not make them ({error})."
            " Run `headrace migrate` with a role that owns the database."
        ) from error


def upgrade_script(found: str | None) -> str:
    """The SQL that leads from version ``found`` (None: nothing) to ours."""
    # Here, because they take a third of a second to load and are needed once in a database's life.
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    script, sql = ScriptDirectory(str(MIGRATIONS)), io.StringIO()
    start = found or "base"
    with EnvironmentContext(
        Config(),
        script,
        fn=lambda revision, _: script._upgrade_revs(SCHEMA_VERSION, revision),
        as_sql=True,
        starting_rev=start,
        destination_rev=SCHEMA_VERSION,
    ) as environment:
        environment.configure(
            dialect_name="postgresql",
            output_buffer=sql,
            version_table="schema_version",
            version_table_schema="headrace",
        )
        environment.run_migrations()
    return sql.getvalue()
