"""What an error of the driver means to us: the one place where PostgreSQL's codes are known."""

from __future__ import annotations

from typing import Final

import asyncpg

from runtime.errors import ConfigurationError, HeadraceError, StoreUnavailable
from runtime.log.postgres_settings import READ_ONLY

UNAVAILABLE: Final = (
    OSError,  # refused, reset, no such host; TimeoutError is one too
    asyncpg.InterfaceError,  # the connection is closed
    asyncpg.PostgresConnectionError,  # 08
    asyncpg.ReadOnlySQLTransactionError,  # 25006: a failover made it a standby
    asyncpg.IdleInTransactionSessionTimeoutError,  # 25P03
    asyncpg.TransactionRollbackError,  # 40: serialization, deadlock
    asyncpg.InsufficientResourcesError,  # 53: disk full, out of memory, too many connections
    asyncpg.LockNotAvailableError,  # 55P03
    asyncpg.OperatorInterventionError,  # 57: shutdown, starting up, statement_timeout
    asyncpg.PostgresSystemError,  # 58: I/O error
    asyncpg.TargetServerAttributeNotMatched,
)
"""Waiting can mend these. Whether a transaction under way was committed is unknown after any of them."""

MISCONFIGURED: Final = (
    asyncpg.ClientConfigurationError,
    asyncpg.InvalidAuthorizationSpecificationError,  # 28: bad password, no pg_hba entry
    asyncpg.InvalidCatalogNameError,  # 3D000: no such database
    asyncpg.InsufficientPrivilegeError,  # 42501
    asyncpg.UndefinedTableError,  # 42P01: the tables are not there, or not yet
    asyncpg.InvalidSchemaNameError,
)


def unavailable(error: Exception, server: str) -> HeadraceError | None:
    """The error to raise instead of ``error`` while the log is in use; None: it is none of these and goes on as it is."""
    if isinstance(error, (*UNAVAILABLE, *MISCONFIGURED, ConfigurationError)):
        return StoreUnavailable(f"PostgreSQL at {server}: {_words(error)}")
    return None


def refused(error: Exception, server: str) -> HeadraceError | None:
    """The same while the log is being opened, when someone is there to mend a setting."""
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        return ConfigurationError(f"{server}: {READ_ONLY}")
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return ConfigurationError(
            f"PostgreSQL at {server}: {_words(error)}. Let a role that owns the database run `headrace migrate`, and grant"
            " this one USAGE on schema headrace and SELECT, INSERT, UPDATE, DELETE on its tables."
        )
    if isinstance(error, MISCONFIGURED):
        return ConfigurationError(f"PostgreSQL at {server}: {_words(error)}. Mend HEADRACE_LOG or the server.")
    return None if isinstance(error, HeadraceError) else unavailable(error, server)


def _words(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
