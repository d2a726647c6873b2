"""A facade over a fake engine on real HTTP, and the real SDK pointed at it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import anthropic
import pytest

from runtime.llm.local.address import LocalAddress
from runtime.llm.local.engine import Emit, End, Job, Prefill, Token
from runtime.llm.local.server import LocalServer


@dataclass
class FakeEngine:
    """Says what it is told to; with ``gate`` it says its first token and then waits before each further one."""

    tokens: list[str] = field(default_factory=lambda: ["Hel", "lo"])
    reason: str = "stop"
    failure: Exception | None = None
    gate: threading.Event | None = None
    jobs: list[Job] = field(default_factory=list)
    started: threading.Event = field(default_factory=threading.Event)
    stopped: threading.Event = field(default_factory=threading.Event)

    def generate(self, job: Job, emit: Emit) -> None:
        self.jobs.append(job)
        if self.failure is not None:
            raise self.failure
        pieces = [Prefill(0, 7), Prefill(7, 7), *map(Token, self.tokens)]
        for number, piece in enumerate([*pieces, End(self.reason, 7, len(self.tokens))]):  # type: ignore[arg-type]
            if not emit(piece):
                self.stopped.set()
                return
            if number == 2:
                self.started.set()
            while number >= 2 and self.gate is not None and not self.gate.wait(0.01):
                if not emit(Token(".")):
                    self.stopped.set()
                    return

    def close(self) -> None: ...


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def address(engine: FakeEngine, request: pytest.FixtureRequest) -> AsyncIterator[LocalAddress]:
    load: Callable[[Path, int], FakeEngine] = lambda gguf, n_ctx: engine
    server = LocalServer(Path("fake.gguf"), guided=getattr(request, "param", False), load=load)
    yield await server.start()
    if engine.gate is not None:
        engine.gate.set()
    await server.stop()


@pytest.fixture
async def sdk(address: LocalAddress) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=address.base_url, api_key=address.api_key, max_retries=0) as client:
        yield client
