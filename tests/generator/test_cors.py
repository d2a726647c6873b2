from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from runtime.clock import ManualClock
from runtime.config import Settings
from runtime.generator.app import build_app
from tests.generator.memory_door import MemoryDoor
from tests.generator.runs_by_door import ids, team

LISTED = "https://app.example.org"


def client(data: Path, *origins: str) -> httpx2.AsyncClient:
    settings = Settings(data_dir=data, model="offline", cors_origins=origins)
    app = build_app(MemoryDoor(ManualClock()), settings, clock=ManualClock(), new_id=ids().__next__, team=team)
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://127.0.0.1")


def said(answer: httpx2.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


async def test_listed_page_may_ask_and_sees_what_it_needs(tmp_path: Path) -> None:
    async with client(tmp_path, LISTED) as http:
        for method, path in (("GET", "/v1/runs"), ("GET", "/nowhere"), ("PUT", "/v1/runs"), ("OPTIONS", "/v1/runs")):
            answer = await http.request(method, path, headers={"Origin": LISTED})
            assert said(answer)["access-control-allow-origin"] == LISTED
            assert "Retry-After" in said(answer)["access-control-expose-headers"]
            assert "access-control-allow-credentials" not in said(answer)
            assert "Origin" in answer.headers["vary"]


async def test_preflight_says_what_may_be_asked(tmp_path: Path) -> None:
    asked = {
        "Origin": LISTED,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    async with client(tmp_path, LISTED) as http:
        answer = await http.options("/v1/runs", headers=asked)
    assert (answer.status_code, answer.content) == (204, b"")
    assert said(answer)["access-control-allow-origin"] == LISTED
    assert "POST" in said(answer)["access-control-allow-methods"]
    allowed = said(answer)["access-control-allow-headers"].lower().split(", ")
    assert {"authorization", "content-type", "last-event-id", "idempotency-key"} <= set(allowed)
    assert "*" not in str(answer.headers)


@pytest.mark.parametrize(
    "origin",
    ["null", "https://evil.example", "http://app.example.org", LISTED + ":444", LISTED + "/", "*", "", LISTED.upper(),
     "https://xapp.example.org", "https://app.example.org.evil.example"],
)  # fmt: skip
async def test_others_are_told_nothing(tmp_path: Path, origin: str) -> None:
    async with client(tmp_path, LISTED) as http:
        for method in ("GET", "OPTIONS"):
            headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
            assert said(await http.request(method, "/v1/runs", headers=headers)) == {}


async def test_without_a_list_nobody_may(tmp_path: Path) -> None:
    async with client(tmp_path) as http:
        answer = await http.get("/v1/runs", headers={"Origin": LISTED})
        assert (said(answer), "vary" in answer.headers) == ({}, False)


@pytest.mark.parametrize(
    "origin", ["*", "null", "https://a.example/", "https://*.example", "app.example", "https://A.example", "file://"]
)
def test_list_names_whole_origins(tmp_path: Path, origin: str) -> None:
    with pytest.raises(ValueError, match="is no origin"):
        Settings(data_dir=tmp_path, model="offline", cors_origins=(origin,))
