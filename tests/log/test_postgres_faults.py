"""The log in PostgreSQL under fire: killed, restarted, frozen, silenced, raced. Nothing is lost, doubled or stuck."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import asyncpg
import pytest

from runtime.clock import ManualClock
from runtime.errors import Conflict, StoreUnavailable
from runtime.events.envelope import Money, Record, Stored
from runtime.log.log import Run, Write
from runtime.log.postgres import PostgresLog, PostgresReader
from runtime.log.postgres_settings import SESSION
from tests.fakes.postgres import PostgresServer, fresh_database
from tests.log.sqlite_samples import DELTA, new, write


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """One that these tests may kill."""
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


@pytest.fixture
async def log(server: PostgresServer) -> AsyncIterator[PostgresLog]:
    async with opened(await server.acreate_database()) as log:
        yield log


@asynccontextmanager
async def opened(url: str, clock: ManualClock | None = None) -> AsyncIterator[PostgresLog]:
    log = PostgresLog(url, clock)
    await log.open()
    try:
        yield log
    finally:
        await log.close()


def url_of(log: PostgresLog) -> str:
    return log._url


@asynccontextmanager
async def holding_the_run(url: str, settings: dict[str, str]) -> AsyncIterator[asyncpg.Connection]:
    """A client that has locked the run's row and does nothing more."""
    db = await asyncpg.connect(url, server_settings=settings)
    await db.execute("BEGIN")
    await db.execute("SELECT FROM runs WHERE run_id = 'r1' FOR UPDATE")
    try:
        yield db
    finally:
        db.terminate()


async def waiting_backends(db: asyncpg.Connection, count: int = 1) -> list[int]:
    """The pids of the backends that wait for a lock, once there are so many."""
    query = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    async with asyncio.timeout(5):
        while len(pids := [row[0] for row in await db.fetch(query)]) < count:
            await db.execute("SELECT pg_stat_clear_snapshot()")
            await asyncio.sleep(0.01)
    return pids


async def until_committed(log: PostgresLog, one: Write) -> str:
    """Repeat a write as the sequencer and its publisher do: the same number, the place the log has come to."""
    while True:
        try:
            run = await log.get(one.run_id)
            assert run is not None
            (answer,) = await log.append([replace(one, expected_seq=run.last_seq)])
        except StoreUnavailable:
            await asyncio.sleep(0.05)
            continue
        if answer.outcome != "conflict":
            return answer.outcome


# --- killed ----------------------------------------------------------------------------------------------------------


async def test_backend_killed_in_mid_append_leaves_it_undone_and_a_repeat_is_written_once(
    log: PostgresLog,
) -> None:
    await log.create(new())
    async with holding_the_run(url_of(log), SESSION) as holder:
        appending = asyncio.ensure_future(log.append([write(1, 1)]))
        os.kill((await waiting_backends(holder))[0], signal.SIGKILL)
        with pytest.raises(StoreUnavailable):
            await appending
    async with asyncio.timeout(10):
        assert await until_committed(log, write(1, 1)) == "committed"
        assert await until_committed(log, write(1, 1)) == "repeated"
    assert [event.seq for event in await log.read("r1", after=0)] == [1, 2]


@pytest.mark.parametrize("money", [None, Money(0, 1)], ids=["text", "money"])
async def test_crashes_under_a_stream_of_appends_lose_and_double_nothing(
    server: PostgresServer, log: PostgresLog, money: Money | None
) -> None:
    runs = [f"r{n}" for n in range(4)]
    for run_id in runs:
        await log.create(new(run_id))
    told: dict[str, int] = dict.fromkeys(runs, 0)
    stopped = False

    async def stream(run_id: str) -> None:
        while not stopped:
            number = told[run_id] + 1
            record = Record("turn.delta", "token", "s", b"%d" % number, money)
            one = Write(run_id, None, number, "p", number, (record,))
            assert await until_committed(log, one) in ("committed", "repeated")
            told[run_id] = number

    streams = asyncio.gather(*[stream(run_id) for run_id in runs])
    for _ in range(3):
        before = sum(told.values())
        async with asyncio.timeout(20):
            while sum(told.values()) < before + 40:
                await asyncio.sleep(0.01)
        await asyncio.to_thread(server.restart, "immediate")
    stopped = True
    async with asyncio.timeout(20):
        await streams
    for run_id in runs:
        bodies = [event.body for event in await events(log, run_id)]
        assert bodies[1:] == [b"%d" % number for number in range(1, told[run_id] + 1)]
    run = await log.get(runs[0])
    assert run is not None
    assert await log.spent("t", run.day) == (0, sum(told.values()) if money else 0)


async def events(log: PostgresLog, run_id: str) -> list[Stored]:
    found: list[Stored] = []
    while page := await log.read(run_id, after=len(found)):
        found += page
    return found


async def test_log_is_back_within_seconds_of_the_server(server: PostgresServer, log: PostgresLog) -> None:
    await log.create(new())
    reader = PostgresReader(url_of(log))
    await reader.get("r1")
    server.stop("immediate")
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            await log.append([write(1, 1)])
        with pytest.raises(StoreUnavailable):
            await reader.get("r1")
    server.start()
    began = time.monotonic()
    assert await until_committed(log, write(1, 1)) == "committed"
    assert time.monotonic() - began < 3
    assert await reader.get("r1") == await log.get("r1")
    await reader.close()


async def test_too_many_connections_are_an_outage_that_passes(server: PostgresServer, log: PostgresLog) -> None:
    await server.aexecute("CREATE ROLE few LOGIN CONNECTION LIMIT 0")
    reader = PostgresReader(url_of(log).replace("tests@", "few@"))
    with pytest.raises(StoreUnavailable, match="too many connections"):
        await reader.get("r1")
    await reader.close()


# --- frozen, silenced ------------------------------------------------------------------------------------------------


async def test_frozen_client_holds_a_run_no_longer_than_its_session_may_idle(log: PostgresLog) -> None:
    await log.create(new())
    began = time.monotonic()
    async with holding_the_run(url_of(log), SESSION) as frozen:
        with pytest.raises(StoreUnavailable):
            await log.append([write(1, 1)])
        assert 1.5 < time.monotonic() - began < 4
        assert await until_committed(log, write(1, 1)) == "committed"
        assert 4 < time.monotonic() - began < 8
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)):
            await frozen.execute("UPDATE runs SET epoch = 9; COMMIT")


class Wire:
    """A proxy before the server that can fall silent, for connections old and new."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._silent = False
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def silence(self, silent: bool) -> None:
        """What is said while it is silent is lost, and so are connections that were open then."""
        self._silent = silent
        if not silent:
            for writer in self._writers:
                writer.close()

    async def stop(self) -> None:
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)
        for writer in self._writers:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._port)
        self._writers += [writer, back]
        for source, target in ((reader, back), (there, writer)):
            pump = asyncio.create_task(self._pump(source, target))
            self._pumps.add(pump)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if not self._silent:
                    target.write(data)
            target.close()


async def test_silent_network_ends_every_call_and_heals(server: PostgresServer) -> None:
    wire = Wire(server.port)
    database = (await server.acreate_database()).rpartition("/")[2]
    url = f"postgresql://tests@127.0.0.1:{await wire.start()}/{database}"
    async with opened(url) as log:
        await log.create(new())
        await asyncio.gather(*[log.get("r1") for _ in range(3)])
        wire.silence(True)
        began = time.monotonic()
        calls = [log.append([write(1, 1)]), log.get("r1"), log.renew("e", ttl_s=10.0), log.recent(tenant_id="t")]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(answer) for answer in answers] == [StoreUnavailable] * 4
        with pytest.raises(StoreUnavailable):
            await log.get("r1")
        assert time.monotonic() - began < 16
        wire.silence(False)
        assert await until_committed(log, write(1, 1)) == "committed"
        wire.silence(True)
        began = time.monotonic()
    assert time.monotonic() - began < 11  # closing does not wait for it either
    await wire.stop()


async def test_lost_reply_is_told_as_a_repeat(server: PostgresServer) -> None:
    wire = Wire(server.port)
    database = (await server.acreate_database()).rpartition("/")[2]
    url = f"postgresql://tests@127.0.0.1:{await wire.start()}/{database}"
    async with opened(url) as log, opened(server.url_of(database)) as other:
        await log.create(new())
        async with holding_the_run(server.url_of(database), SESSION) as holder:
            appending = asyncio.ensure_future(log.append([write(1, 1)]))
            await waiting_backends(holder)
            wire.silence(True)
        while await other.publisher_seq("r1", "p") == 0:
            await asyncio.sleep(0.01)
        with pytest.raises(StoreUnavailable):
            await appending
        wire.silence(False)
        assert await until_committed(log, write(1, 1)) == "repeated"
        assert [event.seq for event in await log.read("r1", after=0)] == [1, 2]
    await wire.stop()


async def test_append_whose_caller_was_cancelled_is_still_written_whole(log: PostgresLog) -> None:
    await log.create(new())
    for number in range(1, 6):
        appending = asyncio.ensure_future(log.append([write(2 * number - 1, number, DELTA, DELTA)]))
        await asyncio.sleep(0)
        appending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await appending
        async with asyncio.timeout(10):
            while await log.publisher_seq("r1", "p") < number:
                await asyncio.sleep(0.01)
    assert len(await log.read("r1", after=1)) == 10


# --- raced -----------------------------------------------------------------------------------------------------------


async def test_two_hubs_write_one_log_each_record_once_and_in_its_publishers_order() -> None:
    url = await fresh_database()
    runs = ["r1", "r2", "r3"]
    async with opened(url) as one, opened(url) as two:
        for run_id in runs:
            await one.create(new(run_id))

        async def hub(log: PostgresLog, publisher: str, seed: int) -> None:
            chance = random.Random(seed)
            for number in range(1, 16):
                pending = [
                    Write(run_id, None, 0, publisher, number, (Record("turn.delta", "token", None, b"%d" % number),))
                    for run_id in chance.sample(runs, 3)
                ]
                while pending:
                    found = [await log.get(item.run_id) for item in pending]
                    asked = [
                        replace(item, expected_seq=run.last_seq)
                        for item, run in zip(pending, found, strict=True)
                        if run
                    ]
                    answers = await log.append(asked)
                    assert {answer.outcome for answer in answers} <= {"committed", "conflict"}
                    pending = [w for w, a in zip(pending, answers, strict=True) if a.outcome == "conflict"]

        hubs = [(one, "a"), (two, "b"), (one, "c"), (two, "d")]
        await asyncio.gather(*[hub(log, name, seed) for seed, (log, name) in enumerate(hubs)])
        for run_id in runs:
            found = await one.read(run_id, after=1)
            assert [event.seq for event in found] == list(range(2, 62))
            assert sorted(int(event.body) for event in found) == sorted([*range(1, 16)] * 4)


async def test_two_hubs_do_not_both_spend_the_last_of_a_day() -> None:
    url = await fresh_database()
    async with opened(url) as one, opened(url) as two:
        runs = [f"r{n}" for n in range(24)]
        for run_id in runs:
            await one.create(new(run_id, day_budget=1000))
        paid = Record("stage.completed", "status", None, b"{}", Money(100, 0))
        asked = [
            log.append([Write(run_id, None, 1, "p", 1, (paid,))])
            for run_id, log in zip(runs, [one, two] * 12, strict=True)
        ]
        outcomes = [answer.outcome for (answer,) in await asyncio.gather(*asked)]
        run = await one.get("r0")
        assert run is not None
        assert (outcomes.count("committed"), outcomes.count("over_budget")) == (10, 14)
        assert await two.spent("t", run.day) == (1000, 0)


async def test_each_run_is_claimed_by_one_executor_whoever_asks() -> None:
    url, clock = await fresh_database(), ManualClock()
    async with opened(url, clock) as one, opened(url, clock) as two:
        for n in range(40):
            await one.create(new(f"r{n}"))
        clock.advance(2.0)
        for log, executor in ((one, "e1"), (two, "e2")):
            await log.renew(executor, ttl_s=60.0)
        asked = [log.claim(None, executor=name, limit=4) for log, name in [(one, "e1"), (two, "e2")] * 6]
        claimed: list[Run] = [run for runs in await asyncio.gather(*asked) for run in runs]
        assert len({run.run_id for run in claimed}) == len(claimed) > 30
        assert {run.epoch for run in claimed} == {1}


async def test_claim_that_waited_for_another_claim_finds_the_run_taken() -> None:
    async with opened(await fresh_database()) as log:
        await log.create(new())
        for executor in ("e1", "e2"):
            await log.renew(executor, ttl_s=60.0)
        async with holding_the_run(url_of(log), SESSION) as holder:
            claims = [asyncio.ensure_future(log.claim("r1", executor=name)) for name in ("e1", "e2")]
            await waiting_backends(holder, 2)
            await holder.execute("COMMIT")
            both = await asyncio.gather(*claims)
        assert sorted(len(runs) for runs in both) == [0, 1]
        assert [(run.epoch, run.takeovers) for runs in both for run in runs] == [(1, 0)]


async def test_parallel_creations_with_one_key_make_one_run() -> None:
    url = await fresh_database()
    async with opened(url) as one, opened(url) as two:
        asked = [
            log.create(new(f"r{n}", idempotency_key="k", idempotency_hash="h")) for n, log in enumerate([one, two] * 12)
        ]
        made = await asyncio.gather(*asked)
        assert [created.existing for created in made].count(False) == 1
        assert len({created.run.run_id for created in made}) == 1
        assert len(await one.recent(tenant_id="t")) == 1


@pytest.mark.parametrize("first", ["create", "delete"])
async def test_a_run_and_the_deletion_of_its_conversation_never_both_come_through(first: str) -> None:
    """Both want the conversation's row; whoever waits for it sees what the other did."""
    async with opened(await fresh_database()) as log:
        for n in range(20):
            await log.create(new(f"{n}a", conversation_id=f"c{n}"))
            await log.append([Write(f"{n}a", None, 1, "p", 1, (Record("run.failed", "error", None, b"{}"),))])
            work = [log.create(new(f"{n}b", conversation_id=f"c{n}")), log.delete_conversation("t", f"c{n}")]
            made = await asyncio.gather(*(work if first == "create" else reversed(work)), return_exceptions=True)
            (refused,) = [error for error in made if isinstance(error, Conflict)]
            found = await log.conversation("t", f"c{n}")
            if refused.reason == "conversation_busy":
                assert found is not None
                assert found.runs == 2
            else:
                assert refused.reason == "conversation_deleted"
                assert (found, await log.get(f"{n}b"), await log.runs_of("t", f"c{n}")) == (None, None, [])


async def test_parallel_creations_in_one_conversation_make_one_run() -> None:
    async with opened(await fresh_database()) as log:
        asked = [log.create(new(f"r{n}", conversation_id="c")) for n in range(12)]
        made = await asyncio.gather(*asked, return_exceptions=True)
        refused = [error for error in made if isinstance(error, Conflict)]
        assert [error.reason for error in refused] == ["conversation_busy"] * 11
