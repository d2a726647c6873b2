"""P15: no input crashes us. The corpus of SECURITY.md section 1 as bytes on a socket, and valid requests with bytes changed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from tests.faults.report import record
from tests.hostile.case import Case
from tests.hostile.check import complaints, healthy_beside
from tests.hostile.corpus import corpus
from tests.hostile.raw import exchange
from tests.hostile.server import World, serving

AT_ONCE = 16


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[World]:
    async with serving(tmp_path) as world:
        yield world


async def tried(world: World, cases: Sequence[Case], at_once: int = AT_ONCE) -> list[str]:
    """Send each case; what was wrong with the answers."""
    gate = asyncio.Semaphore(at_once)

    async def one(case: Case) -> list[str]:
        async with gate:
            reply = await exchange(world.port, world.filled(case.raw), eof=case.eof, to_end=case.closes)
        return complaints(case, reply)

    return [words for found in await asyncio.gather(*map(one, cases)) for words in found]


async def test_every_case_of_the_corpus_gets_its_answer_and_a_request_beside_it_is_served(server: World) -> None:
    cases = corpus()
    assert len(cases) >= 500
    async with healthy_beside(server.port) as healthy:
        wrong = await tried(server, cases)
    record(promise="P15", what="cases of the corpus of bad input over sockets", n=len(cases), violations=len(wrong))
    assert not wrong, "\n".join(wrong)
    assert healthy.served >= 20 and healthy.failed == 0
