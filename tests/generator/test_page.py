"""The page at ``/``: its headers, its files and nothing else, and the text for those who want no page."""

from __future__ import annotations

import gzip
import os
import re
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hatchling.builders.wheel import WheelBuilder
from starlette.routing import Route

from runtime.clock import ManualClock
from runtime.config import Settings
from runtime.generator import page
from runtime.generator.app import build_app
from runtime.ids import new_id
from tests.generator.memory_door import MemoryDoor

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "frame-ancestors 'none'; form-action 'none'; require-trusted-types-for 'script'"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """As ``make web`` leaves it."""
    made = tmp_path / "page"
    (made / "assets").mkdir(parents=True)
    (made / "index.html").write_text("<!doctype html><title>Headrace</title>")
    (made / "assets" / "index-abc123.js").write_text("export {};" * 100)
    (made / "assets" / "index-abc123.css").write_text("body{}")
    (made / "assets" / "notes.txt").write_text("not for the world")
    (made / "secret.js").write_text("beside the assets")
    return made


def app_over(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(page.load, "__defaults__", (folder,))
    clock = ManualClock()
    settings = Settings(data_dir=tmp_path, model="offline")
    return build_app(MemoryDoor(clock), settings, clock=clock, new_id=new_id, team=tuple)


@pytest.fixture
async def http(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=app_over(tmp_path, folder, monkeypatch))
    async with httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def test_a_browser_gets_the_page_with_the_whole_policy(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/", headers=HTML)
    assert answer.status_code == 200
    assert answer.text.startswith("<!doctype html>")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize("accept", ["*/*", "text/plain", "application/json", "text/plain, text/html;q=0.5", ""])
async def test_everybody_else_gets_the_commands(http: httpx2.AsyncClient, accept: str) -> None:
    answer = await http.get("/", headers={"Accept": accept} if accept else {})
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert "curl" in answer.text
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize(("name", "kind"), [("index-abc123.js", "text/javascript"), ("index-abc123.css", "text/css")])
async def test_files_are_kept_for_ever_and_carry_their_type(http: httpx2.AsyncClient, name: str, kind: str) -> None:
    answer = await http.get(f"/assets/{name}", headers={"Accept-Encoding": "identity"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-security-policy"] == POLICY
    assert "content-encoding" not in answer.headers
    assert (await http.head(f"/assets/{name}")).status_code == 200


async def test_files_travel_packed_to_those_who_can_unpack(http: httpx2.AsyncClient, folder: Path) -> None:
    path = "/assets/index-abc123.js"
    async with http.stream("GET", path, headers={"Accept-Encoding": "br, gzip;q=0.8"}) as answer:
        packed = b"".join([piece async for piece in answer.aiter_raw()])
    assert answer.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed) == (folder / "assets" / "index-abc123.js").read_bytes()
    assert len(packed) < 100
    refused = await http.get(path, headers={"Accept-Encoding": "gzip;q=0"})
    assert "content-encoding" not in refused.headers
    assert refused.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        "/assets/",
        "/assets/nothing.js",
        "/assets/notes.txt",
        "/assets/../secret.js",
        "/assets/..%2fsecret.js",
        "/assets/%2e%2e/secret.js",
        "/assets/..%5csecret.js",
        "/assets/%2e%2e%2f%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/assets//etc/passwd",
        "/assets/index-abc123.js/",
        "/assets/index-abc123.js%00.css",
        "/index.html",
        "/secret.js",
    ],
)
async def test_there_is_no_way_to_any_other_file(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(httpx2.URL("http://localhost").copy_with(raw_path=path.encode()))
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


async def test_files_are_only_read(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/assets/index-abc123.js")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_without_a_built_page_there_is_text_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_over(tmp_path, tmp_path / "nothing", monkeypatch)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://localhost") as client:
        answer = await client.get("/", headers=HTML)
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert (await client.get("/assets/index-abc123.js")).status_code == 404
    assert all(isinstance(route, Route) for route in app.routes)


def test_the_wheel_holds_the_page_with_every_file_it_names(tmp_path: Path) -> None:
    index = page.FOLDER / "index.html"
    if not index.is_file():
        assert not os.environ.get("CI"), "CI builds the page"
        pytest.skip("the page is not built: make web builds it, with Node 20.19 or newer")
    (wheel,) = WheelBuilder(str(page.FOLDER.parents[1])).build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as built:
        held = {name.removeprefix("runtime/page") for name in built.namelist() if name.startswith("runtime/page/")}
    named = re.findall(r'(?:src|href)="(/[^"]+)"', index.read_text("utf-8"))
    assert "/index.html" in held
    assert len(named) >= 3 and set(named) <= held
