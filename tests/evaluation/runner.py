"""Runs questions through the real system in this process, and scores what the runs' logs say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx2

from runtime.bootstrap.system import System, in_process
from runtime.client import HeadraceClient
from runtime.config import Settings
from runtime.events.codec import decode
from runtime.events.envelope import Envelope
from runtime.events.fold import RunState, fold_all
from tests.evaluation.questions import Question
from tests.evaluation.score import Score, score

HEARTBEAT_S = 5.0


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its run."""

    question: Question
    score: Score
    state: RunState
    log: tuple[Envelope, ...]


Told = Callable[[Asked], None]


async def evaluate(
    settings: Settings,
    questions: Sequence[Question],
    folder: Path,
    *,
    at_once: int,
    told: Told = lambda asked: None,
    budget_usd: float | None = None,
) -> list[Asked]:
    """Ask all ``questions`` about ``folder``, ``at_once`` of them together; ``told`` hears of each that ends."""
    places = asyncio.Semaphore(at_once)
    async with in_process(settings) as system:
        transport = httpx2.ASGITransport(app=system.app)
        async with HeadraceClient("http://127.0.0.1:8000", transport=transport) as client:

            async def one(question: Question) -> Asked:
                async with places:
                    asked = await _ask(system, client, question, folder, budget_usd)
                told(asked)
                return asked

            return await asyncio.gather(*map(one, questions))


async def _ask(
    system: System, client: HeadraceClient, question: Question, folder: Path, budget_usd: float | None
) -> Asked:
    run = await client.create(question.ask, documents=str(folder), budget_usd=budget_usd)
    follow = system.door.follow(run["run_id"], after=0, idle_s=HEARTBEAT_S)
    log = tuple([decode(stored) async for batch in follow for stored in batch or ()])
    state = fold_all(list(log))
    return Asked(question, score(question, state, folder), state, log)
