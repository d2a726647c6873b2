"""What every store of keys promises, asked of each one alike."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.clock import ManualClock
from runtime.errors import Conflict, StoreUnavailable
from runtime.log.credentials import Key, new_key, presented
from runtime.log.hub import Store
from runtime.log.memory import MemoryLog
from runtime.log.postgres import PostgresLog, PostgresReader
from runtime.log.sqlite import SqliteLog, SqliteReader
from tests.fakes.postgres import emptied_database

NAMES = iter(range(1, 1 << 30))


def random(size: int) -> bytes:
    return next(NAMES).to_bytes(size, "big")


def made(tenant_id: str = "acme", created_at: float = 100.0, expires_at: float | None = None) -> tuple[Key, str]:
    return new_key(
        tenant_id=tenant_id, name="ci", scopes=("runs:read", "admin"), roles=("support",), now=created_at,
        expires_at=expires_at, random=random,
    )  # fmt: skip


@pytest.fixture(params=["memory", "sqlite", "postgres"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    store: Store
    match request.param:
        case "memory":
            store = MemoryLog(ManualClock())
        case "sqlite":
            store = SqliteLog(tmp_path / "log.db", ManualClock())
        case _:
            store = PostgresLog(await emptied_database(), ManualClock())
    await store.open()
    yield store
    await store.close()


async def test_key_is_kept_as_it_was_made(store: Store) -> None:
    key, _ = made(expires_at=200.5)
    await store.add_key(key)
    assert await store.key(key.key_id) == key
    assert await store.key("nobody") is None


async def test_id_is_taken_once(store: Store) -> None:
    key, _ = made()
    await store.add_key(key)
    with pytest.raises(Conflict) as refused:
        await store.add_key(replace(key, tenant_id="other"))
    assert refused.value.reason == "key_exists"
    assert await store.key(key.key_id) == key


async def test_lists_are_a_tenants_own_newest_first(store: Store) -> None:
    keys = [made(tenant, at)[0] for tenant, at in (("acme", 1.0), ("umbra", 2.0), ("acme", 3.0))]
    for key in keys:
        await store.add_key(key)
    assert await store.keys(tenant_id="acme") == [keys[2], keys[0]]
    assert await store.keys(tenant_id="acme", limit=1) == [keys[2]]
    assert await store.keys(tenant_id=None) == [keys[2], keys[1], keys[0]]
    assert await store.keys(tenant_id="nobody") == []


async def test_revoked_key_keeps_the_first_time(store: Store) -> None:
    key, _ = made()
    await store.add_key(key)
    assert await store.revoke_key(key.key_id, 150.0) == replace(key, revoked_at=150.0)
    assert await store.revoke_key(key.key_id, 160.0) == replace(key, revoked_at=150.0)
    assert await store.key(key.key_id) == replace(key, revoked_at=150.0)
    assert await store.revoke_key("nobody", 150.0) is None


async def test_end_of_a_key_only_comes_closer(store: Store) -> None:
    key, _ = made()
    await store.add_key(key)
    assert await store.expire_key(key.key_id, 180.0) == replace(key, expires_at=180.0)
    assert await store.expire_key(key.key_id, 190.0) == replace(key, expires_at=180.0)
    assert await store.expire_key(key.key_id, 170.0) == replace(key, expires_at=170.0)
    assert await store.key(key.key_id) == replace(key, expires_at=170.0)
    assert await store.expire_key("nobody", 150.0) is None


async def test_store_that_is_away_says_so(store: Store) -> None:
    await store.close()
    with pytest.raises(StoreUnavailable):
        await store.key("k")
    with pytest.raises(StoreUnavailable):
        await store.add_key(made()[0])
    await store.open()


async def test_keys_outlive_the_process(store: Store) -> None:
    key, _ = made()
    await store.add_key(key)
    await store.close()
    await store.open()
    assert await store.key(key.key_id) == key


async def test_others_read_the_keys_beside_the_writer(tmp_path: Path) -> None:
    url = await emptied_database()
    logs = (SqliteLog(tmp_path / "log.db", ManualClock()), PostgresLog(url, ManualClock()))
    for log, reader in zip(logs, (SqliteReader(tmp_path / "log.db"), PostgresReader(url)), strict=True):
        await log.open()
        key, _ = made()
        await log.add_key(key)
        assert await reader.key(key.key_id) == key
        assert await reader.keys(tenant_id="acme") == [key]
        await log.revoke_key(key.key_id, 150.0)
        assert await reader.key(key.key_id) == replace(key, revoked_at=150.0)
        await reader.close()
        await log.close()


async def test_no_store_on_disk_has_the_secret(tmp_path: Path) -> None:
    log = SqliteLog(tmp_path / "log.db", ManualClock())
    await log.open()
    key, text = made()
    await log.add_key(key)
    parts = presented(text)
    assert parts is not None
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert key.secret_hash in kept
    assert parts.secret.encode() not in kept
    await log.close()


# --- a key by itself -------------------------------------------------------------------------------------------------


def test_key_fits_its_own_secret_alone() -> None:
    (key, text), (_, other) = made(), made()
    mine, theirs = presented(text), presented(other)
    assert mine is not None
    assert theirs is not None
    assert (mine.key_id, key.fits(mine.secret), key.fits(theirs.secret)) == (key.key_id, True, False)


@pytest.mark.parametrize(
    "text",
    ["", "hr_", "hr_a.b", "hr_A1." + "x" * 43, "sk_a1." + "x" * 43, "hr_a1." + "x" * 44, "hr_a1." + "x" * 42 + "\n"],
)
def test_other_texts_are_no_keys(text: str) -> None:
    assert presented(text) is None


def test_key_lives_until_it_ends() -> None:
    key, _ = made(expires_at=200.0)
    assert (key.live(199.9), key.live(200.0), replace(key, revoked_at=1.0).live(150.0)) == (True, False, False)
