from typing import Any

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

from runtime.generator.edge import Edge, RequestIds, is_host_of, is_loopback_host, request_id_of
from tests.generator.driver import Exchange, http_scope


async def inner(scope: Scope, receive: Receive, send: Send) -> None:
    names = [name.decode() for name, _ in scope["headers"]]
    await JSONResponse({"headers": names, "id": request_id_of(scope)})(scope, receive, send)


def outer(**options: Any) -> RequestIds:
    return RequestIds(Edge(inner, loopback_only=True), new_id=lambda: "made", **options)


async def ask(scope: dict[str, Any], **options: Any) -> Exchange:
    exchange = Exchange(outer(**options), scope)
    await exchange.done()
    return exchange


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("LOCALHOST:8000", True),
        ("app.localhost:80", True),
        ("localhost.", True),
        ("127.0.0.1", True),
        ("127.8.8.8:1", True),
        ("[::1]:8000", True),
        ("[::1]", True),
        ("", False),
        ("example.com", False),
        ("localhost.example.com", False),
        ("notlocalhost", False),
        ("127.0.0.1.example.com", False),
        ("127.0.0.1:8000:9", False),
        ("127.0.0.1@evil.example", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("[::]", False),
        ("::1", False),
        ("localhost\n", False),
        ("2130706433", False),
    ],
)
def test_hosts_in_development_mode(host: str, loopback: bool) -> None:
    assert is_loopback_host(host) is loopback


async def test_foreign_and_doubled_hosts() -> None:
    assert (await ask(http_scope("GET", "/", [("Host", "evil.example")]))).status == 421
    assert (await ask(http_scope("GET", "/", [("Host", "localhost"), ("Host", "localhost")]))).status == 400
    missing = http_scope("GET", "/")
    missing["headers"] = []
    assert (await ask(missing)).status == 400
    assert (await ask({**missing, "http_version": "1.0"})).status == 200


async def test_sizes() -> None:
    assert (await ask(http_scope("GET", "/" + "x" * 4095))).status == 200
    assert (await ask(http_scope("GET", "/" + "x" * 4096))).status == 414
    assert (await ask(http_scope("GET", "/", query="x" * 4096))).status == 414
    assert (await ask(http_scope("GET", "/", [(f"x-{n}", "1") for n in range(99)]))).status == 200
    assert (await ask(http_scope("GET", "/", [(f"x-{n}", "1") for n in range(100)]))).status == 431
    assert (await ask(http_scope("GET", "/", [("x-big", "1" * 16_384)]))).status == 431


async def test_client_headers_that_steer_the_server_are_stripped() -> None:
    steering = [("X-Request-Timeout-Seconds", "0"), ("x-request-disconnect-disabled", "?1"), ("x-other", "1")]
    exchange = await ask(http_scope("GET", "/", steering))
    assert b'"headers":["x-other","host"]' in exchange.text


@pytest.mark.parametrize(
    ("brought", "used"),
    [
        ([], "made"),
        ([("x-request-id", "abc-1")], "abc-1"),
        ([("x-request-id", "a b")], "made"),
        ([("x-request-id", "é\n")], "made"),
        ([("x-request-id", "x" * 65)], "made"),
        ([("x-request-id", "a"), ("x-request-id", "b")], "made"),
    ],
)
async def test_every_response_carries_the_request_id(brought: list[tuple[str, str]], used: str) -> None:
    exchange = await ask(http_scope("GET", "/", brought))
    assert exchange.headers["x-request-id"] == used
    assert exchange.headers["x-content-type-options"] == "nosniff"
    assert f'"id":"{used}"'.encode() in exchange.text


async def test_request_id_is_not_repeated_behind_a_proxy_that_sets_it() -> None:
    exchange = await ask(http_scope("GET", "/", [("x-request-id", "abc")]), echo=False)
    assert "x-request-id" not in exchange.headers


@pytest.mark.parametrize(
    ("host", "fits"),
    [
        ("api.example.org", True), ("API.example.org.:443", True), ("a.apps.example.org", True), ("apps.example.org", False),
        ("xapps.example.org", False), ("evil.example", False), ("api.example.org.evil.example", False), ("[::1]:80", True),
        ("api.example.org@evil.example", False), ("", False),
    ],
)  # fmt: skip
def test_hosts_that_are_listed(host: str, fits: bool) -> None:
    assert is_host_of(host, ("api.example.org", "*.apps.example.org", "::1")) is fits
    assert is_host_of(host or "x", ("*",)) is (host != "api.example.org@evil.example")


async def test_listed_hosts_are_asked_for_with_authentication_alone() -> None:
    async def status(host: str, **options: Any) -> int:
        exchange = Exchange(Edge(inner, **options), http_scope("GET", "/", [("Host", host)]))
        await exchange.done()
        return exchange.status

    assert await status("any.example", loopback_only=False) == 200
    assert await status("any.example", loopback_only=False, hosts=("api.example",)) == 421
    assert await status("api.example", loopback_only=False, hosts=("api.example",)) == 200
