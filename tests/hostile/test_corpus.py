"""P15: no input crashes us. The corpus of SECURITY.md section 1 as bytes on a socket, and valid requests with bytes changed."""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.faults.report import record
from tests.hostile.check import general, healthy_beside
from tests.hostile.corpus import corpus
from tests.hostile.mutations import mutations
from tests.hostile.raw import exchange
from tests.hostile.run import tried
from tests.hostile.server import World, serving


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path) as world:
        yield world


async def test_every_case_of_the_corpus_gets_its_answer_and_a_request_beside_it_is_served(server: World) -> None:
    cases = corpus()
    assert len(cases) >= 500
    async with healthy_beside(server.port) as healthy:
        wrong = await tried(server, cases)
    record(promise="P15", what="cases of the corpus of bad input over sockets", n=len(cases), violations=len(wrong))
    assert not wrong, "\n".join(wrong)
    assert healthy.served >= 20 and healthy.failed == 0


MUTATIONS = int(os.environ.get("MUTATIONS", "2000"))


async def test_no_mutation_of_a_valid_request_is_our_failure(server: World) -> None:
    """Whatever the bytes: an answer below 500, or the connection ends; and the server is there afterwards."""
    seed = int(os.environ.get("SEED", random.randrange(1 << 32)))
    gate = asyncio.Semaphore(64)
    seen: Counter[int] = Counter()

    async def one(raw: bytes) -> list[str]:
        async with gate:
            reply = await exchange(server.port, raw, patience_s=0.3)
            if reply.status == 0 and not reply.closed:  # the server may wait for more
                reply = await exchange(server.port, raw, eof=True)
        seen[reply.status] += 1
        return [f"{words}: {raw!r}" for words in general(reply)]

    async with healthy_beside(server.port) as healthy:
        tries = [one(server.filled(raw)) for raw in mutations(MUTATIONS, seed)]
        wrong = [words for found in await asyncio.gather(*tries) for words in found]
    floor = ", ".join(f"{count} x {status or 'closed'}" for status, count in sorted(seen.items()))
    record(
        promise="P15",
        what="valid requests with bytes changed",
        n=MUTATIONS,
        violations=len(wrong),
        seed=seed,
        floor=floor,
    )
    assert not wrong, f"SEED={seed}\n" + "\n".join(wrong[:20])
    assert healthy.served >= 20 and healthy.failed == 0
    assert len(seen) >= 8  # they are neither all broken in one way nor all fine
    assert seen[200] + seen[202] > MUTATIONS / 200
