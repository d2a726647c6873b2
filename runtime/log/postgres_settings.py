"""What a PostgreSQL server must be set to before Headrace trusts it, and what each of our sessions asks of it.

Settings are read back on every new connection: ``fsync``, ``full_page_writes`` and ``synchronous_commit`` can be
changed under a running system, and a store that forgets what it acknowledged is worse than none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from runtime.errors import ConfigurationError

SESSION: Final = {
    "application_name": "headrace",
    "search_path": "headrace",
    "timezone": "UTC",
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "5s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "10s",
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""JOURNAL.md 1.9. The TCP settings are the server's side, which gives a vanished client's locks back; our own side bounds
every call. ``jit`` is off because our statements are short. Each of them finds its rows by an index; the planner, who plans
once for tables that were small then, would read them whole (measured: 30 ms an append instead of 1)."""

OLDEST_SERVER: Final = 140000
"""``server_version_num``: 13 has been without security fixes since November 2025."""

READ_BACK: Final = """
    SELECT current_setting('server_version_num')::int AS server_version_num,
        current_setting('server_version') AS server_version,
        current_setting('server_encoding') AS server_encoding,
        current_setting('fsync') AS fsync,
        current_setting('full_page_writes') AS full_page_writes,
        current_setting('synchronous_commit') AS synchronous_commit,
        current_setting('synchronous_standby_names') AS synchronous_standby_names,
        current_setting('data_checksums') AS data_checksums,
        current_setting('transaction_read_only') AS transaction_read_only,
        pg_is_in_recovery() AS in_recovery"""

Found = Mapping[str, Any]  # Any: one row of READ_BACK, whose columns are of several types


def refuse_unsafe(found: Found) -> None:
    """Raise ``ConfigurationError``, with the remedy, for a server that could lose what it acknowledged or takes no writes."""
    if found["server_version_num"] < OLDEST_SERVER:
        raise ConfigurationError(
            f"PostgreSQL {found['server_version']} is too old: Headrace needs 14 or newer. Upgrade the server."
        )
    if found["server_encoding"] != "UTF8":
        raise ConfigurationError(
            f"the database is encoded in {found['server_encoding']}: create it with ENCODING 'UTF8' TEMPLATE template0."
        )
    if found["in_recovery"] or found["transaction_read_only"] == "on":
        raise ConfigurationError(READ_ONLY)
    for name, meaning in _MUST_BE_ON.items():
        if found[name] != "on":
            raise ConfigurationError(
                f"PostgreSQL runs with {name}={found[name]}: {meaning}. Set {name} = on and reload the server."
            )
    if found["synchronous_commit"] == "off":
        raise ConfigurationError(
            "PostgreSQL runs with synchronous_commit=off: it acknowledges what a crash then forgets. Set"
            " synchronous_commit = on for the server, and see that neither the role nor the database sets it otherwise."
        )


def warnings(found: Found) -> list[str]:
    """What is less than it could be, in sentences for the log."""
    told = []
    if found["data_checksums"] != "on":
        told.append("PostgreSQL runs without data checksums: a decaying disk goes unnoticed (pg_checksums --enable)")
    if found["synchronous_standby_names"] and found["synchronous_commit"] == "local":
        told.append("synchronous_commit=local waits for no standby: a failover can lose what was acknowledged")
    return told


READ_ONLY: Final = (
    "PostgreSQL takes no writes there: it is a standby, or default_transaction_read_only is on."
    " Name the primary in HEADRACE_LOG, or several hosts: postgresql://one,two/database."
)

_MUST_BE_ON: Final = {
    "fsync": "a power cut can destroy the whole database",
    "full_page_writes": "a power cut can tear pages apart",
}
