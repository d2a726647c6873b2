"""What the write thread does: each public method is one transaction, whole or not at all.

``append`` asks ``decide`` about each write against the rows as they stand inside the transaction, and changes only what
was found good; so a refused write fails alone without a savepoint, and the others share one sync of the disk.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from runtime.errors import InvalidRequest, StoreLocked
from runtime.log.decide import (
    DAY_S,
    HANDOUT_S,
    IDEMPOTENCY_KEPT_S,
    Account,
    Head,
    advance,
    busy,
    created,
    decide,
    head_of,
    moved,
    require_share,
    run_exists,
    title_in,
)
from runtime.log.log import TERMINAL, Created, Lease, NewRun, Run, Write, Written
from runtime.log.reset import Jump
from runtime.log.sqlite_conversations import Place, close, delete_run, enter, require_open, set_titles
from runtime.log.sqlite_file import FileLock, begin, forget, open_for_writing, prepare
from runtime.log.sqlite_reads import RUN, get_run, to_run

T = TypeVar("T")

_UNFINISHED: Final = "status IN ('accepted', 'running', 'waiting')"
"""Word for word as in the partial indexes, or SQLite does not use them."""

_IN_FLIGHT: Final = f"""
    SELECT count(*) FROM runs INDEXED BY runs_unfinished WHERE {_UNFINISHED} AND tenant_id = ? AND status <> 'waiting'"""
_INSERT_RUN: Final = f"INSERT INTO runs ({RUN}) VALUES ({', '.join('?' * len(RUN.split(',')))})"
_INSERT_EVENT: Final = "INSERT INTO events (run_id, seq, epoch, type, family, stage, body) VALUES (?, ?, ?, ?, ?, ?, ?)"
_UPDATE_RUN: Final = "UPDATE runs SET last_seq = ?, cancel_requested = ? WHERE run_id = ?"
_PROGRESSED: Final = "UPDATE runs SET takeovers = 0 WHERE run_id = ?"
_MOVE_MONEY: Final = "UPDATE runs SET reserved = ?, spent = ? WHERE run_id = ?"
_MOVE_DAY: Final = (
    "INSERT INTO ledger (tenant_id, day, reserved, spent) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (tenant_id, day) DO UPDATE SET reserved = excluded.reserved, spent = excluded.spent"
)
_END_RUN: Final = "UPDATE runs SET status = ? WHERE run_id = ?"
"""Apart from the above, because naming ``status`` makes SQLite rewrite the partial indexes too."""
_PARK_RUN: Final = "UPDATE runs SET status = 'waiting', owner = NULL, wake_at = ? WHERE run_id = ?"
_PUBLISHER: Final = "SELECT last_pub_seq FROM publishers WHERE run_id = ? AND publisher = ?"
_SET_PUBLISHER: Final = (
    "INSERT INTO publishers (run_id, publisher, last_pub_seq) VALUES (?, ?, ?)"
    " ON CONFLICT (run_id, publisher) DO UPDATE SET last_pub_seq = excluded.last_pub_seq"
)
_INSERT_KEY: Final = (
    "INSERT INTO idempotency (tenant_id, idempotency_key, run_id, hash, created_at) VALUES (?, ?, ?, ?, ?)"
)
_SET_LEASE: Final = (
    "INSERT INTO executors (executor, lease_expires_at) VALUES (?, ?)"
    " ON CONFLICT (executor) DO UPDATE SET lease_expires_at = excluded.lease_expires_at"
)
_CLAIM: Final = f"""
    UPDATE runs SET
        status = 'running', epoch = epoch + 1, owner = :executor, wake_at = NULL,
        takeovers = takeovers + (status = 'running' AND owner IS NOT NULL AND epoch = (
            SELECT e.epoch FROM events e WHERE e.run_id = runs.run_id AND e.seq = runs.last_seq))
    WHERE n IN (
        SELECT n FROM %s LEFT JOIN executors ON executor = owner
        WHERE {_UNFINISHED} AND (
            (status = 'accepted' AND (:run_id IS NOT NULL OR created_at + :handout_s < :now))
            OR (status = 'running' AND coalesce(lease_expires_at, 0) <= :now)
            OR (status = 'waiting' AND (cancel_requested OR wake_at <= :now)))
        AND %s
        ORDER BY n LIMIT :limit)
    RETURNING {RUN}, n"""
_CLAIM_ONE: Final = _CLAIM % ("runs", "run_id = :run_id")
_CLAIM_ANY: Final = _CLAIM % ("runs INDEXED BY runs_unfinished", ":run_id IS NULL")
"""Asked again and again; left to itself SQLite would walk through all runs there ever were, to get them in order."""
_REVOKED: Final = 0.0


@dataclass(slots=True)
class _Batch:
    """What one ``append`` has looked up so far, and will write at its end."""

    heads: dict[str, Head | None] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    """As they were when the batch began; ``heads`` has what changes."""
    days: dict[tuple[str, int], Account] = field(default_factory=dict)
    moved: dict[tuple[str, int], Account] = field(default_factory=dict)
    moved_runs: set[str] = field(default_factory=set)
    publishers: dict[tuple[str, str], int] = field(default_factory=dict)
    changed_runs: dict[str, Head] = field(default_factory=dict)
    changed_publishers: dict[tuple[str, str], int] = field(default_factory=dict)
    events: list[tuple[str, int, int, str, str, str | None, bytes]] = field(default_factory=list)
    titles: dict[Place, str] = field(default_factory=dict)


class SqliteWriter:
    """The one write connection. Made, used and closed in one thread; ``now`` is always the store's clock."""

    def __init__(self, path: Path, boot_id: str, jump: Jump) -> None:
        """Take the file. Raises ``StoreLocked``, ``ConfigurationError``, ``sqlite3.Error``."""
        prepare(path)
        self._path = path
        self._lock = FileLock(path)
        self._lock.acquire()
        try:
            self.db = open_for_writing(path)
        except BaseException:
            self._lock.release()
            raise
        try:
            self._store_epoch = begin(self.db, boot_id, jump)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the file, the lock last."""
        try:
            self.db.close()
        finally:
            self._lock.release()

    def create(self, new: NewRun, now: float) -> Created:
        """See ``Log.create``."""
        with self._transaction() as db:
            existing = self._named_by_key(new, now)
            if existing is not None:
                return Created(existing, existing=True)
            self._refuse_unless_free(new)
            self._refuse_over_quota(new, now)
            run = created(new, now=now)
            n = db.execute(_INSERT_RUN, astuple(run)).lastrowid
            if new.conversation_id is not None:
                enter(db, new, n, now)
            events = enumerate(new.records, start=1)
            db.executemany(
                _INSERT_EVENT, [(run.run_id, seq, 0, r.type, r.family, r.stage, r.body) for seq, r in events]
            )
            if new.idempotency_key is not None:
                key = (new.tenant_id, new.idempotency_key, run.run_id, new.idempotency_hash, now)
                db.execute(_INSERT_KEY, key)
            return Created(run, existing=False)

    def append(self, writes: Sequence[Write]) -> list[Written]:
        """See ``Log.append``."""
        with self._transaction() as db:
            batch = _Batch()
            answers = [self._judge(batch, write) for write in writes]
            db.executemany(_INSERT_EVENT, batch.events)
            changed = batch.changed_runs.items()
            db.executemany(_UPDATE_RUN, [(head.last_seq, head.cancel_requested, run_id) for run_id, head in changed])
            db.executemany(_END_RUN, [(head.status, run_id) for run_id, head in changed if head.status in TERMINAL])
            db.executemany(_PARK_RUN, [(head.wake_at, run_id) for run_id, head in changed if head.status == "waiting"])
            progressed = [(run_id,) for run_id, head in changed if head.takeovers != batch.runs[run_id].takeovers]
            db.executemany(_PROGRESSED, progressed)
            accounts = [(run_id, head.account) for run_id, head in changed if run_id in batch.moved_runs]
            db.executemany(_MOVE_MONEY, [(account.reserved, account.spent, run_id) for run_id, account in accounts])
            db.executemany(_MOVE_DAY, [(*place, day.reserved, day.spent) for place, day in batch.moved.items()])
            db.executemany(_SET_PUBLISHER, [(*pair, seq) for pair, seq in batch.changed_publishers.items()])
            set_titles(db, batch.titles)
            return answers

    def close_conversation(self, place: Place) -> list[str]:
        """The first step of ``Log.delete_conversation``; gives the runs for the second."""
        with self._transaction() as db:
            return close(db, place)

    def delete_run(self, run_id: str) -> None:
        """The second step of ``Log.delete_conversation``, for each run."""
        with self._transaction() as db:
            delete_run(db, run_id)

    def change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """``work`` as one transaction."""
        with self._transaction() as db:
            return work(db)

    def forget(self) -> None:
        """The last step of ``Log.delete_conversation``."""
        forget(self.db, self._path)

    def publisher_seq(self, run_id: str, publisher: str) -> int:
        """See ``Log.publisher_seq``."""
        rows = self.db.execute(_PUBLISHER, (run_id, publisher)).fetchall()
        return int(rows[0][0]) if rows else 0

    def claim(self, run_id: str | None, executor: str, limit: int, now: float) -> list[Run]:
        """See ``Log.claim``."""
        with self._transaction() as db:
            if (self._lease(executor) or _REVOKED) <= now:
                return []
            names = {"run_id": run_id, "executor": executor, "limit": max(limit, 0), "now": now, "handout_s": HANDOUT_S}
            rows = db.execute(_CLAIM_ANY if run_id is None else _CLAIM_ONE, names).fetchall()
            # RETURNING promises no order.
            return [to_run(row[:-1]) for row in sorted(rows, key=lambda row: int(row[-1]))]

    def renew(self, executor: str, ttl_s: float, now: float) -> Lease:
        """See ``Log.renew``."""
        with self._transaction() as db:
            lease = self._lease(executor)
            if lease is not None and lease <= now:
                db.execute(_SET_LEASE, (executor, _REVOKED))
                return Lease(alive=False)
            db.execute(_SET_LEASE, (executor, now + ttl_s))
            query = f"SELECT run_id FROM runs WHERE owner = ? AND {_UNFINISHED} AND cancel_requested = 1 ORDER BY n"
            rows = db.execute(query, (executor,)).fetchall()
            return Lease(alive=True, cancel_requested=tuple(row[0] for row in rows))

    def owned(self, executor: str) -> list[Run]:
        """See ``Log.owned``."""
        query = f"SELECT {RUN} FROM runs WHERE owner = ? AND {_UNFINISHED} ORDER BY n"
        return [to_run(row) for row in self.db.execute(query, (executor,)).fetchall()]

    def release(self, executor: str, *, lost: bool) -> None:
        """See ``Log.release``."""
        with self._transaction() as db:
            db.execute(_SET_LEASE, (executor, _REVOKED))
            if not lost:
                db.execute(f"UPDATE runs SET owner = NULL WHERE owner = ? AND {_UNFINISHED}", (executor,))

    def spent(self, tenant_id: str, day: int) -> tuple[int, int]:
        """See ``Log.spent``."""
        account = self._day((tenant_id, day))
        return account.reserved, account.spent

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        db = self.db
        db.execute("BEGIN IMMEDIATE")
        try:
            self._refuse_if_replaced()
            yield db
            db.execute("COMMIT")
        except BaseException:
            # After some errors (disk full) SQLite has rolled back already.
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _refuse_if_replaced(self) -> None:
        """The lock file can be deleted by hand; then two processes hold a lock each, and only the later may write."""
        if self.db.execute("SELECT store_epoch FROM store").fetchall() != [(self._store_epoch,)]:
            raise StoreLocked(
                f"another process has opened {self._path} since. Stop this one; never delete the lock file."
            )

    def _judge(self, batch: _Batch, write: Write) -> Written:
        """Answer one write, and note in ``batch`` what it changes."""
        run_id, pair = write.run_id, (write.run_id, write.publisher)
        head = self._head(batch, run_id)
        if pair not in batch.publishers:
            batch.publishers[pair] = self.publisher_seq(*pair)
        day = self._day_of(batch, run_id) if head is not None else Account()
        outcome = decide(head, batch.publishers[pair], write, day)
        if head is None:
            return Written(outcome)
        if outcome != "committed":
            return Written(outcome, last_seq=head.last_seq, epoch=head.epoch)
        first_seq, epoch = head.last_seq + 1, head.epoch
        numbered = enumerate(write.records, start=first_seq)
        batch.events += [(run_id, seq, epoch, r.type, r.family, r.stage, r.body) for seq, r in numbered]
        conversation_id = batch.runs[run_id].conversation_id
        if conversation_id is not None and (title := title_in(write.records)) is not None:
            batch.titles.setdefault((batch.runs[run_id].tenant_id, conversation_id), title)
        if any(money := moved(head, write)):
            batch.moved_runs.add(run_id)
            place = _place(batch.runs[run_id])
            batch.days[place] = batch.moved[place] = day.after(money)
        head = batch.heads[run_id] = batch.changed_runs[run_id] = advance(head, write)
        batch.publishers[pair] = batch.changed_publishers[pair] = write.publisher_seq
        return Written(outcome, first_seq, head.last_seq, epoch)

    def _head(self, batch: _Batch, run_id: str) -> Head | None:
        if run_id not in batch.heads:
            run = get_run(self.db, run_id)
            batch.heads[run_id] = None if run is None else head_of(run)
            if run is not None:
                batch.runs[run_id] = run
        return batch.heads[run_id]

    def _day_of(self, batch: _Batch, run_id: str) -> Account:
        """The run's tenant's day, with the limit that this run was told."""
        run = batch.runs[run_id]
        place = _place(run)
        if place not in batch.days:
            batch.days[place] = self._day(place)
        return batch.days[place]._replace(limit=run.day_budget)

    def _day(self, place: tuple[str, int]) -> Account:
        rows = self.db.execute("SELECT reserved, spent FROM ledger WHERE tenant_id = ? AND day = ?", place).fetchall()
        return Account(None, *rows[0]) if rows else Account()

    def _lease(self, executor: str) -> float | None:
        rows = self.db.execute("SELECT lease_expires_at FROM executors WHERE executor = ?", (executor,)).fetchall()
        return float(rows[0][0]) if rows else None

    def _named_by_key(self, new: NewRun, now: float) -> Run | None:
        """The run that ``new``'s idempotency key names already; raises ``InvalidRequest`` for another body."""
        if new.idempotency_key is None:
            return None
        self.db.execute("DELETE FROM idempotency WHERE created_at <= ?", (now - IDEMPOTENCY_KEPT_S,))
        query = "SELECT run_id, hash FROM idempotency WHERE tenant_id = ? AND idempotency_key = ?"
        rows = self.db.execute(query, (new.tenant_id, new.idempotency_key)).fetchall()
        if not rows:
            return None
        run_id, hash_then = rows[0]
        if hash_then != new.idempotency_hash:
            raise InvalidRequest("this Idempotency-Key was used with another request body")
        return get_run(self.db, run_id)

    def _refuse_unless_free(self, new: NewRun) -> None:
        query = "SELECT 1 FROM runs WHERE run_id = :id UNION ALL SELECT 1 FROM deleted_runs WHERE run_id = :id"
        if self.db.execute(query, {"id": new.run_id}).fetchall():
            raise run_exists(new.run_id)
        if new.conversation_id is None:
            return
        query = f"SELECT 1 FROM runs WHERE tenant_id = ? AND conversation_id = ? AND {_UNFINISHED}"
        if self.db.execute(query, (new.tenant_id, new.conversation_id)).fetchall():
            raise busy()
        require_open(self.db, new)

    def _refuse_over_quota(self, new: NewRun, now: float) -> None:
        in_flight = 0
        if new.most_runs is not None:
            ((in_flight,),) = self.db.execute(_IN_FLIGHT, (new.tenant_id,)).fetchall()
        spent = 0 if new.day_budget is None else self._day((new.tenant_id, int(now // DAY_S))).spent
        require_share(new, in_flight=in_flight, spent=spent, now=now)


def _place(run: Run) -> tuple[str, int]:
    """Where the run's spending is summed up."""
    return run.tenant_id, run.day
