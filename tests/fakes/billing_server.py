"""A Messages API server with a till of its own: what it would bill for each call, also for those cut short.

Input is billed once the answer begins, at as many tokens as the answer's usage says; output by the event sent. Refusals
(429, 529) are free. ``weather`` is how much of what is asked goes wrong just now.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections import defaultdict
from dataclasses import dataclass, field

from tests.fakes import messages_assistant as assistant
from tests.fakes import messages_wire as wire
from tests.fakes.messages_faults import FAULTS
from tests.fakes.messages_server import Call, Connection, MessagesServer

_RUN = re.compile(r"Why (\w+)\?")


@dataclass(frozen=True)
class Weather:
    """Chances of each call to be refused, or to be cut off in the middle."""

    refused: float = 0.0
    cut: float = 0.0


CALM, STORM, HURRICANE = Weather(), Weather(refused=0.35, cut=0.15), Weather(refused=0.95, cut=0.05)


@dataclass
class Till:
    """Counts of one run: tokens, calls, and how many of them did not end well."""

    input: int = 0
    output: int = 0
    calls: int = 0
    refused: int = 0
    cut: int = 0


@dataclass
class BillingServer(MessagesServer):
    """The server; ``tills`` is by run, taken from the question ``Why RUN?``."""

    seed: int = 0
    tills: dict[str, Till] = field(default_factory=lambda: defaultdict(Till))
    weather: Weather = CALM
    dense: float = 0.2
    """Chance that a request has a token a byte; others have one for four."""

    def __post_init__(self) -> None:
        super().__init__()
        self.chance = random.Random(self.seed)

    async def _answer(self, connection: Connection, call: Call) -> None:
        found = _RUN.search(assistant.question(call.body))
        till = self.tills[found[1] if found else "?"]
        till.calls += 1
        if self.chance.random() < self.weather.refused:
            till.refused += 1
            await FAULTS[self.chance.choice(["429-ms", "529"])](connection)
            return
        await self._bill(connection, call, till, cut=self.chance.random() < self.weather.cut)

    async def _bill(self, connection: Connection, call: Call, till: Till, *, cut: bool) -> None:
        size = len(json.dumps(call.body, ensure_ascii=False).encode())
        tokens = size if self.chance.random() < self.dense else size // 4
        content, stop_reason = assistant.answer(call.body)
        ends_at = self.chance.randrange(len(content)) if cut else len(content)
        till.input += tokens
        till.cut += 1  # until it has ended well
        await connection.stream()
        await connection.events(wire.start(call.model, tokens))
        for number, event in enumerate(content):
            if number == ends_at:
                connection.reset()
                return
            if number % 8 == 7:
                await asyncio.sleep(0.004)
            till.output += 1
            await connection.events(event)
        till.cut -= 1
        await connection.events(*wire.finish(stop_reason, len(content)))
        await connection.end()
