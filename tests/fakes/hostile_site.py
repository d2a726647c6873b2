"""A web site on loopback that answers each path as it is told to, byte by byte, over plain HTTP or TLS."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Page = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class HostileSite:
    """``pages`` by path; what was asked, as ``(path, headers)``, stands in ``asked``."""

    pages: dict[str, Page]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sent: int = 0
    """Body bytes taken from :func:`endless` pages."""
    port: int = 0

    serving: set[asyncio.Task[None]] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            await self._answer(reader, writer)
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self.serving.discard(task)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            path = head[0].split(" ")[1]
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
            self.asked.append((path, headers))
            await self.pages[path](writer)
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()


@asynccontextmanager
async def hostile_site(pages: dict[str, Page], tls: ssl.SSLContext | None = None) -> AsyncIterator[HostileSite]:
    """The site, on a free port of 127.0.0.1, for the length of the context."""
    site = HostileSite(pages)
    server = await asyncio.start_server(site.serve, "127.0.0.1", 0, ssl=tls)
    site.port = server.sockets[0].getsockname()[1]
    try:
        yield site
    finally:
        server.close()
        await server.wait_closed()
        for task in site.serving:
            task.cancel()
        await asyncio.gather(*site.serving, return_exceptions=True)


def answers(
    body: bytes = b"",
    content_type: str = "text/html",
    status: str = "200 OK",
    more: str = "",
    length: int | None = None,
) -> Page:
    """A page with ``body``; ``more`` are further header lines."""
    size = len(body) if length is None else length

    async def page(writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {size}\r\n{more}\r\n"
        writer.write(head.encode("latin-1") + body)
        await writer.drain()

    return page


def moved(location: str, status: str = "302 Found", more: str = "") -> Page:
    """A redirect to ``location``."""
    return answers(status=status, more=f"Location: {location}\r\n{more}")


def raw(data: bytes) -> Page:
    """Exactly these bytes."""

    async def page(writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return page


def endless(site: Callable[[], HostileSite], chunk: bytes, total: int, more: str = "", first: bytes = b"") -> Page:
    """``first``, then ``total`` bytes of ``chunk`` again and again; the site counts what it could send."""

    async def page(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{more}\r\n".encode() + first)
        for _ in range(total // len(chunk)):
            writer.write(chunk)
            await writer.drain()
            site().sent += len(chunk)

    return page


def drips(head: bytes, each_s: float) -> Page:
    """``head`` at once, then a byte from time to time, for ever."""

    async def page(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(each_s)

    return page
