"""The faults of the model-fault matrix (JOURNAL.md, end of section 2) and more, each chosen by the model's name.

``fault-NAME`` always fails so; ``flaky-K-NAME`` fails the first K calls and then answers; ``late-K-NAME`` answers the first
K calls and then fails for good.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from time import time
from typing import Any, Protocol

from tests.fakes import messages_wire as wire

WORDS = wire.text_block(0, "This will not end well")
BEGINNING = [wire.start("fault"), *WORDS[:4]]
"""A message begun: three words shown, nothing closed."""
PING = {"type": "ping"}
PING_EVERY_S = 0.05


class Reply(Protocol):
    """What a fault does to the connection; the server implements it."""

    async def refuse(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None: ...
    async def stream(self, content_type: str = "text/event-stream") -> None: ...
    async def events(self, *events: wire.Event) -> None: ...
    async def raw(self, data: bytes) -> None: ...
    async def end(self) -> None: ...
    def fin(self) -> None: ...
    def reset(self) -> None: ...


Fault = Callable[[Reply], Awaitable[None]]


def refusing(status: int, kind: str, headers: dict[str, str] | None = None, words: str = "fault") -> Fault:
    async def fault(reply: Reply) -> None:
        await reply.refuse(status, wire.error(kind, words), headers)

    return fault


def playing(*events: wire.Event) -> Fault:
    """A stream with a clean end of its body after those events, whole message or not."""

    async def fault(reply: Reply) -> None:
        await reply.stream()
        await reply.events(*events)
        await reply.end()

    return fault


def whole(blocks: list[wire.Event], stop_reason: str | None) -> Fault:
    return playing(wire.start("fault"), *blocks, *wire.finish(stop_reason))


async def reset(reply: Reply) -> None:
    await reply.stream()
    await reply.events(*BEGINNING)
    await asyncio.sleep(0.02)  # lets the words leave the machine: a reset throws away what is still unsent
    reply.reset()


async def fin(reply: Reply) -> None:
    await reply.stream()
    await reply.events(*BEGINNING)
    reply.fin()


async def reset_unanswered(reply: Reply) -> None:
    reply.reset()


async def silence(reply: Reply) -> None:
    await asyncio.Event().wait()


async def stall(reply: Reply) -> None:
    await reply.stream()
    await reply.events(*BEGINNING)
    await silence(reply)


async def ping_stall(reply: Reply) -> None:
    await reply.stream()
    await reply.events(*BEGINNING)
    await pings(reply)


async def first_ping_stall(reply: Reply) -> None:
    await reply.stream()
    await reply.events(wire.start("fault"))
    await pings(reply)


async def pings(reply: Reply) -> None:
    while True:
        await reply.events(PING)
        await asyncio.sleep(PING_EVERY_S)


async def malformed(reply: Reply) -> None:
    await reply.stream()
    await reply.events(*BEGINNING)
    await reply.raw(b'event: content_block_delta\ndata: {"type": "content_block_delta", "ind\n\n')
    await reply.end()


async def page(reply: Reply) -> None:
    await reply.stream("text/html")
    await reply.raw(b"<html>hello</html>")
    await reply.end()


async def rate_limited_until(reply: Reply) -> None:
    date = formatdate(time() + 30, usegmt=True)
    await refusing(429, "rate_limit_error", {"retry-after": date})(reply)


async def repeats_key(reply: Reply) -> None:
    await reply.refuse(401, wire.error("authentication_error", f"bad key: {getattr(reply, 'key', '')}"))


async def repeats_key_midstream(reply: Reply) -> None:
    await playing(wire.error("authentication_error", f"bad key: {getattr(reply, 'key', '')}"))(reply)


async def bad_gateway(reply: Reply) -> None:
    await reply.refuse(502, "<html>Bad Gateway</html>")


def _limited(**headers: str) -> Fault:
    return refusing(429, "rate_limit_error", {name.replace("_", "-"): value for name, value in headers.items()})


CUT = '{"path": "/etc'

MATRIX: dict[str, Fault] = {
    "429-0.2": _limited(retry_after="0.2"),
    "429-90": _limited(retry_after="90"),
    "429-date": rate_limited_until,
    "429-garbage": _limited(retry_after="soon"),
    "529": refusing(529, "overloaded_error"),
    "500": refusing(500, "api_error"),
    "500-no-retry": refusing(500, "api_error", {"x-should-retry": "false"}),
    "error-event": playing(*BEGINNING, wire.error("overloaded_error", "Overloaded")),
    "rst": reset,
    "fin": fin,
    "clean-eof": playing(*BEGINNING),
    "stall": stall,
    "ping-stall": ping_stall,
    "malformed-sse": malformed,
    "cut-tool-json": whole(wire.tool_block(0, "read", CUT), "tool_use"),
    "cut-tool-json-max-tokens": whole(wire.tool_block(0, "read", CUT), "max_tokens"),
    "refusal": whole(WORDS, "refusal"),
    "pause-turn": whole(WORDS, "pause_turn"),
    "max-tokens": whole(WORDS, "max_tokens"),
    "context-window": whole(WORDS, "model_context_window_exceeded"),
    "unknown-stop": whole(WORDS, "bored"),
}
"""The 21 of the matrix."""

FAULTS: dict[str, Fault] = MATRIX | {
    "429-600": _limited(retry_after="600"),
    "429-7200": _limited(retry_after="7200"),
    "400-retry": refusing(400, "invalid_request_error", {"x-should-retry": "true"}),
    "400": refusing(400, "invalid_request_error", words="messages: at least one message is required"),
    "401": repeats_key,
    "402": refusing(402, "billing_error"),
    "403": refusing(403, "permission_error"),
    "404": refusing(404, "not_found_error"),
    "408": refusing(408, "timeout_error"),
    "409": refusing(409, "conflict_error"),
    "413": refusing(413, "request_too_large"),
    "502": bad_gateway,
    "429-ms": _limited(retry_after_ms="150", retry_after="7"),
    "429-negative": _limited(retry_after="-3"),
    "error-event-rate": playing(*BEGINNING, wire.error("rate_limit_error")),
    "error-event-invalid": playing(*BEGINNING, wire.error("invalid_request_error")),
    "error-event-key": repeats_key_midstream,
    "error-event-new": playing(*BEGINNING, wire.error("some_new_error")),
    "first-stall": silence,
    "first-ping-stall": first_ping_stall,
    "rst-unanswered": reset_unanswered,
    "no-stop-reason": whole(WORDS, None),
    "trailing-garbage": whole(wire.tool_block(0, "read", '{"path": "/etc"} and more'), "tool_use"),
    "nan": whole(wire.tool_block(0, "read", '{"size": NaN}'), "tool_use"),
    "not-an-object": whole(wire.tool_block(0, "read", "[1]"), "tool_use"),
    "whole-tool-max-tokens": whole(wire.tool_block(0, "read", '{"path": "/etc"}'), "max_tokens"),
    "page": page,
}
