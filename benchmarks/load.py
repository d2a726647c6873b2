"""The load generator, a process of its own whose CPU is not counted.

``python -m benchmarks.load`` opens the connections' requests at one word on stdin and reads raw bytes; it decodes nothing before the
last stream is over. Lines on stdout: ``ready``; after ``go`` on stdin, ``done`` at the last stream's end; then one line of JSON with
what was found when every stream was held against the script's text.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import orjson

from benchmarks.goals import percentile
from benchmarks.scripts import SENTENCE
from benchmarks.sse import TOKEN, TokenCounter, body_of, check

READ_BYTES = 1 << 18


@dataclass(slots=True)
class Response:
    """One request's answer, as it came."""

    pieces: list[bytes] = field(default_factory=list)
    first_token_s: float | None = None
    """From the request to the first token."""
    ended_s: float = 0.0


async def one(port: int, question: str, counter: TokenCounter) -> Response:
    """One request on a new connection, read to its end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=READ_BYTES)
    body = orjson.dumps({"input": question})
    head = "POST /v1/runs HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\nConnection: close\r\n"
    began = time.monotonic()
    writer.write(f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    response = Response()
    while piece := await reader.read(READ_BYTES):
        response.pieces.append(piece)
        if counter.feed(piece) and response.first_token_s is None:
            response.first_token_s = time.monotonic() - began
    response.ended_s = time.monotonic() - began
    writer.close()
    return response


async def stream(given: argparse.Namespace) -> list[Response]:
    """One client: its requests one after the other."""
    return [await one(given.port, given.question, TokenCounter(TOKEN)) for _ in range(given.requests)]


async def load(given: argparse.Namespace) -> list[Response]:
    """All clients at once."""
    clients = await asyncio.gather(*(stream(given) for _ in range(given.streams)))
    return [response for client in clients for response in client]


def judged(responses: list[Response], repeat: int, elapsed_s: float) -> dict[str, Any]:
    """Every response held against the script, and the sums."""
    verdicts, problems = [], []
    for number, response in enumerate(responses, start=1):
        raw = b"".join(response.pieces)
        try:
            verdict = check(body_of(raw), SENTENCE * repeat)
        except ValueError as error:
            problems.append(f"response {number}: {error}: {raw[:300]!r}")
            continue
        verdicts.append(verdict)
        if verdict.problem:
            problems.append(f"response {number}: {verdict.problem}; it begins {raw[:300]!r}")
    tokens = sum(verdict.tokens for verdict in verdicts)
    firsts = [response.first_token_s for response in responses if response.first_token_s is not None]
    return {
        "responses": len(responses),
        "tokens": tokens,
        "elapsed_s": elapsed_s,
        "tokens_per_s": tokens / elapsed_s,
        "token_frame_bytes": sum(verdict.frame_bytes for verdict in verdicts) / max(1, tokens),
        "first_token_p50_ms": percentile(firsts, 0.5) * 1000 if firsts else None,
        "longest_s": max((response.ended_s for response in responses), default=0.0),
        "problems": problems[:5],
    }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--question", required=True)
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--requests", type=int, default=1, help="per stream, one after the other")
    parser.add_argument("--repeat", type=int, required=True, help="sentences an answer must have")
    given = parser.parse_args()
    print("ready", flush=True)
    if sys.stdin.readline().strip() != "go":
        return
    began = time.monotonic()
    responses = asyncio.run(load(given))
    elapsed_s = time.monotonic() - began
    print("done", flush=True)
    print(orjson.dumps(judged(responses, given.repeat, elapsed_s)).decode(), flush=True)


if __name__ == "__main__":
    main()
