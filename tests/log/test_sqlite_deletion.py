"""What was deleted is gone from the disk, not only from the tables."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from runtime.clock import ManualClock
from runtime.errors import StoreUnavailable
from runtime.events.envelope import Record
from runtime.log import sqlite_file
from runtime.log.log import Write
from runtime.log.sqlite import SqliteLog
from tests.log.sqlite_samples import new

CANARY = b"canary-4f2a"


def on_disk(path: Path) -> int:
    """How often the canary stands in the file and what SQLite keeps beside it."""
    return sum(file.read_bytes().count(CANARY) for file in path.parent.iterdir())


async def a_conversation(log: SqliteLog, *, events: int = 120) -> None:
    """Two conversations whose events lie on the same pages, some longer than one; only ``gone`` has the canary."""
    for name, word in (("gone", CANARY), ("kept", b"kept")):
        accepted = Record("run.accepted", "status", None, word)
        question = f"{word.decode()}?"
        await log.create(
            new(name, conversation_id=name, question=question, records=(accepted,), idempotency_key=word.decode())
        )
    for n in range(events):
        writes = []
        for name, word in (("gone", CANARY), ("kept", b"kept")):
            body = b"{" + word * (1 + (n * 37) % 900) + b"}"
            kind = "run.failed" if n == events - 1 else "turn.completed"
            titled = Record("title.set", "object", None, b'{"data":{"title":"%s"}}' % word)
            records = (*([titled] if n == 0 else []), Record(kind, "object", None, body))
            writes.append(Write(name, None, 1 + n + (n > 0), word.decode(), n + 1, records))
        assert [answer.outcome for answer in await log.append(writes)] == ["committed"] * 2


async def test_a_deleted_conversation_leaves_no_word_in_file_and_wal(log: SqliteLog, path: Path) -> None:
    await a_conversation(log)
    assert on_disk(path) > 1000
    await log.delete_conversation("t", "gone")
    assert on_disk(path) == 0
    assert await log.size("kept") > 10_000
    await log.close()
    assert on_disk(path) == 0


async def test_without_secure_deletion_words_would_stay(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    off = [(name, "OFF", 0) if name == "secure_delete" else (name, *rest) for name, *rest in sqlite_file.PRAGMAS]
    monkeypatch.setattr(sqlite_file, "PRAGMAS", off)
    log = SqliteLog(path, ManualClock())
    await log.open()
    await a_conversation(log)
    await log.delete_conversation("t", "gone")
    await log.close()
    assert on_disk(path) > 0


async def test_a_deletion_that_a_reader_holds_up_is_said_and_ends_with_the_next(
    log: SqliteLog, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await a_conversation(log, events=3)
    await log.create(new("r3", conversation_id="c3"))
    await log.append([Write("r3", None, 1, "p", 1, (Record("run.failed", "error", None, b"{}"),))])
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM events").fetchall()
    await log.delete_conversation("t", "gone")
    assert "a reader held up the end of a deletion" in caplog.text
    assert on_disk(path) > 0
    reader.execute("COMMIT")
    reader.close()
    await log.delete_conversation("t", "c3")
    assert on_disk(path) == 0


async def test_a_deletion_cut_off_in_the_middle_is_ended_by_its_repetition(
    log: SqliteLog, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await log.create(new("r1", conversation_id="c"))
    await log.append([Write("r1", None, 1, "p", 1, (Record("run.failed", "error", None, CANARY),))])

    def dies(_db: sqlite3.Connection, _run_id: str) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr("runtime.log.sqlite_writer.delete_run", dies)
        with pytest.raises(StoreUnavailable):
            await log.delete_conversation("t", "c")
    assert await log.conversation("t", "c") is None
    assert await log.delete_conversation("t", "c") == ("r1",)
    assert on_disk(path) == 0
