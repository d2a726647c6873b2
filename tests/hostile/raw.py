"""Bytes on a socket, and what comes back: no HTTP client, since those refuse to send what is to be tried here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import httptools
import orjson

PROBLEM = "application/problem+json"


@dataclass
class Reply:
    """The first response; ``status`` 0: none came."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    closed: bool = False
    """The server ended the connection."""
    count: int = 0
    """Responses that came."""

    @property
    def code(self) -> str:
        """Of a problem."""
        return str(orjson.loads(self.body)["code"]) if self.headers.get("content-type") == PROBLEM else ""

    @property
    def streaming(self) -> bool:
        return self.headers.get("content-type", "").startswith("text/event-stream")


class _Parser:
    """Takes the first response apart, and counts the others."""

    def __init__(self, reply: Reply) -> None:
        self._reply = reply
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._reply.count == 0:
            self._reply.headers[name.decode().lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self._reply.count == 0:
            self._reply.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        if self._reply.count == 0:
            self._reply.body += body

    def on_message_complete(self) -> None:
        if self._reply.status == 100 and self._reply.count == 0:
            self._reply.status, self._reply.headers = 0, {}
            return
        self._reply.count += 1
        self._reply.complete = True


def parsed(data: bytes) -> Reply:
    """What a server said until it ended the connection."""
    reply = Reply(closed=True)
    _Parser(reply).feed(data)
    return reply


async def exchange(
    port: int, raw: bytes, *, patience_s: float = 10.0, eof: bool = False, to_end: bool = False, host: str = "127.0.0.1"
) -> Reply:
    """Send ``raw``; read until a response is whole, an event stream has begun, the server closes, or patience ends.

    ``eof``: close our side after sending. ``to_end``: read on until the server closes or patience ends.
    """
    reply = Reply()
    parser = _Parser(reply)
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(raw)
        if eof:
            writer.write_eof()
        async with asyncio.timeout(patience_s):
            while to_end or not (reply.complete or (reply.status and reply.streaming)):
                data = await reader.read(65536)
                if not data:
                    reply.closed = True
                    break
                parser.feed(data)
    except TimeoutError:
        pass
    except (ConnectionResetError, BrokenPipeError):
        reply.closed = True
    finally:
        writer.close()
    return reply


def request(
    method: str | bytes,
    path: str | bytes,
    headers: Sequence[tuple[str | bytes, str | bytes]] = (),
    body: bytes | None = None,
    *,
    host: str | None = "127.0.0.1",
) -> bytes:
    """A request as it stands, well-formed or not; ``Content-Length`` is added for a body."""
    lines = [_bytes(method) + b" " + _bytes(path) + b" HTTP/1.1"]
    if host is not None:
        lines.append(b"Host: " + host.encode())
    lines += [_bytes(name) + b": " + _bytes(value) for name, value in headers]
    if body is not None:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")


def post(path: str, body: bytes, *headers: tuple[str, str | bytes]) -> bytes:
    """A POST of JSON."""
    return request("POST", path, [("Content-Type", "application/json"), *headers], body)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")
