"""A bench for agents: hub, log and publisher for real, the model from a script."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from runtime.clock import ManualClock
from runtime.log.hub import Hub
from runtime.log.memory import MemoryLog
from runtime.log.publisher import Publisher
from tests.agents.bench import Bench


@pytest.fixture
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    """A publisher that flushes at once; as an indirect parameter, the seconds it holds back what nobody waits for."""
    clock = ManualClock()
    hub = Hub(MemoryLog(clock), clock)
    await hub.start()
    publisher = Publisher("test", hub, clock, interval_s=getattr(request, "param", 0.0))
    await publisher.start()
    made = Bench(clock, hub, publisher)
    await made.begin()
    yield made
    await publisher.stop()
    await hub.stop()
