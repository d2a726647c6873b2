"""P15: schemathesis over every operation of the description, in all its phases, with all its checks that fit.

``SCHEMATHESIS_CASES=10000`` for the long tier: more rounds with other seeds until there are so many.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.faults.report import record
from tests.hostile.fuzzing import fuzz
from tests.hostile.raw import exchange, request
from tests.hostile.tenants import Tenants, two_tenants


async def fuzzed(tmp_path: Path, cases: int, examples: int, tenants: Tenants, whole: bool = True) -> None:
    """Rounds until there were so many cases, in each as every tenant against the same server; the first failure ends it."""
    seed = int(os.environ.get("SEED", random.randrange(1 << 30)))
    done = 0
    while done < cases:
        async with tenants(tmp_path) as worlds:
            for name, (world, headers) in worlds.items():
                report = await fuzz(world, tmp_path, examples=examples, seed=seed + done, headers=headers, whole=whole)
                assert not report.failed and report.cases, f"as {name}, SEED={seed + done}\n{report.words[-20_000:]}"
                assert (await exchange(world.port, request("GET", "/readyz"))).status == 200
                done += report.cases
    record(promise="P15", what="schemathesis: all operations, phases and checks", n=done, violations=0, seed=seed)


@pytest.mark.timeout(400)
async def test_every_operation_is_as_it_is_described(tmp_path: Path) -> None:
    await fuzzed(tmp_path, cases=1, examples=5, tenants=two_tenants, whole=False)


@pytest.mark.slow
@pytest.mark.timeout(7200)
async def test_every_operation_is_as_it_is_described_at_length(tmp_path: Path) -> None:
    await fuzzed(tmp_path, cases=int(os.environ.get("SCHEMATHESIS_CASES", "10000")), examples=40, tenants=two_tenants)
