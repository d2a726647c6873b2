"""P13 on Ray: a key makes one run, also when the door dies between the run's commit and its answer. ``ROUNDS`` sets the size."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.end_to_end.conftest import Served, served
from tests.end_to_end.storm import Failpoints
from tests.faults.report import record

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1800)]

ROUNDS = int(os.environ.get("ROUNDS", "4"))
DUPLICATES = 50
POINT = "accept.replying"
AGAIN_S = 0.3
ANSWERED_WITHIN_S = 90.0


@pytest.fixture(scope="module")
def points(tmp_path_factory: pytest.TempPathFactory) -> Failpoints:
    return Failpoints(tmp_path_factory.mktemp("failpoints"), [POINT])


@pytest.fixture(scope="module")
def system(points: Failpoints, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("creation"), "--model", "scripted", **points.environment) as running:
        yield running


def question(number: int) -> str:
    return f"Is there one run of round {number}?"


def test_a_key_makes_one_run_although_its_door_dies_before_it_has_answered(system: Served, points: Failpoints) -> None:
    asyncio.run(_all_rounds(system, points))


async def _all_rounds(system: Served, points: Failpoints) -> None:
    named: list[set[str]] = []
    refused: Counter[str] = Counter()
    limits = httpx2.Limits(max_connections=DUPLICATES, max_keepalive_connections=0)
    async with httpx2.AsyncClient(base_url=system.url, limits=limits, timeout=30, trust_env=False) as client:
        for number in range(ROUNDS):
            dying = asyncio.create_task(points.fire(POINT))
            await asyncio.sleep(0)  # it is armed now
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                named.append(set(await asyncio.gather(*(_post(client, number, refused) for _ in range(DUPLICATES)))))
            assert await dying, "no door came to the failpoint"
        other = await client.post("/v1/runs", json={"input": "Another?"}, headers={"Idempotency-Key": "round-0"})
        listed = (await client.get("/v1/runs?limit=200")).json()["runs"]
        made = Counter(run["question"] for run in listed)
        print(f"{ROUNDS} rounds of {DUPLICATES}: {len(listed)} runs; answers that were none: {dict(refused)}")
        assert made == Counter(question(n) for n in range(ROUNDS)), "exactly one run of each key"
        assert [{run["run_id"] for run in listed if run["question"] == question(n)} for n in range(ROUNDS)] == named
        await _all_ended(client, {run["run_id"] for run in listed})
    assert refused.total() >= ROUNDS, "a door died in each round, and whoever it had not answered asked again"
    assert other.status_code == 422
    assert "Idempotency-Key" in other.json()["detail"]
    floor = (
        f"{DUPLICATES} duplicates each, {refused.total()} answers lost or refused and asked again; all runs completed"
    )
    what = "rounds of parallel duplicates of a key, the door's replica killed between commit and reply"
    record(promise="P13", what=what, n=ROUNDS, violations=0, floor=floor)


async def _post(client: httpx2.AsyncClient, number: int, refused: Counter[str]) -> str:
    """The run this request was answered with; asked again after a loss or a refusal that may pass, as a client would."""
    headers = {"Idempotency-Key": f"round-{number}"}
    while True:
        try:
            answer = await client.post("/v1/runs", json={"input": question(number)}, headers=headers)
            if answer.status_code in (200, 202):
                return str(answer.json()["run_id"])
            assert answer.status_code in (429, 503), answer.text
            refused[f"{answer.status_code} {answer.text[:60]}"] += 1
        except httpx2.HTTPError as error:
            refused[type(error).__name__] += 1
        await asyncio.sleep(AGAIN_S)


async def _all_ended(client: httpx2.AsyncClient, run_ids: set[str]) -> None:
    """Wait until every run has its answer: the executors find what no door handed to them."""
    end = time.monotonic() + 120
    for run_id in run_ids:
        snapshot: dict[str, Any] = {}
        while snapshot.get("state") != "completed":
            assert time.monotonic() < end, f"{run_id} is {snapshot.get('state')}"
            await asyncio.sleep(AGAIN_S)
            snapshot = (await client.get(f"/v1/runs/{run_id}")).json()
