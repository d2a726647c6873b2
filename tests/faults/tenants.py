"""A system with two tenants, each with runs of its own, and credentials good and bad, for the tests of P10."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from runtime.bootstrap.system import System, in_process
from runtime.config import Settings
from runtime.generator.principal import SCOPES
from runtime.log.credentials import new_key
from tests.fakes.issuer import AUDIENCE, ISSUER, Issuer

ENDED = ("completed", "failed", "cancelled", "expired")
COUNT = itertools.count(1)


@dataclass
class Tenant:
    """One of the two, with what is its own."""

    name: str
    http: httpx2.AsyncClient
    """With a key that may do everything."""
    marker: str = ""
    """Stands in each of its questions, and nowhere else."""
    ended: dict[str, Any] = field(default_factory=dict)
    cancelled: dict[str, Any] = field(default_factory=dict)
    waiting: dict[str, Any] = field(default_factory=dict)
    spare: dict[str, Any] = field(default_factory=dict)
    """Ended too, in a conversation of its own that may be deleted."""
    key_id: str = ""
    """Of another key of its own."""

    @property
    def own(self) -> tuple[str, ...]:
        """What nobody else may ever see."""
        runs = [run for run in (self.ended, self.cancelled, self.waiting, self.spare) if run]
        ids = [run[name] for run in runs for name in ("run_id", "conversation_id")]
        return (self.marker, *ids, *([self.key_id] if self.key_id else []))


class House:
    """The system, and ways to ask it."""

    def __init__(self, system: System, issuer: Issuer) -> None:
        self.system = system
        self.issuer = issuer

    def http(self, credential: str | None) -> httpx2.AsyncClient:
        headers = {} if credential is None else {"Authorization": f"Bearer {credential}"}
        transport = httpx2.ASGITransport(app=self.system.app)
        return httpx2.AsyncClient(transport=transport, base_url="http://api.example", headers=headers, timeout=60)

    async def key(self, tenant: str, scopes: frozenset[Any] = SCOPES, *, expired: bool = False) -> str:
        now = 1e9 if expired else 2e9
        key, text = new_key(
            tenant_id=tenant, name="key", scopes=tuple(sorted(scopes)), roles=(), now=1.0, expires_at=now,
            random=lambda size: next(COUNT).to_bytes(size, "big"),
        )  # fmt: skip
        await self.system.hub.add_key(key)
        return text

    async def revoked(self, tenant: str) -> str:
        text = await self.key(tenant)
        await self.system.hub.revoke_key(text.partition(".")[0].removeprefix("hr_"), 2.0)
        return text

    async def tenant(self, name: str) -> Tenant:
        """A tenant, with its runs under way and ended."""
        tenant = Tenant(name, self.http(await self.key(name)), marker=f"MARKER-{name}")
        tenant.ended = await self.asked(tenant, "ended")
        tenant.spare = await self.asked(tenant, "spare")
        tenant.cancelled = await self.asked(tenant, "cancelled", approve_plan=True)
        tenant.waiting = await self.asked(tenant, "waiting", approve_plan=True)
        await self.until(tenant, tenant.cancelled, ("waiting",))
        assert (await tenant.http.post(tenant.cancelled["links"]["cancel"])).status_code == 202
        for run in (tenant.ended, tenant.spare, tenant.cancelled):
            await self.until(tenant, run, ENDED)
        await self.until(tenant, tenant.waiting, ("waiting",))
        tenant.key_id = (await self.key(name)).partition(".")[0].removeprefix("hr_")
        return tenant

    async def asked(self, tenant: Tenant, what: str, **options: object) -> dict[str, Any]:
        answer = await tenant.http.post("/v1/runs", json={"input": f"{what} {tenant.marker}?", **options})
        assert answer.status_code == 202, answer.text
        return dict(answer.json())

    async def until(self, tenant: Tenant, run: dict[str, Any], states: tuple[str, ...]) -> None:
        async with asyncio.timeout(60):
            while (await tenant.http.get(run["links"]["self"])).json()["state"] not in states:
                await asyncio.sleep(0.05)


@asynccontextmanager
async def house(data: Path, now: float, **settings: Any) -> AsyncIterator[House]:
    """The system; it takes keys, and tokens of an issuer."""
    issuer = Issuer(now)
    (data / "keys.json").write_bytes(issuer.key_set())
    rules = {"issuer": ISSUER, "audience": AUDIENCE, "keys": str(data / "keys.json")}
    patient = {"max_failures_per_minute": 1_000_000, "tenant_requests_per_s": 1e6, "tenant_burst": 1_000_000}
    chosen = Settings(**{"data_dir": data, "model": "offline", "auth": "keys+jwt", "jwt": rules, **patient, **settings})
    async with in_process(chosen) as system:
        yield House(system, issuer)
