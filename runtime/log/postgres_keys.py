"""What is asked of and written to the keys in a PostgreSQL log."""

from __future__ import annotations

from typing import Final

import asyncpg

from runtime.log.credentials import Key
from runtime.log.decide import key_exists
from runtime.log.postgres_connections import Connection

_KEY: Final = "key_id, tenant_id, name, secret_hash, scopes, roles, created_at, expires_at, revoked_at"
_GET: Final = f"SELECT {_KEY} FROM credentials WHERE key_id = $1"
_LIST: Final = f"""
    SELECT {_KEY} FROM credentials WHERE $1::text IS NULL OR tenant_id = $1 ORDER BY created_at DESC, key_id LIMIT $2"""
_ADD: Final = f"""
    INSERT INTO credentials ({_KEY}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING RETURNING 1"""
_REVOKE: Final = f"UPDATE credentials SET revoked_at = coalesce(revoked_at, $2) WHERE key_id = $1 RETURNING {_KEY}"
_EXPIRE: Final = f"UPDATE credentials SET expires_at = least(expires_at, $2) WHERE key_id = $1 RETURNING {_KEY}"


async def get_key(db: Connection, key_id: str) -> Key | None:
    """The key, or None."""
    return _to_key(await db.fetchrow(_GET, key_id))


async def list_keys(db: Connection, tenant_id: str | None, limit: int) -> list[Key]:
    """A tenant's keys, or all; the newest first."""
    found = [_to_key(row) for row in await db.fetch(_LIST, tenant_id, max(limit, 0))]
    return [key for key in found if key is not None]


async def add_key(db: Connection, key: Key) -> None:
    """Raises ``Conflict`` when the id is taken."""
    values = (key.key_id, key.tenant_id, key.name, key.secret_hash, list(key.scopes), list(key.roles))
    if await db.fetchval(_ADD, *values, key.created_at, key.expires_at, key.revoked_at) is None:
        raise key_exists(key.key_id)


async def revoke_key(db: Connection, key_id: str, at: float) -> Key | None:
    """The key as it is now, or None."""
    return _to_key(await db.fetchrow(_REVOKE, key_id, at))


async def expire_key(db: Connection, key_id: str, at: float) -> Key | None:
    """The key as it is now, or None. ``least`` passes over NULL."""
    return _to_key(await db.fetchrow(_EXPIRE, key_id, at))


def _to_key(row: asyncpg.Record | None) -> Key | None:
    if row is None:
        return None
    key_id, tenant_id, name, secret_hash, scopes, roles, *times = row
    return Key(key_id, tenant_id, name, secret_hash, tuple(scopes), tuple(roles), *times)
