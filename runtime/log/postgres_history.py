"""Which history of the database is being written to: told by the server and its timeline, kept in the table ``store``.

A standby that is promoted begins a new timeline, as does a server restored to an earlier moment; a copy in another cluster
is another server. Each may lack the end of what was written before. A crash and a restart change neither. So every
connection for writing asks first, and on another history the epochs jump (see ``reset``) before anything is written to it.
"""

from __future__ import annotations

from typing import Final

from runtime.log.postgres_connections import Connection
from runtime.log.postgres_reads import UNFINISHED
from runtime.log.reset import Jump
from runtime.telemetry import logger

_log = logger("postgres")

_HERE: Final = "system_identifier || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8)"
"""A WAL file's name begins with its timeline. The control file's timeline would lag behind a promotion."""

_SAME: Final = f"SELECT history = {_HERE} FROM store, pg_control_system()"
_LOCK: Final = "SELECT FROM store FOR UPDATE"
_NOTE: Final = f"UPDATE store SET history = {_HERE} FROM pg_control_system()"
_JUMP: Final = f"""
    WITH jumped AS (
        UPDATE runs r SET epoch = epoch + $1::bigint, owner = NULL WHERE {UNFINISHED} RETURNING 1)
    SELECT count(*) FROM jumped"""


async def begin(db: Connection, jump: Jump) -> None:
    """Make sure that what ``db`` writes cannot be taken for what another history has lost. Raises the driver's errors.

    Of several hubs one does it, in one transaction; the others wait for it and find it done.
    """
    if await db.fetchval(_SAME):
        return
    async with db.transaction():
        await db.execute(_LOCK)
        if await db.fetchval(_SAME):
            return
        jumped = await db.fetchval(_JUMP, jump())
        await db.execute(_NOTE)
    if jumped:
        _log.warning("another server or timeline than the log last knew: %d unfinished runs are free", jumped)
