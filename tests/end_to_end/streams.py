"""Reading event streams as bytes: what a careful client sees, nothing interpreted away."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Frame:
    """One event as it came: its id line, its event line, and its data line."""

    id: str
    event: str
    data: bytes

    @property
    def seq(self) -> int:
        return int(self.id.split(".")[0])

    @property
    def body(self) -> dict[str, Any]:
        return dict(json.loads(self.data))


@dataclass
class Reading:
    """A response: status, headers, and the body's bytes so far."""

    status: int
    headers: dict[str, str]
    body: bytes

    def frames(self) -> list[Frame]:
        """The complete events in the body."""
        return list(parse(self.body))


def parse(body: bytes) -> Iterator[Frame]:
    for block in body.split(b"\n\n")[:-1]:
        fields = dict(
            line.split(b": ", 1) for line in block.split(b"\n") if b": " in line and not line.startswith(b":")
        )
        if b"id" in fields:
            yield Frame(fields[b"id"].decode(), fields[b"event"].decode(), fields[b"data"])


def request(
    port: int,
    method: str,
    path: str,
    *,
    json_body: object | None = None,
    headers: dict[str, str] | None = None,
    cut_after: int | None = None,
    timeout_s: float = 90.0,
) -> Reading:
    """One request over a raw socket. ``cut_after`` closes the connection after that many bytes of the body."""
    payload = b"" if json_body is None else json.dumps(json_body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", "Connection: close"]
    if json_body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(payload)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + payload)
        return _read(connection, cut_after)


def _read(connection: socket.socket, cut_after: int | None) -> Reading:
    raw = b""
    while b"\r\n\r\n" not in raw:
        raw += _received(connection)
    head, _, rest = raw.partition(b"\r\n\r\n")
    status_line, *header_lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in header_lines)}
    chunked = headers.get("transfer-encoding") == "chunked"
    body = b""
    while True:
        body = unchunk(rest) if chunked else rest
        if cut_after is not None and len(body) >= cut_after:
            return Reading(int(status_line.split()[1]), headers, body[:cut_after])
        more = connection.recv(65536)
        if not more:
            return Reading(int(status_line.split()[1]), headers, body)
        rest += more


def _received(connection: socket.socket) -> bytes:
    more = connection.recv(65536)
    if not more:
        raise ConnectionError("the server closed before it answered")
    return more


def unchunk(raw: bytes) -> bytes:
    """The bytes of complete chunks in a chunked body."""
    body = b""
    while True:
        size, separator, rest = raw.partition(b"\r\n")
        if not separator:
            return body
        length = int(size, 16)
        if length == 0 or len(rest) < length + 2:
            return body + (rest[:length] if length else b"")
        body, raw = body + rest[:length], rest[length + 2 :]
