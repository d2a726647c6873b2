"""The store's outage is a pause, not a loss (JOURNAL.md P12): crashed, blackholed, its replies dropped, under runs and readers.

The whole system in one process, its PostgreSQL behind a proxy. ``OUTAGES`` (crashes/blackholes/dropped replies, for example
``30/5/20``), ``BLACKHOLE_S`` and ``SEED`` set the size.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from runtime.bootstrap.system import in_process_server
from runtime.config import Settings
from runtime.events.envelope import Stored
from runtime.log.postgres import PostgresReader
from runtime.log.postgres_schema import migrate
from tests.checker import violations
from tests.fakes.chaos_proxy import ChaosProxy
from tests.fakes.postgres import PostgresServer
from tests.faults.report import record
from tests.history import History
from tests.recorders import Recorder

SEED = int(os.environ.get("SEED", random.randrange(2**32)))
CRASHES, BLACKHOLES, DROPPED = map(int, os.environ.get("OUTAGES", "10/1/5").split("/"))
BLACKHOLE_S = float(os.environ.get("BLACKHOLE_S", "15"))
HISTORIES = Path(os.environ.get("HEADRACE_HISTORIES", "/tmp/headrace-histories"))

AT_ONCE = 4
READERS = 2
ENDED_WITHIN_S = 30.0
SIGN_OF_LIFE_S = 15.0 + 1.0
"""DESIGN.md 7, and a second for a machine with other work."""

SCRIPT = """
rate = 60
[[turn]]
agent = "titler"
output = { title = "{topic}" }
[[turn]]
agent = "guardrail"
output = { allowed = true, category = "none", reason = "fine" }
[[turn]]
agent = "planner"
[turn.output]
todos = [
  { id = "find", title = "Find", agent = "research", depends_on = [] },
  { id = "weigh", title = "Weigh", agent = "analysis", depends_on = [] },
  { id = "write", title = "Write", agent = "writing", depends_on = ["find", "weigh"] },
]
[[turn]]
text = "words of {agent} about {task}, one after the other. "
repeat = 25
"""


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One that these tests may kill."""
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


class Client(Recorder):
    """A reader that also notes when anything came, comments too."""

    def __init__(self, port: int, run_id: str, name: str) -> None:
        super().__init__(port, run_id, name)
        self.blocks: list[tuple[float, bool]] = []
        """When each came, and whether it said that the store is away; of the connection that is open."""
        self.silences_s: list[float] = []
        self.told = 0

    async def _connection(self, segment):  # type: ignore[no-untyped-def]
        self.blocks = []
        return await super()._connection(segment)

    def heard(self, block: bytes) -> None:
        now, away = time.monotonic(), block.startswith(b": store-unavailable")
        if self.blocks:
            self.silences_s.append(now - self.blocks[-1][0])
        self.blocks.append((now, away))
        self.told += away


@dataclass
class House:
    """A system behind a store that can be taken away."""

    url: str
    server: PostgresServer
    proxy: ChaosProxy
    store: str
    """The database itself, past the proxy."""
    client: httpx2.AsyncClient
    seed: int
    counts: Counter[str] = field(default_factory=Counter)
    runs: dict[str, str] = field(default_factory=dict)
    """Idempotency key -> run."""
    readers: list[Client] = field(default_factory=list)
    down_since: float | None = None

    async def post(self, key: str, *, until_taken: bool = True) -> httpx2.Response:
        body = {"input": f"Why {key}?", "on_disconnect": "continue"}
        while True:
            answer = await self.client.post(f"{self.url}/v1/runs", json=body, headers={"Idempotency-Key": key})
            if answer.status_code == 202:
                self.runs[key] = answer.json()["run_id"]
                return answer
            assert answer.status_code == 503, answer.text
            assert int(answer.headers["retry-after"]) >= 1
            self.counts["POST answered 503"] += 1
            if not until_taken:
                return answer
            await asyncio.sleep(0.5)

    async def play(self, key: str) -> None:
        """One run, from its creation to its end, with its readers."""
        await self.post(key)
        run_id = self.runs[key]
        port = urlsplit(self.url).port
        assert port is not None
        readers = [Client(port, run_id, f"{key}-{n}") for n in range(READERS)]
        self.readers += readers
        await asyncio.gather(*(reader.follow() for reader in readers))

    async def doors_say_so(self, key: str) -> None:
        """What the door answers while the store is away."""
        run_id = next(reversed(self.runs.values()))
        posted, cancelled, ready, alive, resumed = await asyncio.gather(
            self.post(key, until_taken=False),
            self.client.post(f"{self.url}/v1/runs/{run_id}/cancel"),
            self.client.get(f"{self.url}/readyz"),
            self.client.get(f"{self.url}/healthz"),
            self.client.get(f"{self.url}/v1/runs/{run_id}/events", headers={"Last-Event-ID": "1"}),
        )
        assert posted.status_code == 503, posted.text
        assert (cancelled.status_code, cancelled.json()["code"]) == (503, "store_unavailable"), cancelled.text
        assert int(cancelled.headers["retry-after"]) >= 1
        assert (ready.status_code, alive.status_code) == (503, 200)
        assert resumed.status_code == 200
        assert "retry: 5000" in resumed.text
        assert "\nid: " not in resumed.text
        self.counts["asked while away"] += 1

    # --- faults ------------------------------------------------------------------------------------------------------

    async def crash(self, down_s: float, key: str) -> None:
        """As ``pg_ctl -m immediate``, and started again after so long."""
        back = asyncio.get_running_loop().time() + down_s
        await asyncio.to_thread(self.server.stop, "immediate")
        if down_s > 4.0:
            await self.doors_say_so(key)
        await asyncio.sleep(max(0.0, back - asyncio.get_running_loop().time()))
        await asyncio.to_thread(self.server.start)
        self.counts["crashes"] += 1

    async def blackhole(self, down_s: float, key: str) -> None:
        """The network swallows everything, both ways."""
        back = asyncio.get_running_loop().time() + down_s
        self.proxy.blackhole = True
        await self.doors_say_so(key)
        left = back - asyncio.get_running_loop().time()
        assert left > 0, "the answers took longer than the outage"
        await asyncio.sleep(left)
        self.proxy.blackhole = False
        self.proxy.reset_all()
        self.counts["blackholes"] += 1

    async def drop(self, marker: bytes) -> None:
        """The next append that fits is committed and its answer lost."""
        before = self.proxy.counts["replies lost"]
        self.proxy.lose_reply_to = marker
        async with asyncio.timeout(30):
            while self.proxy.counts["replies lost"] == before:
                await asyncio.sleep(0.01)
        self.counts["replies lost"] += 1

    async def history(self) -> History:
        """Everything in the database: also runs that nobody was told of."""
        history, log = History(self.seed), PostgresReader(self.store)
        for run in await log.recent(tenant_id="default", limit=10_000):
            events: list[Stored] = []
            while page := await log.read(run.run_id, after=len(events)):
                events += page
            history.add_run(run, events)
        await log.close()
        history.segments = [segment for reader in self.readers for segment in reader.segments]
        return history


@asynccontextmanager
async def house(server: PostgresServer, tmp_path: Path, seed: int) -> AsyncIterator[House]:
    store = await server.acreate_database()
    await asyncio.to_thread(migrate, store)
    script = tmp_path / "script.toml"
    script.write_text(SCRIPT)
    async with ChaosProxy("127.0.0.1", server.port) as proxy:
        log = store.replace(f":{server.port}/", f":{proxy.port}/")
        settings = Settings(model="scripted", script=script, log=log, data_dir=tmp_path)
        async with (
            in_process_server(settings) as url,
            httpx2.AsyncClient(timeout=60, trust_env=False) as client,
        ):
            yield House(url, server, proxy, store, client, seed)


@pytest.mark.timeout(60 + CRASHES * 30 + BLACKHOLES * (BLACKHOLE_S + 40) + DROPPED * 15)
async def test_outages_of_the_store_lose_nothing_double_nothing_and_stop_nothing(
    server: PostgresServer, tmp_path: Path
) -> None:
    chance = random.Random(SEED)
    faults = ["crash"] * CRASHES + ["blackhole"] * BLACKHOLES + ["drop"] * DROPPED
    chance.shuffle(faults)
    numbers, over = itertools.count(), asyncio.Event()
    async with house(server, tmp_path, SEED) as system:

        async def work() -> None:
            while not over.is_set():
                await system.play(f"q{next(numbers)}")

        workers = [asyncio.create_task(work()) for _ in range(AT_ONCE)]
        asked_away: list[str] = []
        for number, fault in enumerate(faults):
            await asyncio.sleep(chance.uniform(0.5, 3.0))
            key = f"away{number}"
            match fault:
                case "crash":
                    await system.crash(chance.uniform(0.0, 10.0), key)
                case "blackhole":
                    await system.blackhole(BLACKHOLE_S, key)
                case _:
                    await system.drop(chance.choice([b"turn.delta", b"COMMIT"]))
            if system.counts["asked while away"] > len(asked_away):
                asked_away.append(key)
            _raise_failures(workers)
        healed = time.monotonic()
        over.set()
        await asyncio.gather(*workers)
        ended_s = time.monotonic() - healed
        # what was refused is asked for again, and is one run whether or not the first try had been committed
        await asyncio.gather(*(system.play(key) for key in asked_away))
        ready = await system.client.get(f"{system.url}/readyz")
        history = await system.history()
    _judge(system, history, ended_s)
    assert ready.status_code == 200
    assert {run for run in history.runs} == set(system.runs.values()), "one run for each key, and no other"


def _raise_failures(workers: list[asyncio.Task[None]]) -> None:
    for worker in workers:
        if worker.done():
            worker.result()


def _judge(system: House, history: History, ended_s: float) -> None:
    found = violations(history)
    kept = f"; kept in {history.save(HISTORIES, f'outage-{SEED}')}" if found else ""
    ends = Counter(run.events[-1].type for run in history.runs.values())
    bodies = [event.body for run in history.runs.values() for event in run.events]
    takeovers = sum(event.type == "recovery.resumed" for run in history.runs.values() for event in run.events)
    silence_s = max(max(reader.silences_s, default=0.0) for reader in system.readers)
    told = sum(reader.told for reader in system.readers)
    cut = [s for reader in system.readers for s in reader.segments if s.events and s.end != "whole"]
    counts = {**system.counts, **system.proxy.statistics()}
    print(
        f"seed {SEED}: {counts}, {len(history.runs)} runs {dict(ends)}, {takeovers} takeovers, {told} times told so,"
        f" longest silence {silence_s:.1f} s, all ended {ended_s:.1f} s after the last outage{kept}"
    )
    faults = system.counts["crashes"] + system.counts["blackholes"] + system.counts["replies lost"]
    record(
        promise="P12",
        what=f"store outages: {CRASHES} crashes, {BLACKHOLES} blackholes of {BLACKHOLE_S:g} s, {DROPPED} dropped replies",
        n=faults,
        violations=len(found),
        seed=SEED,
        floor=f"{ends['run.completed']} of {len(history.runs)} runs completed, all within {ended_s:.0f} s of the end",
    )
    assert not found, f"{found[:5]}{kept}"
    assert not any(b'"code":"poison"' in body for body in bodies)
    assert ends["run.completed"] == len(history.runs), ends
    assert faults == CRASHES + BLACKHOLES + DROPPED
    assert ended_s <= ENDED_WITHIN_S
    assert not cut, f"a stream was broken off: {[(s.client, s.run, len(s.events), s.end) for s in cut]}"
    assert told > 0
    assert silence_s <= SIGN_OF_LIFE_S
