"""The proxy breaks what it was told to break, and nothing else."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import AsyncIterator

import pytest

from tests.fakes.chaos_proxy import SSL_REQUESTS, ChaosProxy, CommitCounter, Fault
from tests.history import History, RunHistory, Segment, elle

WORDS = bytes(range(256)) * 40


@pytest.fixture
async def echo() -> AsyncIterator[int]:
    """A server that says everything back."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(4096):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()


async def said_back(port: int, within_s: float = 5.0) -> tuple[bytes, str]:
    """What comes back of ``WORDS``, and how it ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    got = b""
    try:
        writer.write(WORDS)
        writer.write_eof()
        async with asyncio.timeout(within_s):
            while data := await reader.read(4096):
                got += data
        return got, "end"
    except ConnectionResetError:
        return got, "reset"
    except TimeoutError:
        return got, "silence"
    finally:
        writer.close()


async def test_what_is_not_broken_passes_byte_for_byte(echo: int) -> None:
    async with ChaosProxy("127.0.0.1", echo) as proxy:
        assert await said_back(proxy.port) == (WORDS, "end")
        proxy.latency_s = 0.05
        assert await said_back(proxy.port) == (WORDS, "end")
        assert proxy.statistics()["connections"] == 2


@pytest.mark.parametrize("fault", [Fault(cut_after=1000, reset=False), Fault(cut_after=1000)])
async def test_a_cut_lets_exactly_so_many_bytes_pass(echo: int, fault: Fault) -> None:
    async with ChaosProxy("127.0.0.1", echo, plan=lambda number: fault) as proxy:
        got, end = await said_back(proxy.port)
        assert proxy.counts["cuts"] == 1
        assert proxy.counts["bytes to client"] == 1000
    assert end == ("reset" if fault.reset else "end")
    assert WORDS.startswith(got)
    assert fault.reset or len(got) == 1000


async def test_a_dropped_reply_and_a_blackhole_say_nothing(echo: int) -> None:
    async with ChaosProxy("127.0.0.1", echo, plan=lambda number: Fault(drop_reply=number == 1)) as proxy:
        assert await said_back(proxy.port) == (b"", "reset")
        assert proxy.counts["replies dropped"] == 1
        proxy.blackhole = True
        assert (await said_back(proxy.port, 0.2))[0] == b""
        proxy.blackhole = False
        assert await said_back(proxy.port) == (WORDS, "end")


async def test_a_stall_holds_back_and_loses_nothing(echo: int) -> None:
    async with ChaosProxy("127.0.0.1", echo) as proxy:
        proxy.stall(True)
        asking = asyncio.create_task(said_back(proxy.port))
        done, _ = await asyncio.wait({asking}, timeout=0.2)
        assert not done
        proxy.stall(False)
        assert await asking == (WORDS, "end")


def message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body


def test_the_answer_to_the_second_commit_is_found_however_the_bytes_come() -> None:
    before = (
        message(b"R", b"\0\0\0\0") + message(b"C", b"INSERT 0 1\0") + message(b"C", b"COMMIT\0") + message(b"Z", b"I")
    )
    wire = b"N" + before + message(b"C", b"COMMIT\0") + message(b"Z", b"I")
    chance = random.Random(1)
    for _ in range(50):
        counter, passed, at = CommitCounter(b"COMMIT", 2), 0, None
        counter.asked(struct.pack("!ii", 8, SSL_REQUESTS[0]))
        rest = wire
        while at is None:
            size = chance.randrange(1, 20)
            data, rest = rest[:size], rest[size:]
            at = counter.answered(data)
            passed += len(data) if at is None else at
        assert 1 + len(before) <= passed < 1 + len(before) + 12, (
            "no byte of the first, and never the whole of the second"
        )


def test_a_history_survives_its_file_and_is_given_to_elle() -> None:
    history = History(
        7, {"r": RunHistory([])}, [Segment("c", "r", "", [("1.0", "ab")]), Segment("c", "r", "1.0", [("2.1", "cd")])]
    )
    assert History.from_json(history.to_json()) == history
    assert [op["value"] for op in elle(history)] == [[["r", "r", ["ab"]]], [["r", "r", ["ab", "cd"]]]]
