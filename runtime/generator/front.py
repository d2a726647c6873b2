"""What stands before Ray Serve's proxy, in its process: what the proxy must not see, and words for what it says itself.

The proxy acts on headers of any client's: some switch off its time limit and its watch for disconnection (RAY.md 4), some choose
a replica, and one that is no UTF-8 makes it fail. It answers in plain text, and shows its routing table to everybody. Here those
headers are taken away, and everything that is not from one of our doors becomes a problem like ours.
"""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.generator.edge import REQUEST_ID
from runtime.generator.problems import NOT_FOUND, STORE_RETRY_S, Refusal, answer, retry_after
from runtime.ids import IdSource

STEERING = frozenset(
    {
        b"x-request-timeout-seconds",
        b"x-request-disconnect-disabled",
        b"serve_multiplexed_model_id",
        b"serve-multiplexed-model-id",
        b"x-session-id",
    }
)
"""Headers by which a client could steer Serve."""
HIDDEN = "/-/"
"""Serve's own paths begin with it."""
HEALTH = "/-/healthz"
"""The only one of them that is answered: load balancers ask it whether this node has a proxy with replicas."""
OURS = b"x-content-type-options"
"""Every answer of our doors has this header, and none of Serve's."""


class Front:
    """An ASGI app around Serve's proxy."""

    def __init__(self, app: ASGIApp, *, new_id: IdSource) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = self._request_id(scope)
        headers = [
            (name, value) for name, value in scope["headers"] if name not in STEERING and name != b"x-request-id"
        ]
        told = Told(scope, receive, send, request_id)
        path = scope["path"]
        if path.startswith(HIDDEN) and path != HEALTH:
            await told.refuse(NOT_FOUND)
            return
        headers.append((b"x-request-id", request_id.encode()))
        try:
            await self._app({**scope, "headers": headers}, receive, told.send)
        except Exception as error:  # the border: it becomes an answer, and is logged there
            if told.begun:
                raise
            await told.refuse(error)
        if not told.begun:  # the door has died; or the client has left, who is told nothing
            await told.refuse(_in_our_words(500))

    def _request_id(self, scope: Scope) -> str:
        brought = [value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"]
        return brought[0] if len(brought) == 1 and REQUEST_ID.fullmatch(brought[0]) else self._new_id()


class Told:
    """The answer to one request: passed on when it is ours, put into our words when it is Serve's."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._request_id = request_id
        self.begun = False
        """Something of the answer is out."""
        self._ours = True

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            names = {name.lower() for name, _ in message["headers"]}
            if OURS not in names and message["status"] >= 400:
                self._ours = False
                await self.refuse(_in_our_words(message["status"]))
                return
        if self._ours:
            await self._send(message)

    async def refuse(self, error: Exception) -> None:
        self.begun = True
        response = answer(error, path=self._scope["path"], request_id=self._request_id)
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["X-Request-Id"] = self._request_id
        await response(self._scope, self._receive, self._send)


def _in_our_words(status: int) -> Refusal:
    wait = retry_after(STORE_RETRY_S)
    if status == 404:
        return NOT_FOUND
    if status in (429, 503):
        return Refusal(503, "door_busy", "No door can take this request just now; try again.", headers=wait)
    words = "The door died before it answered. Ask again: with the same Idempotency-Key it is done once."
    return Refusal(503, "door_lost", words, headers=wait)
