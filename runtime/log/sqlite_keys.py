"""What is asked of and written to the keys in a SQLite log; each writing function is one statement, thus one transaction."""

from __future__ import annotations

import sqlite3
from typing import Any, Final

from runtime.log.credentials import Key
from runtime.log.decide import key_exists

_KEY: Final = "key_id, tenant_id, name, secret_hash, scopes, roles, created_at, expires_at, revoked_at"
_GET: Final = f"SELECT {_KEY} FROM credentials WHERE key_id = ?"
_LIST: Final = f"""
    SELECT {_KEY} FROM credentials WHERE :tenant_id IS NULL OR tenant_id = :tenant_id
    ORDER BY created_at DESC, key_id LIMIT :limit"""
_ADD: Final = f"INSERT INTO credentials ({_KEY}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
_REVOKE: Final = f"UPDATE credentials SET revoked_at = coalesce(revoked_at, ?) WHERE key_id = ? RETURNING {_KEY}"
_EXPIRE: Final = f"""
    UPDATE credentials SET expires_at = min(coalesce(expires_at, :at), :at) WHERE key_id = :key_id RETURNING {_KEY}"""


def get_key(db: sqlite3.Connection, key_id: str) -> Key | None:
    """The key, or None."""
    return _first(db.execute(_GET, (key_id,)).fetchall())


def list_keys(db: sqlite3.Connection, tenant_id: str | None, limit: int) -> list[Key]:
    """A tenant's keys, or all; the newest first."""
    rows = db.execute(_LIST, {"tenant_id": tenant_id, "limit": max(limit, 0)}).fetchall()
    return [_to_key(row) for row in rows]


def add_key(db: sqlite3.Connection, key: Key) -> None:
    """Raises ``Conflict`` when the id is taken."""
    values = (key.key_id, key.tenant_id, key.name, key.secret_hash, " ".join(key.scopes), " ".join(key.roles))
    try:
        db.execute(_ADD, (*values, key.created_at, key.expires_at, key.revoked_at))
    except sqlite3.IntegrityError as error:
        raise key_exists(key.key_id) from error


def revoke_key(db: sqlite3.Connection, key_id: str, at: float) -> Key | None:
    """The key as it is now, or None."""
    return _first(db.execute(_REVOKE, (at, key_id)).fetchall())


def expire_key(db: sqlite3.Connection, key_id: str, at: float) -> Key | None:
    """The key as it is now, or None."""
    return _first(db.execute(_EXPIRE, {"key_id": key_id, "at": at}).fetchall())


def _first(rows: list[tuple[Any, ...]]) -> Key | None:
    return _to_key(rows[0]) if rows else None


def _to_key(row: tuple[Any, ...]) -> Key:  # Any: SQLite's columns; STRICT tables keep their types
    key_id, tenant_id, name, secret_hash, scopes, roles, *times = row
    return Key(key_id, tenant_id, name, secret_hash, tuple(scopes.split()), tuple(roles.split()), *times)
