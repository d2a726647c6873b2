"""What every request passes before any route: its id, the size limits, the Host check, and the stripping of headers.

Pure ASGI, since middleware that wraps responses in tasks of its own delays streams and hides disconnects.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Sequence

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.generator.problems import Refusal, answer
from runtime.ids import IdSource

MAX_HEADERS = 100
MAX_HEADER_BYTES = 16_384
MAX_URL_BYTES = 4_096
"""All three from SECURITY.md 1."""

STRIPPED = frozenset({b"x-request-timeout-seconds", b"x-request-disconnect-disabled"})
"""With these a client could switch off Ray Serve's time limit and its watch for disconnection (RAY.md 4)."""

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""What a request's id that a client brings must look like."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(?::[0-9]{1,5})?")


def request_id_of(scope: Scope) -> str:
    """The id :class:`RequestIds` gave this request; ``-`` for one that failed before it."""
    return str(scope.get("state", {}).get("request_id", "-"))


class RequestIds:
    """Gives each request an id, or keeps a well-formed one it brought; every response carries it and ``nosniff``.

    ``echo`` is False behind a proxy that already sets ``x-request-id`` on the response, as Ray Serve's does.
    """

    def __init__(self, app: ASGIApp, *, new_id: IdSource, echo: bool = True) -> None:
        self._app = app
        self._new_id = new_id
        self._echo = echo

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        brought = _values(scope, b"x-request-id")
        fits = len(brought) == 1 and REQUEST_ID.fullmatch(brought[0])
        request_id = brought[0] if fits else self._new_id()

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                if self._echo:
                    headers["X-Request-Id"] = request_id
            await send(message)

        await self._app({**scope, "state": {**scope.get("state", {}), "request_id": request_id}}, receive, marked)


class Edge:
    """Refuses what is too large or comes under a foreign name, and strips the headers of ``STRIPPED``.

    ``loopback_only`` is development mode: only loopback names may stand in ``Host``, else a web page whose name was
    made to resolve to 127.0.0.1 could talk to this server (DNS rebinding). Else only ``hosts`` may, if there are any.
    """

    def __init__(self, app: ASGIApp, *, loopback_only: bool, hosts: Collection[str] = ()) -> None:
        self._app = app
        self._hosts = hosts
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            self._examine(scope)
        except Refusal as refusal:
            if scope["type"] != "http":
                await send({"type": "websocket.close", "code": 1008})
                return
            # no instance: the path may be what is too long
            response = answer(refusal, path="", request_id=request_id_of(scope))
            await response(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in STRIPPED]
        await self._app({**scope, "headers": headers}, receive, send)

    def _examine(self, scope: Scope) -> None:
        _check_sizes(scope)
        hosts = _values(scope, b"host")
        if len(hosts) > 1 or (not hosts and scope.get("http_version") == "1.1"):
            raise Refusal(400, "invalid_host", "A request names its host once.")
        if self._loopback_only and hosts and not is_loopback_host(hosts[0]):
            raise Refusal(421, "foreign_host", "In development mode only localhost and 127.0.0.1 are answered.")
        if not self._loopback_only and self._hosts and hosts and not is_host_of(hosts[0], self._hosts):
            raise Refusal(421, "foreign_host", "This server does not answer to that name.")


def is_host_of(host: str, patterns: Collection[str]) -> bool:
    """True for a ``Host`` value, with any port, that is one of ``patterns`` or stands below one that begins with ``*.``."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match[1].strip("[]").removesuffix(".").lower()
    return any(
        pattern in ("*", name) or (pattern.startswith("*.") and name.endswith(pattern[1:])) for pattern in patterns
    )


def is_loopback_host(host: str) -> bool:
    """True for a ``Host`` value that names this machine itself, with any port."""
    match = _HOST.fullmatch(host)
    if match is None:
        return False
    name = match[1].strip("[]").removesuffix(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _check_sizes(scope: Scope) -> None:
    headers: Sequence[tuple[bytes, bytes]] = scope["headers"]
    url = len(scope.get("raw_path") or scope["path"].encode()) + len(scope.get("query_string", b""))
    if url > MAX_URL_BYTES:
        raise Refusal(414, "url_too_long", f"The URL is longer than {MAX_URL_BYTES} bytes.")
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        words = f"At most {MAX_HEADERS} headers and {MAX_HEADER_BYTES} bytes of them."
        raise Refusal(431, "headers_too_large", words, headers={"Connection": "close"})


def _values(scope: Scope, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope["headers"] if key == name]
