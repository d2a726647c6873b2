"""A bench for agents: hub, log and publisher for real, the model from a script."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.agents.bench import Bench, open_bench


@pytest.fixture
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """A publisher that flushes at once; as an indirect parameter, the seconds it holds back what nobody waits for."""
    async with open_bench(getattr(request, "param", 0.0)) as made:
        yield made
