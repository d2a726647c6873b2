"""What stands before Serve's proxy: steering headers do not reach it, and what it says becomes a problem."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
import pytest
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.config import HTTP_PROTOCOLS

from actors.environment import DEFAULTS, FRONT, warn_of_missing_front
from actors.proxy import front
from runtime.generator.connection import Connection
from runtime.generator.front import STEERING, Front
from tests.generator.driver import Exchange, http_scope


class Proxy:
    """Stands for Serve's: notes what reaches it, and gives ``response``; None: ends without one, as Serve does for a 500."""

    def __init__(self, response: Response | None) -> None:
        self.response = response
        self.headers: list[tuple[bytes, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers = scope["headers"]
        if self.response is not None:
            await self.response(scope, receive, send)


async def asked(
    response: Response | None, path: str = "/v1/runs", headers: Sequence[tuple[str, str]] = ()
) -> tuple[Exchange, Proxy]:
    proxy = Proxy(response)
    exchange = Exchange(Front(proxy, new_id=lambda: "made"), http_scope("GET", path, headers))
    await exchange.done()
    return exchange, proxy


@pytest.mark.parametrize(
    ("said", "status", "code"),
    [
        (None, 503, "door_lost"),
        (PlainTextResponse("Internal Server Error", 500), 503, "door_lost"),
        (PlainTextResponse("ActorDiedError: /secret/path", 502), 503, "door_lost"),
        (PlainTextResponse("Request dropped due to backpressure", 503), 503, "door_busy"),
        (PlainTextResponse("too many", 429), 503, "door_busy"),
        (
            PlainTextResponse("Path '/x' not found. Ping http://.../-/routes for available routes.", 404),
            404,
            "not_found",
        ),
    ],
)
async def test_what_serve_says_is_put_into_our_words(said: Response | None, status: int, code: str) -> None:
    exchange, _ = await asked(said)
    problem = orjson.loads(exchange.text)
    assert (exchange.status, problem["code"]) == (status, code)
    assert exchange.headers["content-type"] == "application/problem+json"
    assert exchange.headers["x-request-id"] == "made" and exchange.headers["x-content-type-options"] == "nosniff"
    assert exchange.ended and b"secret" not in exchange.text
    assert ("retry-after" in exchange.headers) == (status == 503)


async def test_what_a_door_says_is_passed_on_as_it_is() -> None:
    door = Response(b'{"code":"x"}', 409, {"X-Content-Type-Options": "nosniff", "X-A": "1"}, "application/problem+json")
    exchange, _ = await asked(door)
    assert (exchange.status, exchange.text, exchange.headers["x-a"]) == (409, b'{"code":"x"}', "1")


async def test_a_proxy_that_fails_is_a_500_that_tells_nothing() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "secret")

    exchange = Exchange(Front(broken, new_id=lambda: "made"), http_scope("GET", "/"))
    await exchange.done()
    assert exchange.status == 500 and b"secret" not in exchange.text


async def test_serves_own_paths_are_hidden_but_for_its_health() -> None:
    routes, _ = await asked(PlainTextResponse("routes"), "/-/routes")
    health, _ = await asked(PlainTextResponse("success"), "/-/healthz")
    assert (routes.status, orjson.loads(routes.text)["code"]) == (404, "not_found")
    assert (health.status, health.text) == (200, b"success")


async def test_headers_that_steer_serve_do_not_reach_it() -> None:
    steering = [(name.decode().title(), "1") for name in STEERING]
    _, proxy = await asked(PlainTextResponse("ok"), headers=[*steering, ("X-Other", "1")])
    assert sorted(name for name, _ in proxy.headers) == [b"host", b"x-other", b"x-request-id"]


@pytest.mark.parametrize(
    ("brought", "used"),
    [((), b"made"), (("abc-1",), b"abc-1"), (("\xff",), b"made"), (("a" * 65,), b"made"), (("a", "b"), b"made")],
)
async def test_request_ids_that_serve_could_not_read_are_replaced(brought: tuple[str, ...], used: bytes) -> None:
    _, proxy = await asked(PlainTextResponse("ok"), headers=[("X-Request-Id", value) for value in brought])
    assert [value for name, value in proxy.headers if name == b"x-request-id"] == [used]


def test_serve_is_told_where_the_front_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(HTTP_PROTOCOLS, "auto", "another")
    (middleware,) = front()
    assert middleware.cls is Front
    assert DEFAULTS[FRONT] == f"{front.__module__}.{front.__qualname__}"
    assert HTTP_PROTOCOLS["auto"] == f"{Connection.__module__}:{Connection.__qualname__}"


def test_a_serve_that_was_likely_not_told_of_it_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv(FRONT, DEFAULTS[FRONT])
    warn_of_missing_front()
    assert not caplog.records
    monkeypatch.delenv(FRONT)
    warn_of_missing_front()
    assert "connections have no deadlines" in caplog.text
