"""The row "Transport": bytes that are no request, or more than one, or too many."""

from __future__ import annotations

from tests.hostile.case import BODIES, RUNS, Case, case
from tests.hostile.raw import post, request

BODY = b'{"input":"Why?"}'
TYPE = ("Content-Type", "application/json")
BROKEN = "malformed_request"
HOST = b"Host: 127.0.0.1\r\n"


def cases() -> list[Case]:
    return [*lines(), *framing(), *chunks(), *sizes()]


def lines() -> list[Case]:
    """Bad request lines: 400 and close."""
    bad = {
        "lower case method": b"get / HTTP/1.1",
        "unknown method": b"FROB / HTTP/1.1",
        "no method": b" / HTTP/1.1",
        "no target": b"GET HTTP/1.1",
        "tab for a space": b"GET\t/\tHTTP/1.1",
        "HTTP/0.9": b"GET /",
        "HTTP/1.2": b"GET / HTTP/1.2",
        "HTTP/2.0": b"GET / HTTP/2.0",
        "HTTP/3.0": b"GET / HTTP/3.0",
        "HTTP/11": b"GET / HTTP/11",
        "HTTP/1.1.1": b"GET / HTTP/1.1.1",
        "http/1.1": b"GET / http/1.1",
        "ICE/1.0": b"GET / ICE/1.0",
        "words after the version": b"GET / HTTP/1.1 please",
        "space in the target": b"GET /a b HTTP/1.1",
        "NUL in the target": b"GET /\x00 HTTP/1.1",
        "control byte in the target": b"GET /\x07 HTTP/1.1",
        "high byte in the target": b"GET /\xff HTTP/1.1",
        "UTF-8 in the target": "GET /ü HTTP/1.1".encode(),
        "DEL in the target": b"GET /\x7f HTTP/1.1",
        "fragment": b"GET /#top HTTP/1.1",
        "relative target": b"GET healthz HTTP/1.1",
        "absolute target without a path": b"GET http://127.0.0.1 HTTP/1.1",
        "absolute target, port beyond": b"GET http://127.0.0.1:99999/ HTTP/1.1",
        "quoted": b'"GET" / HTTP/1.1',
        "HTTP/2 preface": b"PRI * HTTP/2.0",
        "backslash method": b"G\\T / HTTP/1.1",
        "very long method": b"G" * 5000 + b" / HTTP/1.1",
        "NUL first": b"\x00GET / HTTP/1.1",
        "byte order mark": b"\xef\xbb\xbfGET / HTTP/1.1",
    }
    row = "Bad request line"
    found = [
        case(row, name, line + b"\r\n" + HOST + b"\r\n", 400, code=BROKEN, closes=True) for name, line in bad.items()
    ]
    other = {
        "TLS hello": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)),
        "SSH banner": b"SSH-2.0-OpenSSH_9.6\r\n",
        "SMTP": b"EHLO example.org\r\n",
        "Redis": b"*1\r\n$4\r\nPING\r\n",
        "binary": bytes(range(256)),
        "JSON alone": BODY + b"\r\n\r\n",
        "response": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    }
    found += [case(row, name, raw, 400, code=BROKEN, closes=True) for name, raw in other.items()]
    found += [
        case(row, name, raw, 0, eof=True, closes=True)
        for name, raw in {
            "nothing": b"",
            "line ends alone": b"\r\n\r\n",
            "half a line": b"GET / HT",
            "half a header": b"GET / HTTP/1.1\r\nHo",
        }.items()
    ]
    return found


def framing() -> list[Case]:
    """Lengths and header bytes that two servers could read differently: 400 and close."""
    row = "Framing"
    bad: dict[str, bytes] = {
        "length twice, equal": b"Content-Length: 16\r\nContent-Length: 16\r\n\r\n" + BODY,
        "length twice, different": b"Content-Length: 16\r\nContent-Length: 0\r\n\r\n" + BODY,
        "length and chunked": b"Content-Length: 16\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "chunked and length": b"Transfer-Encoding: chunked\r\nContent-Length: 16\r\n\r\n0\r\n\r\n",
        "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "chunked, identity": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "gzip, chunked": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "gzip alone": b"Transfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
        "identity": b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "xchunked": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "quoted chunked": b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
        "vertical tab before chunked": b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        "space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "space before the colon of the length": b"Content-Length : 16\r\n\r\n" + BODY,
        "folded header": b"X-A: 1\r\n 2\r\n\r\n",
        "folded with a tab": b"X-A: 1\r\n\t2\r\n\r\n",
        "header begins with a space": b" X-A: 1\r\n\r\n",
        "bare LF after a header": b"X-A: 1\nX-B: 2\r\n\r\n",
        "bare LF at the end": b"X-A: 1\r\n\n",
        "bare CR in a value": b"X-A: 1\r2\r\n\r\n",
        "NUL in a value": b"X-A: \x00\r\n\r\n",
        "NUL in a name": b"X-\x00: 1\r\n\r\n",
        "control byte in a value": b"X-A: \x01\r\n\r\n",
        "DEL in a value": b"X-A: \x7f\r\n\r\n",
        "high byte in a name": b"X-\xff: 1\r\n\r\n",
        "space in a name": b"X A: 1\r\n\r\n",
        "no colon": b"X-A\r\n\r\n",
        "no name": b": 1\r\n\r\n",
        "brackets in a name": b"X[A]: 1\r\n\r\n",
    }
    lengths = [
        "-1",
        "+16",
        "-0",
        "0x10",
        "1e2",
        "16,16",
        "16.0",
        "١٦",
        "1_6",
        "99999999999999999999999",
        "16;a",
        "½",
    ] + ["", "16 16", "sixteen"]
    bad |= {f"length {text!r}": b"Content-Length: " + text.encode() + b"\r\n\r\n" + BODY for text in lengths}
    head = b"POST /v1/runs HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    found = [case(row, name, head + rest, 400, code=BROKEN, closes=True) for name, rest in bad.items()]
    alone = b"POST /v1/runs HTTP/1.0\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    found.append(case(row, "chunked in HTTP/1.0", alone, 400, code=BROKEN, closes=True))
    found.append(case(row, "bare LF everywhere", b"GET / HTTP/1.1\nHost: 127.0.0.1\n\n", 400, code=BROKEN, closes=True))
    short = request("POST", RUNS, [TYPE, ("Content-Length", "900")]) + BODY
    found.append(case("Length beyond the body", "then FIN", short, 0, eof=True, closes=True))
    cut = request("POST", RUNS, [TYPE, ("Transfer-Encoding", "chunked")]) + b"10\r\n" + BODY
    found.append(case("Length beyond the body", "chunked, then FIN", cut, 0, eof=True, closes=True))
    found.append(case(row, "RTSP", b"DESCRIBE / RTSP/1.0\r\n" + HOST + b"\r\n", 400, 405))
    return found


def chunks() -> list[Case]:
    head = request("POST", RUNS, [TYPE, ("Transfer-Encoding", "chunked")])
    bad = {
        "no number": b"z\r\na\r\n0\r\n\r\n",
        "empty size": b"\r\na\r\n0\r\n\r\n",
        "0x10": b"0x10\r\n" + BODY + b"\r\n0\r\n\r\n",
        "-1": b"-1\r\n\r\n",
        "+10": b"+10\r\n" + BODY + b"\r\n0\r\n\r\n",
        "size beyond 64 bits": b"ffffffffffffffffff\r\na",
        "bare LF": b"10\n" + BODY + b"\r\n0\r\n\r\n",
        "no line end after the data": b"10\r\n" + BODY + b"XX0\r\n\r\n",
        "more data than said": b"2\r\n" + BODY + b"\r\n0\r\n\r\n",
        "space before the size": b" 10\r\n" + BODY + b"\r\n0\r\n\r\n",
        "space after the size": b"10 \r\n" + BODY + b"\r\n0\r\n\r\n",
        "length in the trailer": b"10\r\n" + BODY + b"\r\n0\r\nContent-Length: 5\r\n\r\n",
        "NUL in an extension": b"10;a=\x00\r\n" + BODY + b"\r\n0\r\n\r\n",
    }
    row = "Framing"
    found = [case(row, f"chunk: {name}", head + rest, 400, code=BROKEN, closes=True) for name, rest in bad.items()]
    fine = {
        "extension": b"10;a=b\r\n" + BODY + b"\r\n0\r\n\r\n",
        "trailer that names a host": b"10\r\n" + BODY + b"\r\n0\r\nHost: evil.example\r\n\r\n",
        "bytes one by one": b"".join(b"1\r\n%c\r\n" % byte for byte in BODY) + b"0\r\n\r\n",
    }
    return found + [case("Served", f"chunk: {name}", head + rest, 202) for name, rest in fine.items()]


def sizes() -> list[Case]:
    many = [(f"X-{n}", "1") for n in range(150)]
    large = b'{"input":"' + b"x" * 1_100_000 + b'"}'
    chunked = request("POST", RUNS, [TYPE, ("Transfer-Encoding", "chunked")])
    found = [
        case("Large head", "150 headers", request("GET", "/healthz", many), 431),
        case("Large head", "a header of 17 KiB", request("GET", "/healthz", [("X-A", "a" * 17_000)]), 431),
        case("Large head", "a name of 17 KiB", request("GET", "/healthz", [("X" * 17_000, "a")]), 431),
        case(
            "Large head",
            "a cookie of 100 KB",
            request("GET", "/healthz", [("Cookie", "a=" * 50_000)]),
            431,
            closes=True,
        ),
        case(
            "Large head",
            "1 MB of headers, never ending",
            request("GET", "/healthz", many * 1000)[:-2],
            431,
            closes=True,
        ),
        case("Large head", "a URL of 1 MB", request("GET", "/" + "x" * 1_000_000), 431, 414, closes=True),
        case("Long URL", "a path of 5 KB", request("GET", "/" + "x" * 5000), 414),
        case("Long URL", "a query of 5 KB", request("GET", "/v1/runs?" + "x" * 5000), 414),
        case("Long URL", "a run id of 5 KB", request("GET", "/v1/runs/" + "x" * 5000), 414),
        case("Large body", "declared, nothing sent", request("POST", RUNS, [TYPE, ("Content-Length", "1048577")]), 413),
        case("Large body", "declared as 10 TB", request("POST", RUNS, [TYPE, ("Content-Length", str(10**13))]), 413),
        case(
            "Large body",
            "chunked, never ending",
            chunked + b"10000\r\n" + b" " * 65536 + b"\r\n" + b"100000\r\n" + b" " * 1_048_570,
            413,
        ),
    ]
    for where, path in BODIES.items():
        found.append(case("Large body", f"1.1 MB to {where}", post(path, large), 413))
    return found
