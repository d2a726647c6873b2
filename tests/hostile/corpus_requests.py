"""The rows "Transport" (whole requests) and "Method / negotiation": what is wrong before any JSON is read."""

from __future__ import annotations

from tests.hostile.case import BODIES, CONVERSATION, RUNS, WAITING, Case, case
from tests.hostile.raw import post, request

BODY = b'{"input":"Why?"}'
TYPE = ("Content-Type", "application/json")
HOST = b"Host: 127.0.0.1\r\n"
RUN = f"/v1/runs/{WAITING}"


def cases() -> list[Case]:
    return [*hosts(), *special(), *methods(), *types(), *accepts()]


def hosts() -> list[Case]:
    """DNS rebinding: a foreign name is refused."""
    foreign = (
        "evil.example 127.0.0.1.evil.example localhost.evil.example 0.0.0.0 10.0.0.1 169.254.169.254 [::] 2130706433"
    )
    odd = [
        "127.0.0.1@evil.example",
        "evil.example#127.0.0.1",
        "127.0.0.1:80:80",
        "127.0.0.1 evil.example",
        "a,127.0.0.1",
        "",
    ]
    found = [
        case("Host", name or "empty", request("GET", "/healthz", host=name), 421) for name in foreign.split() + odd
    ]
    twice = request("GET", "/healthz", [("Host", "127.0.0.1")])
    found.append(case("Host", "twice", twice, 400))
    found.append(case("Host", "twice, one foreign", request("GET", "/healthz", [("Host", "evil.example")]), 400))
    found.append(case("Host", "missing", request("GET", "/healthz", host=None), 400))
    fine = ["localhost", "LOCALHOST", "localhost:1", "[::1]", "a.localhost", "127.0.0.2"]
    return found + [case("Served", f"host {name}", request("GET", "/healthz", host=name), 200) for name in fine]


def special() -> list[Case]:
    row = "Special requests"
    get = b"GET /healthz HTTP/1.1\r\n" + HOST
    upgrade = b"Connection: Upgrade\r\n"
    key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    connect = b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n"
    post_h2c = post(RUNS, BODY, ("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"))
    steering = [("x-request-timeout-seconds", "0.001"), ("x-request-disconnect-disabled", "?1")]
    return [
        case(row, "Upgrade: h2c", get + upgrade + b"Upgrade: h2c\r\n\r\n", 200),
        case(row, "Upgrade: websocket", get + upgrade + b"Upgrade: websocket\r\n" + key + b"\r\n", 200),
        case(row, "Upgrade: TLS/1.0", get + upgrade + b"Upgrade: TLS/1.0\r\n\r\n", 200),
        case(row, "h2c with a body", post_h2c, 202, 400, closes=True),
        case(row, "CONNECT", connect, 405, allow=True, closes=True),
        case(row, "CONNECT to a path", request("CONNECT", "/v1/runs"), 405, 400, closes=True),
        case(row, "TRACE", request("TRACE", "/healthz"), 405, allow=True),
        case(row, "OPTIONS *", request("OPTIONS", "*"), 404, 400),
        case(row, "Expect: 100-continue", post(RUNS, BODY, ("Expect", "100-continue")), 202),
        case(row, "Expect: the moon", post(RUNS, BODY, ("Expect", "the moon")), 202, 417),
        case(row, "HTTP/1.0", b"GET /healthz HTTP/1.0\r\n\r\n", 200, closes=True),
        case(row, "pipelined", request("GET", "/healthz") * 3, 200),
        case(row, "pipelined with rubbish", request("GET", "/healthz") + b"rubbish\r\n\r\n", 200, closes=True),
        case(row, "absolute target", request("GET", "http://127.0.0.1/healthz"), 200),
        case(row, "steering headers", request("GET", "/healthz", steering), 200),
        case(row, "steering header with a high byte", request("GET", "/healthz", [("x-request-id", b"\xff\xfe")]), 200),
        case(row, "multiplexed model", request("GET", "/healthz", [("serve_multiplexed_model_id", b"\xff")]), 200),
        case(row, "session id", request("GET", "/healthz", [("x-session-id", b"\xff")]), 200),
        case(row, "traceparent", request("GET", "/healthz", [("traceparent", "00-zz-zz-01")]), 200),
        case(row, "HEAD", request("HEAD", "/healthz"), 200),
        case("Encoding", "gzip", post(RUNS, BODY, ("Content-Encoding", "gzip")), 415),
        case(
            "Encoding",
            "gzip bomb",
            post(RUNS, bytes.fromhex("1f8b0800000000000003") + b"\xff" * 5000, ("Content-Encoding", "gzip")),
            415,
        ),
        case("Encoding", "br", post(RUNS, BODY, ("Content-Encoding", "br")), 415),
        case("Encoding", "identity, gzip", post(RUNS, BODY, ("Content-Encoding", "identity, gzip")), 415),
        case(
            "Encoding",
            "twice",
            post(RUNS, BODY, ("Content-Encoding", "identity"), ("Content-Encoding", "deflate")),
            415,
        ),
    ]


ALLOWED = {
    "/": {"GET", "HEAD"},
    "/healthz": {"GET", "HEAD"},
    "/readyz": {"GET", "HEAD"},
    "/openapi.json": {"GET", "HEAD"},
    "/v1/runs": {"GET", "HEAD", "POST"},
    RUN: {"GET", "HEAD"},
    RUN + "/events": {"GET", "HEAD"},
    RUN + "/cancel": {"POST"},
    RUN + "/input": {"POST"},
    RUN + "/resume": {"POST"},
    "/v1/agents": {"GET", "HEAD"},
    "/v1/tools": {"GET", "HEAD"},
    "/v1/conversations": {"GET", "HEAD"},
    f"/v1/conversations/{CONVERSATION}": {"GET", "HEAD", "DELETE"},
}


def methods() -> list[Case]:
    tried = ("GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "MKCOL", "PURGE")
    return [
        case("Wrong method", f"{method} {path}", request(method, path), 405, code="method_not_allowed", allow=True)
        for path, allowed in ALLOWED.items()
        for method in tried
        if method not in allowed
    ]


def types() -> list[Case]:
    wrong = [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonp",
        "application/json-seq",
        "text/json",
        "*/*",
        "application",
        "",
        "application/json, text/plain",
        "application/json; charset=utf-16",
        "application/json; charset=utf-7",
        "\xff\xfe",
    ]
    found = [
        case("Content type", f"{kind!r} to {where}", request("POST", path, [("Content-Type", kind)], BODY), 415)
        for kind in wrong
        for where, path in BODIES.items()
    ]
    for where, path in BODIES.items():
        found.append(case("Content type", f"none to {where}", request("POST", path, [], BODY), 415))
        found.append(case("Content type", f"twice to {where}", request("POST", path, [TYPE, TYPE], BODY), 415))
    return found


def accepts() -> list[Case]:
    events, row = RUN + "/events", "Accept"
    none = [
        "application/xml",
        "text/html",
        "image/*",
        "text/event-stream;q=0",
        "application/json;q=0, text/html",
        "text/event-streams",
    ]
    found = [case(row, f"{value} of events", request("GET", events, [("Accept", value)]), 406) for value in none]
    found += [
        case(row, f"{value} of a new run", post(RUNS, BODY, ("Accept", value)), 406)
        for value in none
        if value != "text/event-stream;q=0"
    ]
    odd = [
        "",
        ",",
        ";",
        "q=1",
        "*",
        "a" * 3000,
        "application/json;q=NaN",
        "application/json;q=1e999",
        "application/json;" * 200,
    ]
    odd += ["\xff", "application/json;q=-1", "application/json;q=2", '"', "*/*;q=0.0001", "application/json;q="]
    found += [case(row, f"odd: {value[:30]!r}", request("GET", events, [("Accept", value)]), 200, 406) for value in odd]
    return found
