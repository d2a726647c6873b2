"""SECURITY.md 1, "Transport": requests that trickle in, connections that only sit there. The server in this process.

``tests/generator/test_connection.py`` has the shipped times, in virtual time; ``tests/end_to_end/test_bad_input.py`` has them on Ray
Serve, in real time.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.generator import body
from runtime.generator.connection import Connection
from tests.faults.report import record
from tests.hostile.raw import Reply, exchange, parsed, request
from tests.hostile.server import World, serving
from tests.hostile.slow import BODY, HALF_OPEN, HEAD, IDLE, NOISE_S, P99_RATIO, compared, lingering, p99, trickled


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path) as world:
        yield world


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines twenty times shorter."""
    monkeypatch.setattr(Connection, "head_deadline_s", 0.5)
    monkeypatch.setattr(Connection, "body_deadline_s", 1.6)


async def test_trickling_clients_are_ended_and_nobody_waits_for_them(server: World, hurry: None) -> None:
    async with asyncio.TaskGroup() as group:
        heads = [group.create_task(trickled(server.port, b"", HEAD, 0.05, longest_s=5)) for _ in range(50)]
        bodies = [group.create_task(trickled(server.port, BODY, b" ", 0.05, longest_s=5)) for _ in range(50)]
        silent = [group.create_task(exchange(server.port, b"", patience_s=5, to_end=True)) for _ in range(50)]
        for _ in range(20):
            assert (await exchange(server.port, request("GET", "/readyz"), patience_s=2)).status == 200
            await asyncio.sleep(0.05)
    for slow, code, least in ((heads, "head_timeout", 0.4), (bodies, "body_timeout", 1.5)):
        for ended in (task.result() for task in slow):
            assert (ended.reply.status, ended.reply.code) == (408, code)
            assert least < ended.after_s < least + 2
    assert all(task.result().closed and task.result().status == 0 for task in silent)


async def test_answer_reaches_a_client_that_sends_all_before_it_reads(server: World) -> None:
    """413 comes before the body is read; closing at once would reset the connection, and the answer with it."""
    size = 10_000_000
    head = request("POST", "/v1/runs", [("Content-Type", "application/json"), ("Content-Length", str(size))])
    replies = await asyncio.gather(
        *(asyncio.to_thread(sent_then_read, server.port, head + b" " * size) for _ in range(10))
    )
    assert {(reply.status, reply.code) for reply in replies} == {(413, "body_too_large")}


def sent_then_read(port: int, raw: bytes) -> Reply:
    """As most clients do it."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(raw)
        return parsed(b"".join(iter(lambda: connection.recv(65536), b"")))


async def test_healthy_requests_are_answered_beside_idle_and_half_open_connections(server: World) -> None:
    async with lingering(server.port, IDLE, HALF_OPEN):
        await p99(server.port)  # each is answered 200


@pytest.mark.slow  # a ratio of times is for a machine that does nothing else
@pytest.mark.timeout(300)
async def test_healthy_requests_do_not_notice_idle_and_half_open_connections(server: World) -> None:
    alone, beside = await compared(lambda: p99(server.port), lambda: lingering(server.port, IDLE, HALF_OPEN))
    floor = f"p99 {1e3 * beside:.1f} ms beside {1e3 * alone:.1f} ms alone"
    broken = beside + NOISE_S > P99_RATIO * (alone + NOISE_S)
    record(
        promise="P15",
        what=f"{IDLE} idle and {HALF_OPEN} half-open connections",
        n=IDLE + HALF_OPEN,
        violations=int(broken),
        floor=floor,
    )
    assert not broken, floor


def test_the_applications_deadline_comes_before_the_connections() -> None:
    assert Connection.body_deadline_s > body.BODY_DEADLINE_S
