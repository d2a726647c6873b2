"""The gate over the whole application: who passes, how often, and what is told of it."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from runtime.clock import ManualClock
from runtime.config import Settings
from runtime.errors import ConfigurationError
from runtime.events import catalog as ev
from runtime.events.envelope import Draft
from runtime.generator.app import build_app
from runtime.generator.auth.audit import AuditLog
from runtime.generator.auth.by_key import KeyAuthenticator
from runtime.generator.auth.failures import MOST, Failures, Peers
from runtime.generator.auth.rates import Rates
from runtime.generator.tenure import LIFETIME_S, RECHECK_S
from runtime.log.credentials import new_key
from runtime.log.memory_keys import MemoryKeys
from runtime.tenancy import TenantLimits
from tests.generator.driver import Exchange, http_scope
from tests.generator.memory_door import MemoryDoor
from tests.generator.runs_by_door import JSON, STREAM, ids, team

COUNT = itertools.count(1)


class House:
    """An application that asks for keys, over a door in memory."""

    def __init__(self, data: Path, **settings: Any) -> None:
        self.clock = ManualClock()
        self.door = MemoryDoor(self.clock)
        self.keys = MemoryKeys()
        self.settings = Settings(data_dir=data, model="offline", auth="keys", heartbeat_s=0.02, **settings)
        self.audit = AuditLog(self.settings.audit_path())
        self.app: Starlette = build_app(
            self.door, self.settings, clock=self.clock, new_id=ids().__next__, team=team,
            authenticate=KeyAuthenticator(self.keys, self.clock), credentials=self.keys, audit=self.audit,
        )  # fmt: skip

    async def key(
        self, tenant: str = "acme", *, scopes: tuple[str, ...] = ("runs:read", "runs:write"), expires_in: float = 1e6
    ) -> str:
        key, text = new_key(
            tenant_id=tenant, name="ci", scopes=scopes, roles=(), now=self.clock.now(),
            expires_at=self.clock.now() + expires_in, random=lambda size: next(COUNT).to_bytes(size, "big"),
        )  # fmt: skip
        await self.keys.add_key(key)
        return text

    def http(self, key: str | None = None, peer: str = "192.0.2.1") -> httpx2.AsyncClient:
        transport = httpx2.ASGITransport(app=self.app, client=(peer, 1))
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        return httpx2.AsyncClient(transport=transport, base_url="http://api.example", headers=headers)

    def stream(self, key: str, path: str, method: str = "GET", body: bytes = b"") -> Exchange:
        headers = [STREAM, JSON, ("Authorization", f"Bearer {key}")]
        return Exchange(self.app, http_scope(method, path, headers), body)


Build = Callable[..., House]


@pytest.fixture
def build(tmp_path: Path) -> Any:
    built: list[House] = []

    def make(**settings: Any) -> House:
        built.append(House(tmp_path, **settings))
        return built[-1]

    yield make
    for house in built:
        house.audit.close()


def test_no_application_is_built_open_by_mistake(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, model="offline", auth="keys")
    with pytest.raises(ConfigurationError):
        build_app(MemoryDoor(ManualClock()), settings, clock=ManualClock(), new_id=ids().__next__, team=team)


async def test_credential_stands_in_the_header_alone(build: Build) -> None:
    house = build()
    key = await house.key()
    async with house.http() as nobody:
        for query in (f"access_token={key}", f"key={key}", f"api_key={key}", f"token={key}"):
            assert (await nobody.get(f"/v1/runs?{query}")).status_code == 401
        assert (await nobody.get("/v1/runs", headers={"Cookie": f"token={key}", "X-Api-Key": key})).status_code == 401
    async with house.http(key) as http:
        assert (await http.get("/v1/runs")).status_code == 200


async def test_readiness_tells_strangers_no_places(build: Build) -> None:
    house = build()
    house.door.down = True
    async with house.http() as nobody:
        answer = await nobody.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == {"store": "This does not work just now; the server's log says why."}


async def test_scope_is_asked_for_after_the_key(build: Build) -> None:
    house = build()
    async with house.http(await house.key(scopes=("runs:read",))) as reader:
        answer = await reader.post("/v1/runs", json={"input": "Why?"})
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
        assert "runs:write" in answer.json()["detail"]


async def test_credential_of_a_megabyte_costs_nothing(build: Build) -> None:
    house = build()
    async with house.http("hr_" + "x" * 1_000_000) as http:
        assert (await http.get("/v1/runs")).status_code == 431  # no header may be so long, whatever it says
    async with house.http("hr_" + "x" * 10_000) as http:
        assert (await http.get("/v1/runs")).status_code == 401


async def test_too_many_failures_are_told_to_wait_and_good_keys_pass(build: Build) -> None:
    house = build(max_failures_per_minute=3)
    good = await house.key()
    async with house.http("bad") as bad, house.http(good) as http, house.http("bad", "192.0.2.2") as elsewhere:
        assert [(await bad.get("/v1/runs")).status_code for _ in range(5)] == [401, 401, 401, 429, 429]
        answer = await bad.get("/v1/runs")
        assert (answer.json()["code"], answer.headers["retry-after"]) == ("too_many_failures", "60")
        assert (await http.get("/v1/runs")).status_code == 200
        assert (await elsewhere.get("/v1/runs")).status_code == 401
        house.clock.advance(60)
        assert (await bad.get("/v1/runs")).status_code == 401


def test_table_of_failures_is_bounded() -> None:
    failures = Failures(1)
    for n in range(MOST + 10):
        failures.add(str(n), 0.0)
    assert len(failures._counts) == MOST


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "found"),
    [
        ((), "10.0.0.1", "6.6.6.6", "10.0.0.1"),
        (("10.0.0.0/8",), "10.0.0.1", "6.6.6.6", "6.6.6.6"),
        (("10.0.0.0/8",), "10.0.0.1", "1.2.3.4, 6.6.6.6, 10.0.0.2", "6.6.6.6"),
        (("10.0.0.0/8",), "192.0.2.1", "6.6.6.6", "192.0.2.1"),
        (("10.0.0.0/8",), "10.0.0.1", "nonsense", "10.0.0.1"),
        ((), "2001:db8::1", "", "2001:db8::/64"),
        ((), "2001:db8::2", "", "2001:db8::/64"),
    ],
)
def test_address_behind_proxies(trusted: tuple[str, ...], peer: str, forwarded: str, found: str) -> None:
    from starlette.requests import Request

    headers = [("X-Forwarded-For", forwarded)] if forwarded else []
    scope = http_scope("GET", "/", headers) | {"client": (peer, 1)}
    assert Peers(trusted).of(Request(scope)) == found


async def test_tenants_requests_run_out_and_come_back(build: Build) -> None:
    house = build(tenant_requests_per_s=2, tenant_burst=3, tenants={"big": TenantLimits(burst=5)})
    async with (
        house.http(await house.key()) as a,
        house.http(await house.key()) as b,
        house.http(await house.key("big")) as c,
    ):
        assert [(await http.get("/v1/runs")).status_code for http in (a, b, a)] == [200, 200, 200]
        answer = await b.get("/v1/runs")
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (
            429,
            "too_many_requests",
            "1",
        )
        assert [(await c.get("/v1/runs")).status_code for _ in range(6)] == [200] * 5 + [429]
        house.clock.advance(0.5)
        assert [(await a.get("/v1/runs")).status_code for _ in range(2)] == [200, 429]


def test_buckets_are_bounded_and_without_a_rate_none_is_kept() -> None:
    rates = Rates()
    for n in range(10_050):
        rates.take(str(n), TenantLimits(requests_per_s=1.0, burst=1), 0.0)
    rates.take("free", TenantLimits(), 0.0)
    assert len(rates._buckets) == 10_000
    assert "free" not in rates._buckets


# --- open streams ----------------------------------------------------------------------------------------------------


async def running(house: House, key: str) -> str:
    async with house.http(key) as http:
        answer = await http.post("/v1/runs", json={"input": "Why?"})
        return str(answer.json()["links"]["events"])


async def test_stream_ends_with_its_revoked_key(build: Build) -> None:
    house = build()
    key = await house.key()
    stream = house.stream(key, await running(house, key))
    await stream.until_sent(b"run.accepted")
    await house.keys.revoke_key(key.partition(".")[0].removeprefix("hr_"), house.clock.now())
    await stream.until_sent(b": ping")
    assert not stream.ended, "it is looked at once in a while"
    house.clock.advance(RECHECK_S)
    await stream.until(lambda: stream.ended)
    await stream.done()
    assert stream.text.endswith(b"retry: 5000\n\n")
    back = house.stream(key, "/v1/runs")
    await back.done()
    assert back.status == 401


async def test_nothing_is_shown_once_the_key_has_expired(build: Build) -> None:
    house = build()
    key = await house.key(expires_in=RECHECK_S)
    path = await running(house, key)
    stream = house.stream(key, path)
    await stream.until_sent(b"run.accepted")
    house.clock.advance(RECHECK_S)
    await house.door.publish(path.split("/")[3], Draft(ev.TitleSet(title="SECRET")))
    await stream.until(lambda: stream.ended)
    assert b"SECRET" not in stream.text
    assert stream.text.endswith(b"retry: 5000\n\n")


async def test_stream_outlives_a_store_that_is_away(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    house = build()
    key = await house.key()
    stream = house.stream(key, await running(house, key))
    await stream.until_sent(b"run.accepted")
    house.keys._closed = True
    house.clock.advance(RECHECK_S)
    seen = len(stream.sent)
    await stream.until(lambda: len(stream.sent) > seen + 3)
    assert not stream.ended
    await stream.leave()


async def test_while_the_store_is_away_nobody_is_let_in_and_readers_come_back(build: Build) -> None:
    house = build()
    key = await house.key()
    path = await running(house, key)
    house.keys._closed = True
    house.clock.advance(60)
    stream = house.stream(key, path)
    await stream.done()
    assert (stream.status, stream.ended, stream.text.endswith(b"retry: 5000\n\n")) == (200, True, True)
    assert b"run.accepted" not in stream.text
    async with house.http(key) as http:
        for answer in (
            await http.get(path, headers={"Accept": "application/json"}),
            await http.post("/v1/runs", json={}),
        ):
            assert (answer.status_code, "retry-after" in answer.headers) == (503, True)


async def test_stream_lasts_an_hour(build: Build) -> None:
    house = build()
    key = await house.key()
    path = await running(house, key)
    stream = house.stream(key, path)
    await stream.until_sent(b"run.accepted")
    for _ in range(int(LIFETIME_S // RECHECK_S) - 1):
        house.clock.advance(RECHECK_S)
        seen = len(stream.sent)
        await stream.until(lambda seen=seen: len(stream.sent) > seen)  # type: ignore[misc]
        assert not stream.ended
    house.clock.advance(2 * RECHECK_S)
    await stream.until(lambda: stream.ended)
    assert stream.text.endswith(b"retry: 5000\n\n")


async def test_one_principal_has_so_many_streams(build: Build) -> None:
    house = build(max_streams_per_principal=2)
    key, other = await house.key(), await house.key()
    path = await running(house, key)
    streams = [house.stream(key, path) for _ in range(2)]
    for stream in streams:
        await stream.until_sent(b"run.accepted")
    third = house.stream(key, path)
    await third.done()
    assert (third.status, third.text.endswith(b"retry: 5000\n\n"), third.ended) == (200, True, True)
    assert b"run.accepted" not in third.text
    refused = house.stream(key, "/v1/runs", "POST", b'{"input": "Why?"}')
    await refused.done()
    assert (refused.status, refused.headers["retry-after"]) == (429, "5")
    theirs = house.stream(other, path)
    await theirs.until_sent(b"run.accepted")
    for stream in (*streams, theirs):
        await stream.leave()
    again = house.stream(key, path)
    await again.until_sent(b"run.accepted")
    await again.leave()


# --- the audit log ---------------------------------------------------------------------------------------------------


async def test_audit_log_tells_who_did_what_and_no_secret(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    house = build()
    writer = await house.key(scopes=("runs:read", "runs:write", "runs:cancel", "admin"))
    reader = await house.key(scopes=("runs:read",))
    with caplog.at_level(logging.INFO, logger="headrace.audit"):
        async with house.http(writer) as http, house.http(reader) as other, house.http("hr_wrong.SECRET") as nobody:
            run = (await http.post("/v1/runs", json={"input": "PRIVATE question"})).json()
            said = {"type": "message", "text": "PRIVATE words"}
            await http.post(run["links"]["input"], json=said)
            await http.get(run["links"]["self"])
            await other.post(run["links"]["cancel"])
            await http.post(run["links"]["cancel"])
            made = (await http.post("/v1/keys", json={"name": "bot"})).json()
            await http.delete(f"/v1/keys/{made['key_id']}")
            await http.delete(f"/v1/conversations/{run['conversation_id']}")
            await nobody.get("/v1/runs")
    path = house.settings.audit_path()
    assert path is not None
    text = path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["action"], line["status"]) for line in lines] == [
        ("createRun", 202), ("sayToRun", 202), ("cancelRun", 403), ("cancelRun", 202), ("createKey", 201),
        ("revokeKey", 204), ("deleteConversation", 409), ("listRuns", 401),
    ]  # fmt: skip
    ids_ = {key.partition(".")[0].removeprefix("hr_") for key in (writer, reader)}
    assert {line["credential"] for line in lines[:-1]} == ids_
    assert {(line["tenant"], line["subject"], line["peer"]) for line in lines[:-1]} == {("acme", "ci", "192.0.2.1")}
    assert "tenant" not in lines[-1]
    assert {line["run_id"] for line in lines[:4]} == {run["run_id"]}
    assert (lines[4]["key"], lines[5]["key_id"]) == (made["key_id"], made["key_id"])
    assert oct(path.stat().st_mode)[-3:] == "600"
    secrets = ("PRIVATE", "SECRET", *(key.partition(".")[2] for key in (writer, reader, made["key"])))
    assert not [secret for secret in secrets if secret in text or secret in caplog.text]
    event = next(s for s in house.door.events[run["run_id"]] if s.type == "input.received")
    assert json.loads(event.body)["data"]["by"] == "ci"


async def test_lines_of_two_doors_do_not_mix(tmp_path: Path) -> None:
    logs = [AuditLog(tmp_path / "audit.log") for _ in range(2)]
    await asyncio.gather(
        *[asyncio.to_thread(logs[n % 2].tell, "a", 200, at=1.0, peer="p", request_id=str(n)) for n in range(50)]
    )
    for log in logs:
        log.close()
    assert {json.loads(line)["request_id"] for line in (tmp_path / "audit.log").read_text().splitlines()} == set(
        map(str, range(50))
    )
