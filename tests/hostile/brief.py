"""Event streams that end by themselves, for clients that read every answer to its end before they send the next request."""

from __future__ import annotations

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

LIFETIME_S = 0.1
STREAMS = (b"text/event-stream", b"application/x-ndjson")


class Brief:
    """An ASGI app whose event streams end cleanly after ``LIFETIME_S``."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        streaming = asyncio.Event()

        async def watched(message: Message) -> None:
            kinds = [value for name, value in message.get("headers", []) if name == b"content-type"]
            if kinds and kinds[0].startswith(STREAMS):
                streaming.set()
            await send(message)

        answering = asyncio.ensure_future(self._app(scope, receive, watched))
        begun = asyncio.create_task(streaming.wait())
        await asyncio.wait({answering, begun}, return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        if not streaming.is_set():
            await answering
            return
        await asyncio.wait({answering}, timeout=LIFETIME_S)
        if not answering.done():
            answering.cancel()
            await asyncio.wait({answering})
            await send({"type": "http.response.body", "body": b""})
