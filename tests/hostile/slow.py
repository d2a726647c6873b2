"""Clients that take their time: how they are ended, and what others notice of them."""

from __future__ import annotations

import asyncio
import resource
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.raw import Reply, exchange, parsed, request

IDLE, HALF_OPEN = 200, 2000
P99_RATIO = 1.2
NOISE_S = 0.002
"""Two measurements of the same thing differ by so much on two shared cores; the ratio is taken of what is above it."""
LEAST_ROUNDS, ROUNDS, REQUESTS = 3, 12, 300

ROOT = Path(__file__).parents[2]

HEAD = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: " + b"a" * 200
BODY = b"POST /v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 900\r\n\r\n"


@dataclass
class Ended:
    """How a slow client's connection ended."""

    reply: Reply
    after_s: float


async def trickled(port: int, first: bytes, drip: bytes, every_s: float, *, longest_s: float) -> Ended:
    """Send ``first``, then ``drip`` byte by byte; until the server ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    begun = time.monotonic()
    got = asyncio.create_task(reader.read())

    async def send() -> None:
        writer.write(first)
        for n in range(int(longest_s / every_s)):
            writer.write(drip[n % len(drip) : n % len(drip) + 1])
            await writer.drain()
            await asyncio.sleep(every_s)

    sending = asyncio.create_task(send())
    await asyncio.wait({got}, timeout=longest_s)
    after = time.monotonic() - begun
    sending.cancel()
    await asyncio.wait({sending})
    writer.close()
    assert got.done(), f"open for {after:.1f} s"
    return Ended(parsed(got.result()), after)


@asynccontextmanager
async def lingering(port: int, idle: int, half_open: int) -> AsyncIterator[None]:
    """So many connections that send nothing, and so many that sent half a head, while the context lasts (``lingerers``)."""
    allow_files(2 * (idle + half_open))
    command = (sys.executable, "-m", "tests.hostile.lingerers", str(port), str(idle), str(half_open))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdin=pipe, stdout=pipe)
    assert process.stdin is not None and process.stdout is not None
    try:
        async with asyncio.timeout(60):
            assert await process.stdout.readline() == b"ready\n"
        await asyncio.sleep(0.5)
        yield
    finally:
        process.stdin.close()
        await process.wait()


async def p99(port: int) -> float:
    """Of the seconds until a healthy request is answered, each on a connection of its own."""
    took = []
    for _ in range(REQUESTS):
        begun = time.perf_counter()
        reply = await exchange(port, request("GET", "/healthz"))
        assert reply.status == 200
        took.append(time.perf_counter() - begun)
    return sorted(took)[int(REQUESTS * 0.99)]


async def compared(measure: Callable[[], Awaitable[float]], beside: Callable[[], object]) -> tuple[float, float]:
    """The best of some rounds, alone and ``beside`` (a context), side by side: other work on the machine is not ours."""
    alone = crowded = float("inf")
    for done in range(1, ROUNDS + 1):
        alone = min(alone, await measure())
        async with beside():  # type: ignore[attr-defined]
            crowded = min(crowded, await measure())
        if done >= LEAST_ROUNDS and crowded + NOISE_S <= P99_RATIO * (alone + NOISE_S):
            break
    return alone, crowded


def allow_files(count: int) -> None:
    """For a server in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < count + 200:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count + 200), hard))
