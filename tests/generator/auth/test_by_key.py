from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from runtime.clock import ManualClock
from runtime.errors import StoreUnavailable
from runtime.generator.auth import operator
from runtime.generator.auth.by_key import REMEMBERED, REMEMBERED_S, KeyAuthenticator
from runtime.generator.auth.operator import OperatorKey
from runtime.generator.principal import Principal
from runtime.generator.problems import Refusal
from runtime.log.credentials import Key, new_key
from runtime.log.memory_keys import MemoryKeys
from runtime.tenancy import TENANT


class CountingKeys(MemoryKeys):
    """Counts how often a key is looked up; ``down`` makes it fail."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.down = False

    async def key(self, key_id: str) -> Key | None:
        self.asked += 1
        if self.down:
            raise StoreUnavailable("away")
        return await super().key(key_id)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def keys() -> CountingKeys:
    return CountingKeys()


async def kept(keys: MemoryKeys, clock: ManualClock, n: int = 1, expires_in: float | None = None) -> tuple[Key, str]:
    key, text = new_key(
        tenant_id="acme", name="ci", scopes=("runs:read", "runs:fly"), roles=("support",), now=clock.now(),
        expires_at=None if expires_in is None else clock.now() + expires_in, random=lambda size: n.to_bytes(size, "big"),
    )  # fmt: skip
    await keys.add_key(key)
    return key, text


def headers(*authorization: str) -> Headers:
    return Headers(raw=[(b"authorization", value.encode("latin-1")) for value in authorization])


async def refused(authenticate: KeyAuthenticator, *authorization: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await authenticate(headers(*authorization))
    assert (caught.value.status, caught.value.code) == (401, "unauthenticated")
    return caught.value


async def test_key_speaks_for_its_tenant_with_its_scopes_and_roles(keys: CountingKeys, clock: ManualClock) -> None:
    key, text = await kept(keys, clock)
    found = await KeyAuthenticator(keys, clock)(headers(f"bearer {text}"))
    assert found == Principal("acme", "ci", frozenset({"runs:read"}), frozenset({"support"}), key.key_id)


async def test_everything_else_is_the_same_401(keys: CountingKeys, clock: ManualClock) -> None:
    _, text = await kept(keys, clock)
    _, other = await kept(keys, clock, 2)
    swapped = f"{text.partition('.')[0]}.{other.partition('.')[2]}"
    authenticate = KeyAuthenticator(keys, clock)
    bad = [
        (), ("",), ("Bearer",), ("Bearer ",), (text,), (f"Basic {text}",), (f"Bearer {text} ",), (f"Bearer {text}\x00",),
        (f"Bearer {text}", f"Bearer {text}"), (f"Bearer {text},{text}",), (f"Bearer {swapped}",), (f"Bearer {text}x",),
        (f"Bearer hr_{'0' * 16}.{'A' * 43}",), (f"Bearer {'x' * 1_000_000}",), ("Bearer é",), (f"Bearer {text.upper()}",),
    ]  # fmt: skip
    said = {(await refused(authenticate, *one)).detail for one in bad}
    assert len(said) == 1
    assert (await refused(authenticate)).headers == {"WWW-Authenticate": "Bearer"}


async def test_revoked_key_opens_nothing_within_five_seconds(keys: CountingKeys, clock: ManualClock) -> None:
    key, text = await kept(keys, clock)
    authenticate = KeyAuthenticator(keys, clock)
    await authenticate(headers(f"Bearer {text}"))
    await keys.revoke_key(key.key_id, clock.now())
    clock.advance(4.9)
    await refused(authenticate, f"Bearer {text}")
    assert REMEMBERED_S < 5


async def test_expired_key_opens_nothing_at_once(keys: CountingKeys, clock: ManualClock) -> None:
    _, text = await kept(keys, clock, expires_in=1.0)
    authenticate = KeyAuthenticator(keys, clock)
    await authenticate(headers(f"Bearer {text}"))
    clock.advance(1.0)
    await refused(authenticate, f"Bearer {text}")


async def test_store_is_asked_once_in_a_while(keys: CountingKeys, clock: ManualClock) -> None:
    _, text = await kept(keys, clock)
    authenticate = KeyAuthenticator(keys, clock)
    for _ in range(10):
        await authenticate(headers(f"Bearer {text}"))
        await refused(authenticate, f"Bearer hr_{'0' * 16}.{'A' * 43}")
    assert keys.asked == 2


async def test_what_is_remembered_is_bounded(keys: CountingKeys, clock: ManualClock) -> None:
    authenticate = KeyAuthenticator(keys, clock)
    for n in range(REMEMBERED + 5):
        await refused(authenticate, f"Bearer hr_{n:016x}.{'A' * 43}")
    assert len(authenticate._known) == REMEMBERED


async def test_store_that_is_away_is_no_refusal(keys: CountingKeys, clock: ManualClock) -> None:
    _, text = await kept(keys, clock)
    keys.down = True
    with pytest.raises(StoreUnavailable):
        await KeyAuthenticator(keys, clock)(headers(f"Bearer {text}"))


# --- the operator ----------------------------------------------------------------------------------------------------


async def test_operators_key_is_in_a_file_that_only_its_owner_reads(
    tmp_path: Path, keys: CountingKeys, clock: ManualClock
) -> None:
    path = tmp_path / operator.FILE
    path.touch(mode=0o644)
    operator.write(tmp_path, "http://127.0.0.1:8000", lambda size: b"a" * size)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    found = operator.read(tmp_path)
    assert found is not None
    authenticate = KeyAuthenticator(keys, clock, OperatorKey(tmp_path))
    principal = await authenticate(headers(f"Bearer {found.key}"))
    assert (principal.operator, principal.scopes) == (True, frozenset({"admin", "runs:read"}))
    assert not TENANT.match(principal.tenant_id), "no tenant's name is the operator's, or it would read that one's runs"
    await refused(authenticate, f"Bearer hr_operator.{'A' * 43}")


async def test_operators_key_of_an_earlier_start_opens_nothing(
    tmp_path: Path, keys: CountingKeys, clock: ManualClock
) -> None:
    operator.write(tmp_path, "http://127.0.0.1:8000", lambda size: b"a" * size)
    old = operator.read(tmp_path)
    assert old is not None
    authenticate = KeyAuthenticator(keys, clock, OperatorKey(tmp_path))
    operator.write(tmp_path, "http://127.0.0.1:8000", lambda size: b"b" * size)
    await refused(authenticate, f"Bearer {old.key}")
    operator.remove(tmp_path)
    await refused(authenticate, f"Bearer {old.key}")


async def test_nobody_can_keep_a_key_that_passes_for_the_operators(
    tmp_path: Path, keys: CountingKeys, clock: ManualClock
) -> None:
    key, text = await kept(keys, clock)
    await keys.add_key(replace(key, key_id=operator.KEY_ID))
    authenticate = KeyAuthenticator(keys, clock, OperatorKey(tmp_path))
    await refused(authenticate, f"Bearer hr_operator.{text.partition('.')[2]}")
