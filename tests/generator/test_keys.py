"""``/v1/keys``: who makes, sees and ends whose keys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from runtime.clock import ManualClock
from runtime.config import Settings
from runtime.generator.app import build_app
from runtime.generator.auth.by_key import KeyAuthenticator
from runtime.generator.principal import Fixed, Principal
from runtime.log.memory_keys import MemoryKeys
from tests.generator.memory_door import MemoryDoor
from tests.generator.runs_by_door import ids, team


class Desk:
    """The application as an administrator of ``acme`` and of ``umbra``, and as the operator, see it."""

    def __init__(self, data: Path) -> None:
        self.clock = ManualClock()
        self.keys = MemoryKeys()
        settings = Settings(data_dir=data, model="offline")

        def app(principal: Principal) -> Starlette:
            return build_app(
                MemoryDoor(self.clock), settings, clock=self.clock, new_id=ids().__next__, team=team,
                authenticate=Fixed(principal), credentials=self.keys,
            )  # fmt: skip

        admin = frozenset({"admin"})
        self.acme = self._client(app(Principal("acme", "a", admin, credential="k")))
        self.umbra = self._client(app(Principal("umbra", "u", admin, credential="k")))
        self.operator = self._client(app(Principal("operator", "o", admin, credential="k", operator=True)))
        self.checked = KeyAuthenticator(self.keys, self.clock)

    def _client(self, app: Starlette) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1")

    async def opens(self, key: str) -> bool:
        """Whether a door that has not met it before would take that key."""
        from starlette.datastructures import Headers

        from runtime.generator.problems import Refusal

        try:
            await KeyAuthenticator(self.keys, self.clock)(Headers({"authorization": f"Bearer {key}"}))
        except Refusal:
            return False
        return True


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    desk = Desk(tmp_path)
    async with desk.acme, desk.umbra, desk.operator:
        yield desk


async def made(client: httpx2.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post("/v1/keys", json={"name": "bot", **body})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def test_key_is_shown_once(desk: Desk) -> None:
    key = await made(desk.acme, roles=["support"], expires_in_s=60)
    assert key["key"].startswith(f"hr_{key['key_id']}.")
    assert (key["tenant_id"], key["scopes"], key["roles"]) == (
        "acme",
        ["runs:read", "runs:write", "runs:cancel"],
        ["support"],
    )
    assert key["expires_at"] == desk.clock.now() + 60
    assert await desk.opens(key["key"])
    listed = (await desk.acme.get("/v1/keys")).json()["keys"]
    assert listed == [{name: value for name, value in key.items() if name != "key"}]


async def test_administrator_sees_and_ends_its_tenants_keys_alone(desk: Desk) -> None:
    mine, theirs = await made(desk.acme), await made(desk.umbra)
    assert [key["key_id"] for key in (await desk.acme.get("/v1/keys")).json()["keys"]] == [mine["key_id"]]
    absent = await desk.acme.delete("/v1/keys/nobody")
    for answer in (
        await desk.acme.delete(f"/v1/keys/{theirs['key_id']}"),
        await desk.acme.post(f"/v1/keys/{theirs['key_id']}/rotate", json={}),
    ):
        assert (answer.status_code, answer.content) == (404, absent.content)
    assert await desk.opens(theirs["key"])
    refused = await desk.acme.post("/v1/keys", json={"name": "spy", "tenant_id": "umbra"})
    assert refused.status_code == 403
    assert len((await desk.operator.get("/v1/keys")).json()["keys"]) == 2


async def test_operator_makes_keys_for_every_tenant(desk: Desk) -> None:
    assert (await made(desk.operator, tenant_id="umbra"))["tenant_id"] == "umbra"
    assert (await made(desk.operator))["tenant_id"] == "default"


async def test_revoked_key_opens_nothing_and_is_still_listed(desk: Desk) -> None:
    key = await made(desk.acme)
    for _ in range(2):
        assert (await desk.acme.delete(f"/v1/keys/{key['key_id']}")).status_code == 204
    assert not await desk.opens(key["key"])
    (listed,) = (await desk.acme.get("/v1/keys")).json()["keys"]
    assert listed["revoked_at"] == desk.clock.now()
    refused = await desk.acme.post(f"/v1/keys/{key['key_id']}/rotate", json={})
    assert (refused.status_code, refused.json()["code"]) == (409, "key_ended")


async def test_rotated_key_and_its_successor_are_live_together_for_a_while(desk: Desk) -> None:
    old = await made(desk.acme, scopes=["admin"], roles=["support"], expires_in_s=1000)
    answer = await desk.acme.post(f"/v1/keys/{old['key_id']}/rotate", json={"keep_s": 100})
    new = answer.json()
    assert answer.status_code == 201
    assert {name: new[name] for name in ("tenant_id", "name", "scopes", "roles")} == {
        name: old[name] for name in ("tenant_id", "name", "scopes", "roles")
    }
    assert [await desk.opens(key["key"]) for key in (old, new)] == [True, True]
    desk.clock.advance(100)
    assert [await desk.opens(key["key"]) for key in (old, new)] == [False, True]
    desk.clock.advance(900)
    assert not await desk.opens(new["key"])


@pytest.mark.parametrize(
    "body",
    [
        {}, {"name": ""}, {"name": "a\nb"}, {"name": "x" * 65}, {"name": "a", "scopes": []}, {"name": "a", "scopes": ["root"]},
        {"name": "a", "scopes": "admin"}, {"name": "a", "roles": ["a b"]}, {"name": "a", "expires_in_s": 0},
        {"name": "a", "expires_in_s": -5}, {"name": "a", "expires_in_s": 1e12}, {"name": "a", "expires_in_s": "5"},
        {"name": "a", "tenant_id": ".."}, {"name": "a", "tenant_id": "a/b"}, {"name": "a", "secret_hash": "x"},
        {"name": "a", "key_id": "mine"}, {"name": "a", "operator": True}, {"name": "a", "created_at": 5.0},
    ],
    ids=repr,
)  # fmt: skip
async def test_body_that_does_not_fit(desk: Desk, body: dict[str, Any]) -> None:
    assert (await desk.acme.post("/v1/keys", json=body)).status_code == 422
    assert (await desk.acme.get("/v1/keys")).json() == {"keys": []}
