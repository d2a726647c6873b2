"""The rows "Ids and cursors", "Idempotency" and "Queries": what stands in paths, headers and queries."""

from __future__ import annotations

import json
from urllib.parse import quote

from tests.hostile.case import BODIES, CONVERSATION, ENDED, UPPER, Case, case, gets
from tests.hostile.raw import post, request

UNKNOWN = "99999999-9999-4999-8999-999999999999"
SQL = "x') OR '1'='1"
"""CVE-2025-67644."""


def cases() -> list[Case]:
    return [*ids(), *cursors(), *keys(), *queries(), *paths()]


BAD_IDS = [
    UNKNOWN,
    UNKNOWN.replace("9", "A").upper(),
    "{" + UNKNOWN + "}",
    UNKNOWN.replace("-", ""),
    "urn:uuid:" + UNKNOWN,
    "1",
    "0",
    "-1",
    "null",
    "undefined",
    "NaN",
    "*",
    ".",
    "..",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "%252e%252e%252f",
    "%00",
    UNKNOWN + "%00",
    UNKNOWN + "%0a",
    UNKNOWN + "%20",
    "%20" + UNKNOWN,
    "%ff%fe",
    "%c0%ae",
    "%",
    "%zz",
    "%u0041",
    quote("' OR 1=1--"),
    quote(SQL),
    quote('"; DROP TABLE runs; --'),
    quote("١٢٣"),
    quote("🏞"),
    quote("\u202e"),
    quote("<script>alert(1)</script>"),
    "x" * 3900,
    "%41" * 1300,
    "a;b=c",
    "a:b",
    "a@b",
    "__proto__",
    "healthz",
]


def ids() -> list[Case]:
    """404, and one and the same body (``test_every_404_is_the_same`` compares them)."""
    found = []
    for number, run_id in enumerate(BAD_IDS):
        path = f"/v1/runs/{run_id}"
        found += [
            case("Id", f"#{number} shown", request("GET", path), 404, code="not_found"),
            case("Id", f"#{number} followed", request("GET", path + "/events"), 404, code="not_found"),
            case("Id", f"#{number} cancelled", post(path + "/cancel", b""), 404, code="not_found"),
            case("Id", f"#{number} resumed", post(path + "/resume", b"{}"), 404, code="not_found"),
            case(
                "Id", f"#{number} told", post(path + "/input", b'{"type":"message","text":"a"}'), 404, code="not_found"
            ),
            case("Id", f"#{number} conversation", request("GET", f"/v1/conversations/{run_id}"), 404, code="not_found"),
            case("Id", f"#{number} deleted", request("DELETE", f"/v1/conversations/{run_id}"), 404, code="not_found"),
        ]
    odd = {
        "upper case": UPPER,
        "trailing slash": f"{ENDED}/",
        "trailing dot": f"{ENDED}.",
        "twice": f"{ENDED}{ENDED}",
    }
    return found + gets("Id", [(name, f"/v1/runs/{tail}") for name, tail in odd.items()], 404, code="not_found")


def cursors() -> list[Case]:
    events = f"/v1/runs/{ENDED}/events"
    bad = [
        "-1",
        "1.5.2",
        "1.",
        ".1",
        "1.-1",
        "+1",
        " 1 2",
        "1e9",
        "1e3",
        "0x1",
        "01",
        "1.01",
        "9" * 400,
        "9" * 16,
        "1." + "9" * 10,
    ]
    bad += [
        "abc",
        "1,2",
        "1;2",
        "null",
        "NaN",
        "Infinity",
        "1.0.0",
        "-0",
        "1_000",
        "1/2",
        SQL,
        "' OR 1=1--",
        "*",
        "1.0%00",
        '"1.0"',
        "1 .0",
    ]
    words = [(text, text.encode()) for text in bad] + [
        ("Arabic digit", "٣".encode()),
        ("superscript", "²".encode()),
        ("high bytes", b"\xff\xfe"),
    ]
    found = []
    for name, raw in words:
        found.append(_last("Cursor", f"header {name[:20]!r}", events, [raw], 400))
        found.append(
            case(
                "Cursor",
                f"query {name[:20]!r}",
                request("GET", f"{events}?after={quote(raw)}"),
                400,
                code="invalid_cursor",
            )
        )
    found.append(_last("Cursor", "two headers", events, [b"1", b"1"], 400))
    found.append(case("Cursor", "two queries", request("GET", f"{events}?after=1&after=1"), 400, code="invalid_cursor"))
    found += [
        _last("Cursor", f"ahead: {c.decode()}", events, [c], 409, code="cursor_ahead")
        for c in (b"900000", b"999999999999999", b"900000.1")
    ]
    found += [
        _last("Cursor", f"mismatch: {c.decode()}", events, [c], 409, code="cursor_mismatch")
        for c in (b"2.77", b"1.999999999")
    ]
    found += [_last("Served", f"cursor {c.decode()!r}", events, [c], 200) for c in (b"", b"0", b"0.0", b"1", b"1.0")]
    both = request("GET", events + "?after=nonsense", [("Last-Event-ID", "1")])
    return [*found, case("Served", "header wins over query", both, 200)]


def _last(row: str, name: str, path: str, values: list[bytes], *expect: int, code: str = "") -> Case:
    wanted = code or ("invalid_cursor" if 400 in expect else "")
    return case(row, name, request("GET", path, [("Last-Event-ID", value) for value in values]), *expect, code=wanted)


def keys() -> list[Case]:
    bad = {
        "too long": b"k" * 256,
        "non-ASCII": "schlüssel".encode(),
        "high bytes": b"\xff",
        "empty": b"",
        "tab": b"a\tb",
        "Arabic": "٣".encode(),
    }
    body = json.dumps({"input": "a"}).encode()
    found = []
    for where, path in BODIES.items():
        for name, key in bad.items():
            found.append(
                case(
                    "Idempotency",
                    f"{name}, {where}",
                    post(path, body, ("Idempotency-Key", key)),
                    400,
                    code="invalid_idempotency_key",
                )
            )
        twice = post(path, body, ("Idempotency-Key", "a"), ("Idempotency-Key", "a"))
        found.append(case("Idempotency", f"twice, {where}", twice, 400, code="invalid_idempotency_key"))
    fine = post("/v1/runs", body, ("Idempotency-Key", "k" * 255))
    other = post("/v1/runs", b'{"input":"b"}', ("Idempotency-Key", "k" * 255))
    return [*found, case("Served", "key", fine, 202), case("Idempotency", "same key, other body", other, 422)]


def queries() -> list[Case]:
    lists = {
        "runs": "/v1/runs",
        "conversations": "/v1/conversations",
        "conversation": f"/v1/conversations/{CONVERSATION}",
    }
    lists["page"] = f"/v1/runs/{ENDED}/events"
    limits = [
        "-1",
        "0",
        "1e9",
        "abc",
        "1.5",
        "+1",
        "0x1",
        "1_0",
        "1001",
        "99999999999",
        "9999999999999999999999",
        "٣",
        "NaN",
        "%00",
        "1%00",
        "%ff",
        "1;1",
        "true",
        "[]",
    ] + ["", "%201", "1%20"]
    found = []
    for where, path in lists.items():
        found += gets(
            "Query",
            [(f"limit={v} of {where}", f"{path}?limit={_encoded(v)}") for v in limits],
            400,
            code="invalid_query",
        )
        found += gets("Query", [(f"limit twice of {where}", f"{path}?limit=1&limit=1")], 400, code="invalid_query")
    for where in ("conversations", "conversation"):
        befores = ["-1", "0", "abc", "1e9", "٣", "99999999999999999999", "%00"] + [quote(SQL), ""]
        found += gets(
            "Query",
            [(f"before={v} of {where}", f"{lists[where]}?before={_encoded(v)}") for v in befores],
            400,
            code="invalid_query",
        )
    unknown = {
        SQL: "1",
        "filter": "x",
        "sort": "cost; DROP TABLE runs",
        "order_by": "1",
        "tenant_id": "other",
        "Limit": "1",
        "limit[]": "1",
        "": "",
        "\x00": "1",
        "__proto__": "1",
    }
    for where, path in lists.items():
        pairs = [
            (f"unknown {name!r} of {where}", f"{path}?{quote(name)}={quote(value)}") for name, value in unknown.items()
        ]
        found += gets("Query", pairs, 422, code="unknown_parameter")
    odd = ["?", "?&&&", "?limit", "?=1", "?%", "?%zz=%zz", "?" + "a=1&" * 900]
    found += gets("Query", [(f"odd {text[:12]!r}", "/v1/runs" + text) for text in odd], 200, 400, 422)
    return found


def _encoded(value: str) -> str:
    return value if value.isascii() else quote(value)


def paths() -> list[Case]:
    """What is not there: 404 with the same body as an unknown run's."""
    nowhere = [
        "/v1",
        "/v1/",
        "/v2/runs",
        "/v1/runs/",
        "//v1/runs",
        "/v1//runs",
        "/V1/runs",
        "/v1/Runs",
        "/v1/runs/..",
        "/v1/../healthz",
        "/.env",
        "/.git/config",
        "/etc/passwd",
        "/admin",
        "/metrics/..",
        "/docs/..",
        "/redoc",
        "/graphql",
        "/actuator/env",
        "/wp-login.php",
        "/cgi-bin/sh",
        "/static/../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/v1/runs%2f",
        "/healthz/",
        "/healthz%00",
        "/\\..\\..",
        "/-/routes",
        "/api/jobs/",
        "/api/serve/applications/",
        f"/v1/runs/{ENDED}/events/1",
        f"/v1/runs/{ENDED}/nothing",
        "/;/",
    ]
    return gets("Path", [(path, path) for path in nowhere], 404, code="not_found")
