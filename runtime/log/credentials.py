"""API keys: what one is, how it is made and held against what is presented, and the port to where keys are kept.

A key is ``hr_<id>.<secret>``. Whoever made it sees the secret once; kept is its SHA-256. The secret is 256 random bits, so
nobody can guess it from its hash, and a slow hash would only slow us down. Keys stand in the log's store: one store, one
backup. Two keys may be live at once, which is all that rotation needs.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

_KEY: Final = re.compile(r"hr_([a-z0-9]{1,32})\.([A-Za-z0-9_-]{43})\Z")

SECRET_BYTES: Final = 32
ID_BYTES: Final = 8

RandomBytes = Callable[[int], bytes]
"""Gives so many random bytes, fit for secrets."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key as it is kept. Times are seconds since 1970."""

    key_id: str
    tenant_id: str
    name: str
    """What people call it; for the audit log."""
    secret_hash: bytes
    """SHA-256 of the secret."""
    scopes: tuple[str, ...]
    roles: tuple[str, ...]
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None

    def live(self, now: float) -> bool:
        """Whether it opens anything."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def fits(self, secret: str) -> bool:
        """Whether ``secret`` is its secret; takes equally long for every wrong one."""
        return hmac.compare_digest(self.secret_hash, hash_of(secret))


class Presented(NamedTuple):
    """A key as it is shown to a door."""

    key_id: str
    secret: str


def presented(text: str) -> Presented | None:
    """The parts of a key; None for anything else."""
    match = _KEY.match(text)
    return None if match is None else Presented(match[1], match[2])


def hash_of(secret: str) -> bytes:
    """What is kept of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def new_secret(random: RandomBytes) -> str:
    """256 random bits as text."""
    return base64.urlsafe_b64encode(random(SECRET_BYTES)).rstrip(b"=").decode()


def new_key(
    *,
    tenant_id: str,
    name: str,
    scopes: tuple[str, ...],
    roles: tuple[str, ...],
    now: float,
    expires_at: float | None,
    random: RandomBytes,
) -> tuple[Key, str]:
    """A key to be kept, and the text of it to be shown once."""
    key_id, secret = random(ID_BYTES).hex(), new_secret(random)
    key = Key(key_id, tenant_id, name, hash_of(secret), scopes, roles, now, expires_at)
    return key, f"hr_{key_id}.{secret}"


class KeyReader(Protocol):
    """The reading half. Raises :class:`runtime.errors.StoreUnavailable`."""

    async def key(self, key_id: str) -> Key | None:
        """The key, whether it is live or not."""
        ...

    async def keys(self, *, tenant_id: str | None, limit: int = 200) -> list[Key]:
        """A tenant's keys, or everybody's; the newest first."""
        ...


class Credentials(KeyReader, Protocol):
    """Where keys are kept. One contract suite (``tests/contracts/test_credentials.py``) examines every implementation."""

    async def add_key(self, key: Key) -> None:
        """Keep it. Raises ``Conflict('...', 'key_exists')`` for an id that is taken."""
        ...

    async def revoke_key(self, key_id: str, at: float) -> Key | None:
        """It opens nothing from now on; a repeat keeps the first time. Gives it as it is now, None when there is none."""
        ...

    async def expire_key(self, key_id: str, at: float) -> Key | None:
        """It opens nothing from ``at`` on, or from when it was to end if that is earlier. Gives it, None as above."""
        ...
