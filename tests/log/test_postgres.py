"""What only the log in PostgreSQL promises: it trusts no unsafe server, makes its own tables, and keeps its own time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, suppress
from dataclasses import replace

import asyncpg
import pytest
from alembic.script import ScriptDirectory

from runtime.bootstrap.store import build_log, build_reader
from runtime.clock import SystemClock
from runtime.config import Settings
from runtime.errors import ConfigurationError, StoreUnavailable
from runtime.log import postgres_schema
from runtime.log.postgres import PostgresLog, PostgresReader
from runtime.log.postgres_hints import PAYLOAD_BYTES, PostgresHints, PostgresNotifier, payloads
from runtime.log.postgres_schema import MIGRATIONS, SCHEMA_VERSION, ensure_schema, migrate
from tests.fakes.postgres import PostgresServer, fresh_database, shared_server
from tests.log.sqlite_samples import DELTA, new, write


@pytest.fixture
async def url() -> str:
    return await fresh_database()


@pytest.fixture
async def log(url: str) -> AsyncIterator[PostgresLog]:
    log = PostgresLog(url)
    await log.open()
    yield log
    await log.close()


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """One whose settings may be changed."""
    server = PostgresServer()
    server.start()
    yield server
    server.remove()


async def refusal(url: str) -> str:
    log = PostgresLog(url)
    with pytest.raises(ConfigurationError) as refused:
        await log.open()
    with pytest.raises(StoreUnavailable):
        await log.get("r1")
    return refused.value.message


# --- the server ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "synchronous_commit"])
async def test_server_that_may_forget_is_refused_with_the_setting_and_the_remedy(
    own_server: PostgresServer, name: str
) -> None:
    own_server.restart("fast", **{name: "off"})
    try:
        message = await refusal(own_server.url)
    finally:
        own_server.restart("fast", **{name: "on"})
    assert f"{name}=off" in message
    assert f"{name} = on" in message
    log = PostgresLog(own_server.url)
    await log.open()
    await log.close()


async def test_setting_made_unsafe_under_a_running_log_makes_it_unavailable(own_server: PostgresServer) -> None:
    log = PostgresLog(await own_server.acreate_database())
    await log.open()
    await log.create(new())
    own_server.restart("immediate", fsync="off")
    try:
        with pytest.raises(StoreUnavailable):  # its connection is gone
            await log.append([write(1, 1)])
        with pytest.raises(StoreUnavailable, match="fsync=off"):
            await log.append([write(1, 1)])
    finally:
        own_server.restart("fast", fsync="on")
    with suppress(StoreUnavailable):
        await log.get("r1")
    assert (await log.append([write(1, 1)]))[0].outcome == "committed"
    await log.close()


async def test_role_that_was_set_to_forget_is_refused_too(own_server: PostgresServer) -> None:
    await own_server.aexecute("CREATE ROLE careless LOGIN", "ALTER ROLE careless SET synchronous_commit = off")
    assert "synchronous_commit=off" in await refusal(own_server.url_of("postgres", "careless"))


async def test_read_only_server_is_refused(own_server: PostgresServer) -> None:
    own_server.restart("fast", default_transaction_read_only="on")
    try:
        message = await refusal(own_server.url)
    finally:
        own_server.restart("fast", default_transaction_read_only="off")
    assert "takes no writes" in message


async def test_what_is_wrong_with_the_address_is_said_and_the_password_is_not(own_server: PostgresServer) -> None:
    assert own_server.folder is not None
    rules = own_server.folder / "data" / "pg_hba.conf"
    rules.write_text(f"host all locked 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
    await own_server.aexecute("CREATE ROLE locked LOGIN PASSWORD 'right'", "SELECT pg_reload_conf()")
    host = f"127.0.0.1:{own_server.port}"
    for address, said in (
        (f"postgresql://locked:hunter2@{host}/postgres", "password authentication failed"),
        (f"postgresql://nobody-there@{host}/postgres", 'role "nobody-there" does not exist'),
        (f"postgresql://tests@{host}/nothing", 'database "nothing" does not exist'),
        (f"postgresql://tests@{host}:x/postgres", "HEADRACE_LOG"),
    ):
        message = await refusal(address)
        assert said in message
        assert "hunter2" not in message


async def test_server_that_is_not_there_is_unavailable_not_misconfigured() -> None:
    log = PostgresLog("postgresql://tests:hunter2@127.0.0.1:1/postgres")
    with pytest.raises(StoreUnavailable) as refused:
        await log.open()
    assert "127.0.0.1:1/postgres" in refused.value.message
    assert "hunter2" not in refused.value.message


async def test_missing_checksums_are_told_and_suffered(caplog: pytest.LogCaptureFixture, log: PostgresLog) -> None:
    assert "checksums" not in caplog.text
    bare = PostgresServer(checksums=False)
    bare.start()
    try:
        with caplog.at_level(logging.WARNING, logger="headrace.postgres"):
            second = PostgresLog(bare.url)
            await second.open()
            await second.close()
    finally:
        bare.remove()
    assert "data checksums" in caplog.text


# --- its tables ------------------------------------------------------------------------------------------------------


async def test_empty_database_gets_its_tables_once_whoever_opens_it() -> None:
    url = await shared_server().acreate_database()
    logs = [PostgresLog(url) for _ in range(4)]
    await asyncio.gather(*[log.open() for log in logs])
    await logs[0].create(new())
    assert await logs[1].get("r1") is not None
    await asyncio.gather(*[log.close() for log in logs])


async def test_migration_says_what_it_did() -> None:
    url = await shared_server().acreate_database()
    assert "from nothing to version 0003" in await asyncio.to_thread(migrate, url)
    assert "already" in await asyncio.to_thread(migrate, url)


async def test_conversations_of_the_first_version_are_there_after_the_upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    url = await shared_server().acreate_database()
    with monkeypatch.context() as then:
        then.setattr(postgres_schema, "SCHEMA_VERSION", "0001")
        await asyncio.to_thread(migrate, url)
    insert = (
        "INSERT INTO headrace.runs (run_id, tenant_id, conversation_id, question, status, epoch, last_seq, created_at,"
        " deadline_at, cancel_requested, on_disconnect, grace_s, takeovers) VALUES"
        " ('r{n}', 't', {conversation}, '{n}?', 'failed', 1, 1, {n}, 60, false, 'continue', 30, 0)"
    )
    rows = [insert.format(n=n, conversation=c) for n, c in ((1, "'c'"), (2, "NULL"), (3, "'c'"))]
    await shared_server().aexecute("; ".join(rows), database=url.rpartition("/")[2])
    log = PostgresLog(url)
    await log.open()
    (found,) = await log.conversations(tenant_id="t")
    assert (found.conversation_id, found.title, found.question, found.runs) == ("c", None, "1?", 2)
    assert (found.created_at, found.updated_at) == (1.0, 3.0)
    await log.close()


def test_version_we_ask_for_is_the_newest_migration() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_heads() == [SCHEMA_VERSION]


@pytest.mark.parametrize("version", ["0004", "of something else"])
async def test_tables_of_a_newer_headrace_are_refused_and_left_alone(url: str, version: str) -> None:
    name = url.rpartition("/")[2]
    await shared_server().aexecute(f"UPDATE headrace.schema_version SET version_num = '{version}'", database=name)
    message = await refusal(url)
    assert f"version {version}" in message
    assert "headrace migrate" in message
    with pytest.raises(ConfigurationError):
        await ensure_schema(url)


@pytest.fixture
async def plain_role(url: str) -> str:
    """The url for a role that may connect and do nothing else."""
    role = f"plain_{url.rpartition('/')[2]}"
    await shared_server().aexecute(f"CREATE ROLE {role} LOGIN")
    return shared_server().url_of(url.rpartition("/")[2], role)


async def test_role_that_may_not_make_tables_is_sent_to_headrace_migrate(plain_role: str) -> None:
    empty = await shared_server().acreate_database()
    role = plain_role.partition("//")[2].partition("@")[0]
    message = await refusal(shared_server().url_of(empty.rpartition("/")[2], role))
    assert "headrace migrate" in message
    assert "has no tables yet" in message


async def test_role_needs_rights_on_every_table_and_no_more(plain_role: str) -> None:
    database, role = plain_role.rpartition("/")[2], plain_role.partition("//")[2].partition("@")[0]
    rights = "GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO " + role
    assert "USAGE on schema headrace" in await refusal(plain_role)
    await shared_server().aexecute(
        f"GRANT USAGE ON SCHEMA headrace TO {role}", rights.format("ALL TABLES IN SCHEMA headrace"),
        f"REVOKE UPDATE ON headrace.ledger FROM {role}", database=database,
    )  # fmt: skip
    assert "may not use the tables ledger" in await refusal(plain_role)
    await shared_server().aexecute(rights.format("headrace.ledger"), database=database)
    log = PostgresLog(plain_role)
    await log.open()
    await log.create(new())
    assert (await log.append([write(1, 1)]))[0].outcome == "committed"
    await log.close()


# --- its time --------------------------------------------------------------------------------------------------------


async def test_leases_and_times_are_of_the_servers_clock(log: PostgresLog) -> None:
    before = time.time()
    run = (await log.create(new())).run
    assert before - 1 < run.created_at < time.time() + 1
    assert run.deadline_at == run.created_at + 60.0
    assert await log.get("r1") == run
    assert (await log.renew("e1", ttl_s=0.3)).alive
    assert (await log.renew("e2", ttl_s=60.0)).alive
    (first,) = await log.claim("r1", executor="e1")
    await log.append([replace(write(first.last_seq, 1), epoch=first.epoch)])
    assert await log.claim("r1", executor="e2") == []
    async with asyncio.timeout(5):
        while not (taken := await log.claim("r1", executor="e2")):
            await asyncio.sleep(0.02)
    assert (taken[0].epoch, taken[0].takeovers) == (2, 1)
    assert not (await log.renew("e1", ttl_s=10.0)).alive


# --- readers ---------------------------------------------------------------------------------------------------------


async def test_reader_sees_what_is_committed_and_connects_when_asked(log: PostgresLog, url: str) -> None:
    reader = PostgresReader(url)
    assert await reader.get("r1") is None
    await log.create(new())
    await log.append([write(1, 1, DELTA, DELTA)])
    assert await reader.get("r1") == await log.get("r1")
    assert await reader.recent(tenant_id="t") == await log.recent(tenant_id="t")
    assert await reader.read("r1", after=1) == await log.read("r1", after=1)
    assert await reader.read("r1", after=0, deltas=False) == await log.read("r1", after=0, limit=1)
    await reader.close()
    await reader.close()
    assert len(await reader.read("r1", after=0)) == 3
    await reader.close()


async def test_reader_of_a_database_without_tables_is_unavailable() -> None:
    reader = PostgresReader(await shared_server().acreate_database())
    with pytest.raises(StoreUnavailable):
        await reader.get("r1")
    await reader.close()


async def test_settings_choose_the_store(url: str) -> None:
    settings = Settings(log=url)
    log = build_log(settings, SystemClock())
    await log.open()
    await log.create(new())
    reader = build_reader(settings, None)  # type: ignore[arg-type]
    assert await reader.get("r1") is not None
    await reader.close()  # type: ignore[attr-defined]
    await log.close()


async def test_text_that_cannot_be_stored_is_no_outage(log: PostgresLog) -> None:
    with pytest.raises(asyncpg.DataError):
        await log.create(new(question="a\0b"))
    assert await log.get("r1") is None


# --- hints -----------------------------------------------------------------------------------------------------------


async def test_listener_hears_of_committed_appends_and_survives_a_lost_connection(url: str) -> None:
    log = PostgresLog(url, notifier=PostgresNotifier(url))
    await log.open()
    for run_id in ("r1", "r2"):
        await log.create(new(run_id))
    heard: asyncio.Queue[set[str]] = asyncio.Queue()
    listening = asyncio.create_task(listen(url, heard))
    async with asyncio.timeout(20):
        assert await heard.get() == set()
        refused = replace(write(9, 1), run_id="r2")
        await log.append([write(1, 1), refused])
        assert await heard.get() == {"r1"}
        await shared_server().aexecute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            f" WHERE application_name = 'headrace-hints' AND datname = '{url.rpartition('/')[2]}'"
        )
        assert await heard.get() == set()
        number = 2
        while heard.empty():  # the notifier needs a moment for its new connection too
            await log.append([write(number, number)])
            number += 1
            await asyncio.sleep(0.05)
        assert await heard.get() == {"r1"}
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await log.close()


async def listen(url: str, heard: asyncio.Queue[set[str]]) -> None:
    async with aclosing(PostgresHints(url).hints()) as hints:
        async for runs in hints:
            heard.put_nowait(runs)


def test_payloads_stay_below_the_limit_and_lose_no_run() -> None:
    runs = [f"run_{n:026d}" for n in range(1000)]
    texts = payloads(runs)
    assert [run_id for text in texts for run_id in text.split()] == runs
    assert all(len(text.encode()) <= PAYLOAD_BYTES for text in texts)
    assert len(texts) == 4
