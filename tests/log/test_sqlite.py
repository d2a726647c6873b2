"""What only the log in a file promises: it outlives its process, it is one process's, and nobody else reads it."""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from runtime.clock import ManualClock
from runtime.errors import ConfigurationError, Conflict, StoreLocked, StoreUnavailable
from runtime.events.envelope import Money, Record
from runtime.log.credentials import Key
from runtime.log.log import Write
from runtime.log.sqlite import SqliteLog, SqliteReader
from runtime.log.sqlite_file import APPLICATION_ID, PRAGMAS, open_for_reading, open_for_writing, prepare
from tests.log.sqlite_samples import DELTA, new, write

# --- it is one process's ---------------------------------------------------------------------------------------------


async def test_second_opener_is_told_who_has_the_log_and_what_to_do(log: SqliteLog, path: Path) -> None:
    second = SqliteLog(path, ManualClock())
    with pytest.raises(StoreLocked) as refused:
        await second.open()
    assert str(path) in refused.value.message
    assert f"pid {os.getpid()}" in refused.value.message
    assert "Stop that Headrace" in refused.value.message
    await log.close()
    await second.open()
    await second.close()


async def test_writer_that_was_replaced_writes_no_more(log: SqliteLog, path: Path) -> None:
    await log.create(new())
    path.with_name("log.db.lock").unlink()
    second = SqliteLog(path, ManualClock())
    await second.open()
    with pytest.raises(StoreLocked):
        await log.append([write(1, 1)])
    assert (await second.append([write(1, 1)]))[0].outcome == "committed"
    await second.close()


async def test_failed_opening_lets_go_of_the_lock(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"no database at all, but long enough to have a header" * 40)
    log = SqliteLog(path, ManualClock())
    with pytest.raises(ConfigurationError, match="damaged or no Headrace log"):
        await log.open()
    path.unlink()
    await log.open()
    await log.close()


async def test_opening_twice_is_opening_once(log: SqliteLog) -> None:
    await log.open()
    assert await log.recent(tenant_id="t") == []


async def test_log_that_was_never_opened_is_unavailable(path: Path) -> None:
    with pytest.raises(StoreUnavailable):
        await SqliteLog(path, ManualClock()).get("r1")
    assert not path.exists()


# --- its file --------------------------------------------------------------------------------------------------------


async def test_only_its_user_may_read_the_files(path: Path) -> None:
    path.parent.mkdir()
    path.touch(mode=0o644)
    log = SqliteLog(path, ManualClock())
    await log.open()
    await log.create(new())
    files = list(path.parent.iterdir())
    assert {file.name for file in files} == {"log.db", "log.db-wal", "log.db-shm", "log.db.lock"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    await log.close()


def test_settings_read_back_as_they_were_set(path: Path) -> None:
    prepare(path)
    db = open_for_writing(path)
    found = {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name, _, _ in PRAGMAS}
    db.close()
    assert found == {name: expected for name, _, expected in PRAGMAS}
    assert (found["journal_mode"], found["synchronous"]) == ("wal", 2)


def test_setting_that_does_not_take_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.log.sqlite_file.PRAGMAS", (("synchronous", "OFF", 2),))
    prepare(path)
    with pytest.raises(ConfigurationError, match="refuses synchronous"):
        open_for_writing(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [("PRAGMA user_version=9", "is of format 9"), ("PRAGMA application_id=7", "of another program")],
)
async def test_file_of_another_kind_is_refused_by_writer_and_reader(path: Path, change: str, words: str) -> None:
    prepare(path)
    open_for_writing(path).close()
    with sqlite3.connect(path) as db:
        db.execute(change)
    db.close()
    with pytest.raises(ConfigurationError, match=words):
        await SqliteLog(path, ManualClock()).open()
    reader = SqliteReader(path)
    with pytest.raises(ConfigurationError, match=words):
        await reader.get("r1")
    await reader.close()


async def test_damaged_log_is_refused(path: Path) -> None:
    prepare(path)
    db = open_for_writing(path)
    db.execute("UPDATE store SET store_epoch = 1")
    db.close()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="damaged"):
        await SqliteLog(path, ManualClock()).open()


async def test_unusable_place_is_a_mistake_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "log.db", tmp_path):
        with pytest.raises(ConfigurationError, match="cannot write to"):
            await SqliteLog(path, ManualClock()).open()


# --- its readers -----------------------------------------------------------------------------------------------------


async def test_reader_finds_nothing_until_there_is_a_log(path: Path) -> None:
    reader = SqliteReader(path)
    assert (await reader.get("r1"), await reader.recent(tenant_id="t"), await reader.read("r1", after=0)) == (
        None,
        [],
        [],
    )
    prepare(path)
    assert await reader.get("r1") is None
    log = SqliteLog(path, ManualClock())
    await log.open()
    run = (await log.create(new())).run
    assert (await reader.get("r1"), await reader.recent(tenant_id="t")) == (run, [run])
    await log.close()
    assert [event.seq for event in await reader.read("r1", after=0)] == [1]
    await reader.close()
    await reader.close()


async def test_reader_opens_a_log_whose_writer_is_gone(log: SqliteLog, path: Path) -> None:
    run = (await log.create(new())).run
    await log.close()
    reader = SqliteReader(path)
    assert await reader.get("r1") == run
    await reader.close()


async def test_reader_sees_only_what_is_committed(log: SqliteLog, path: Path) -> None:
    await log.create(new())
    reader = SqliteReader(path)
    insert = (
        "INSERT INTO events (run_id, seq, epoch, type, family, body) VALUES ('r1', 2, 0, 'turn.delta', 'token', x'')"
    )
    await log._write(lambda writer: writer.db.executescript(f"BEGIN IMMEDIATE; {insert};") and None)
    assert [event.seq for event in await reader.read("r1", after=0)] == [1]
    await log._write(lambda writer: writer.db.execute("ROLLBACK") and None)
    await log.append([write(1, 1)])
    assert [event.seq for event in await reader.read("r1", after=0)] == [1, 2]
    await reader.close()


async def test_reader_page_is_never_longer_than_512_events(log: SqliteLog, path: Path) -> None:
    await log.create(new())
    await log.append([write(1, 1, *[DELTA] * 600)])
    reader = SqliteReader(path)
    assert len(await reader.read("r1", after=0, limit=10_000)) == 512
    await reader.close()


def test_reader_cannot_write(path: Path) -> None:
    prepare(path)
    open_for_writing(path).close()
    db = open_for_reading(path)
    assert db is not None
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        db.execute("DELETE FROM runs")
    db.close()


def test_store_itself_refuses_a_second_terminal_event(path: Path) -> None:
    prepare(path)
    db = open_for_writing(path)
    insert = "INSERT INTO events (run_id, seq, epoch, type, family, body) VALUES ('r1', ?, 0, ?, 'status', x'')"
    db.execute(insert, (1, "run.completed"))
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(insert, (2, "run.cancelled"))
    db.close()


CONVERSATION = "INSERT INTO conversations (tenant_id, conversation_id, created_at, updated_at, place) VALUES ('t1', 'c', 6.0, 7.0, 3);"
"""What the upgrade to format 3 would have made."""


@pytest.mark.parametrize("version", [1, 2, 3])
async def test_log_of_an_older_format_is_upgraded_and_goes_on(path: Path, version: int) -> None:
    prepare(path)
    schema = (Path(__file__).parents[1] / "golden" / f"log_format_{version}.sql").read_text()
    run = "run_id, tenant_id, conversation_id, question, status, epoch, last_seq, owner, created_at, deadline_at,"
    insert = f"INSERT INTO runs (n, {run} cancel_requested, on_disconnect, grace_s, takeovers) VALUES"
    with sqlite3.connect(path) as db:
        db.executescript(schema)
        db.executescript(
            f"INSERT INTO store (only, store_epoch) VALUES (1, 0); PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={version};"
            f"{insert} (1, 'r1', 't1', NULL, 'why?', 'running', 1, 1, 'e0', 5.0, 65.0, 0, 'continue', 30, 0);"
            f"{insert} (2, 'r2', 't1', 'c', 'how?', 'failed', 1, 1, 'e0', 6.0, 66.0, 0, 'continue', 30, 0);"
            f"{insert} (3, 'r3', 't1', 'c', 'who?', 'running', 1, 1, 'e0', 7.0, 67.0, 0, 'continue', 30, 0);"
            f"{'' if version < 3 else CONVERSATION}"
            "INSERT INTO events VALUES ('r1', 1, 0, 'run.accepted', 'status', NULL, x'7b7d');"
        )
    db.close()
    log = SqliteLog(path, ManualClock())
    await log.open()
    await log.renew("e1", ttl_s=10.0)
    (run,) = await log.claim("r1", executor="e1")
    one = Write("r1", run.epoch, 1, "p", 1, (Record("stage.completed", "status", "s", b"{}", Money(500)),))
    (answer,) = await log.append([one])
    assert answer.outcome == "committed"
    assert [event.seq for event in await log.read("r1", after=0)] == [1, 2]
    assert await log.spent("t1", 0) == (500, 0)
    (found,) = await log.conversations(tenant_id="t1")
    assert (found.conversation_id, found.title, found.question, found.runs) == ("c", None, "how?", 2)
    assert (found.created_at, found.updated_at) == (6.0, 7.0)
    with pytest.raises(Conflict):
        await log.create(new("r4", tenant_id="t1", conversation_id="c"))
    key = Key("k1", "t1", "ci", b"h" * 32, ("runs:read",), (), 5.0)
    await log.add_key(key)
    assert await log.keys(tenant_id="t1") == [key]
    await log.close()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_an_upgraded_log_is_like_a_new_one(path: Path, version: int) -> None:
    def made(old: str | None) -> tuple[set[tuple[str, ...]], set[tuple[str, ...]]]:
        path.unlink(missing_ok=True)
        prepare(path)
        if old is not None:
            with sqlite3.connect(path) as db:
                db.executescript(f"{old}; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={version};")
            db.close()
        db = open_for_writing(path)
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'index')")]
        columns = {(name, *map(str, row[1:])) for name in names for row in db.execute(f"PRAGMA table_xinfo({name})")}
        indexes = {(name, *map(str, row)) for name in names for row in db.execute(f"PRAGMA index_xinfo({name})")}
        db.close()
        return columns, indexes

    old = (Path(__file__).parents[1] / "golden" / f"log_format_{version}.sql").read_text()
    assert made(old) == made(None)
