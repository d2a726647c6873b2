"""Web pages from other origins: those that are listed may ask, with a key or token in a header; never with cookies.

There is no ``*``, ``null`` is nobody's origin, and no answer says ``Access-Control-Allow-Credentials``. An origin that is not
listed gets answers without these headers, which its browser then keeps from it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS: Final = "GET, HEAD, POST, DELETE"
ASKED: Final = "Accept, Authorization, Content-Type, Idempotency-Key, Last-Event-ID, X-Request-Id"
SHOWN: Final = "Location, Retry-After, X-Request-Id, X-Run-Id"
MAX_AGE_S: Final = 600
"""How long a browser may remember the answer to a preflight."""


class Cors:
    """See the module; pure ASGI, like everything around the routes."""

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._origins:
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origins = headers.getlist("origin")
        origin = origins[0] if len(origins) == 1 and origins[0] in self._origins else None
        if origin is not None and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await _preflight(origin)(scope, receive, send)
            return

        async def marked(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                answered.add_vary_header("Origin")
                if origin is not None:
                    answered["Access-Control-Allow-Origin"] = origin
                    answered["Access-Control-Expose-Headers"] = SHOWN
            await send(message)

        await self._app(scope, receive, marked)


def _preflight(origin: str) -> Response:
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": ASKED,
            "Access-Control-Max-Age": str(MAX_AGE_S),
            "Vary": "Origin",
        },
    )
