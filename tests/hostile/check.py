"""What every answer to bad input must be, whatever the input was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import orjson

from tests.hostile.case import Case
from tests.hostile.raw import PROBLEM, Reply, exchange, request

KNOWN_404 = orjson.dumps(
    {
        "type": "urn:headrace:problem:not_found",
        "title": "Not Found",
        "status": 404,
        "detail": "There is nothing here that you can see.",
        "code": "not_found",
        "retryable": False,
    }
)
"""To the byte, whatever it was that is not there."""
SECRETS = (b"Traceback", b"/site-packages/", b"sqlite3", b"SELECT ", b"INSERT ", b'.py"')


def complaints(case: Case, reply: Reply) -> list[str]:
    """What is wrong with ``reply``, in sentences that name the case."""
    wrong = [*general(reply)]
    if reply.status not in case.expect:
        wrong.append(f"status {reply.status}, not {sorted(case.expect)}: {reply.body[:160]!r}")
    elif case.code and reply.code != case.code:
        wrong.append(f"code {reply.code!r}, not {case.code!r}: {reply.body[:160]!r}")
    if case.closes and not reply.closed:
        wrong.append("the connection stayed open")
    if case.allow and not reply.headers.get("allow"):
        wrong.append("no Allow header")
    return [f"{case.id}: {words}" for words in wrong]


def general(reply: Reply, *, refused: bool = False) -> list[str]:
    """What holds for every answer; ``refused``: also for a 503."""
    if reply.status == 0:
        return [] if reply.closed else ["no answer, and the connection stayed open"]
    wrong = []
    if reply.status >= 500 and not (refused and reply.status == 503):
        wrong.append(f"status {reply.status}: {reply.body[:160]!r}")
    if "x-request-id" not in reply.headers or reply.headers.get("x-content-type-options") != "nosniff":
        wrong.append(f"headers {sorted(reply.headers)}")
    if reply.status >= 400 and reply.complete and reply.body:
        wrong += _problem(reply)
    return wrong


def _problem(reply: Reply) -> list[str]:
    if reply.headers.get("content-type") != PROBLEM:
        return [f"{reply.status} as {reply.headers.get('content-type')}: {reply.body[:160]!r}"]
    body = orjson.loads(reply.body)
    wrong = [f"field {name} is missing" for name in ("type", "title", "detail", "code") if name not in body]
    if body["status"] != reply.status:
        wrong.append(f"status {body['status']} in the body of a {reply.status}")
    if reply.status == 404 and reply.body != KNOWN_404:
        wrong.append(f"another 404: {reply.body!r}")
    if len(reply.body) > 8192:
        wrong.append(f"an answer of {len(reply.body)} bytes")
    return wrong + [f"it tells {secret!r}" for secret in SECRETS if secret in reply.body]


@dataclass
class Healthy:
    """Requests of somebody else."""

    served: int = 0
    failed: int = 0


@asynccontextmanager
async def healthy_beside(port: int) -> AsyncIterator[Healthy]:
    """Ask something harmless again and again meanwhile."""
    seen = Healthy()

    async def ask() -> None:
        while True:
            for path in ("/healthz", "/v1/runs?limit=1"):
                reply = await exchange(port, request("GET", path), patience_s=10)
                if reply.status == 200:
                    seen.served += 1
                else:
                    seen.failed += 1
            await asyncio.sleep(0.01)

    asking = asyncio.create_task(ask())
    try:
        yield seen
    finally:
        asking.cancel()
        await asyncio.wait({asking})
