"""The stream hub: single writer and sequencer of its runs, and the one place from which doors are fed.

Publishers send batches of many runs. While one transaction is being committed, everything that arrives gathers and forms
the next (natural batching), so the cost of a commit is shared by all runs. Only after the commit does an event get to a
door. The hub decides what it can decide from memory (stale epoch, superseded dispatch, cancelled, ended); the log decides
the rest in its transaction, so that even a frozen hub that wakes up cannot write. What the hub holds is a cache of the log:
a new hub loads it back run by run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

import orjson

from runtime.clock import Clock
from runtime.errors import Conflict, HeadraceError, InternalError, NotFound, StoreUnavailable
from runtime.events.catalog import RunCancelRequested
from runtime.events.codec import encode
from runtime.events.envelope import Draft, Stored
from runtime.log.feed import Feeds
from runtime.log.log import TERMINAL_TYPES, Created, Lease, Log, NewRun, Run, Status, Write, Written
from runtime.log.wire import Append, Appended, AppendOutcome, CancelledBy, FeedItem
from runtime.telemetry import Counts, logger

_log = logger("hub")

MAX_CONFLICTS = 5
"""Reloads of a run's head before an append is given up: each means another hub wrote, which is rare and short."""

REFUSED_WHEN_CANCELLED = frozenset({"turn.started", "tool.called"})
"""Intents nobody may write once a cancel request stands (JOURNAL.md 1.11, 7)."""

CANCEL_AGAIN_S = 1.0
"""Pause before a run nobody reads is cancelled again, when the store was away."""

LOST_DOOR_GRACE_S = 30.0
"""Least time readers get to come back after their door was lost (JOURNAL.md 1.11, 9)."""


@dataclass(slots=True)
class _Head:
    """What the hub knows of a run: a cache of the log's own row and fences."""

    last_seq: int
    epoch: int
    status: Status
    cancel_requested: bool
    on_disconnect: str
    grace_s: float
    dispatches: dict[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> bool:
        return self.status in ("completed", "failed", "cancelled", "expired")


@dataclass(slots=True)
class _Pending:
    """An append waiting for its commit; ``None`` as epoch comes from the door."""

    append: Append
    done: asyncio.Future[Appended]
    from_door: bool = False
    cancel: bool = False
    conflicts: int = 0


class Hub:
    """See the module. ``start`` before use, ``stop`` after."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self._store = log
        self._clock = clock
        self._heads: dict[str, _Head] = {}
        self._pending: list[_Pending] = []
        self._arrived = asyncio.Event()
        self._feeds = Feeds()
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._committer: asyncio.Task[None] | None = None
        self._committing = False
        self._stopped = False
        self._door_seq = 0
        self.counts = Counts()

    async def start(self) -> None:
        """Open the log and begin to commit."""
        await self._store.open()
        self._stopped = False
        self._committer = asyncio.create_task(self._commit_forever(), name="hub-committer")

    async def stop(self) -> None:
        """Commit what has gathered, then let go of the log."""
        for timer in self._timers.values():
            timer.cancel()
        if self._committer is not None:
            while self._pending or self._committing:
                await asyncio.sleep(0.005)
            self._stopped = True
            self._committer.cancel()
            await asyncio.gather(self._committer, return_exceptions=True)
        self._feeds.close()
        await self._store.close()

    # --- writing -----------------------------------------------------------------------------------------------------

    async def append(self, batch: Sequence[Append]) -> list[Appended]:
        """Commit a batch of appends; returns when each is durable or refused."""
        futures = [self._enqueue(_Pending(item, asyncio.get_running_loop().create_future())) for item in batch]
        return list(await asyncio.gather(*futures))

    async def create(self, new: NewRun) -> Created:
        """Commit a new run."""
        created = await self._store.create(new)
        if not created.existing:
            self._heads[new.run_id] = _head_of(created.run)
            self._left(new.run_id, least_s=LOST_DOOR_GRACE_S)  # a reader who never comes has left
            self.counts.add("runs_created")
        return created

    async def cancel(self, run_id: str, by: CancelledBy) -> Run:
        """Commit a cancel request; a second one changes nothing. Raises NotFound, Conflict."""
        run = await self._store.get(run_id)
        if run is None:
            raise NotFound("there is no such run")
        if run.terminal:
            raise Conflict(f"the run is already {run.status}", "run_finished")
        if not run.cancel_requested:
            await self._append_cancel(run, by)
        after = await self._store.get(run_id)
        assert after is not None  # runs are never removed while they are unfinished
        return after

    async def _append_cancel(self, run: Run, by: CancelledBy) -> None:
        record = encode(Draft(RunCancelRequested(by=by)), run.run_id, self._clock.now())
        self._door_seq += 1
        append = Append(run.run_id, f"door-{id(self)}-{self._door_seq}", 1, run.epoch, (record,))
        pending = _Pending(append, asyncio.get_running_loop().create_future(), from_door=True, cancel=True)
        outcome = (await self._enqueue(pending)).outcome
        if outcome == "ended":
            raise Conflict("the run has just ended", "run_finished")
        if outcome != "committed":
            raise InternalError(f"the cancel request was refused: {outcome}")

    def _enqueue(self, pending: _Pending) -> asyncio.Future[Appended]:
        if self._stopped:
            raise StoreUnavailable("the hub has stopped")
        self._pending.append(pending)
        self._arrived.set()
        return pending.done

    async def _commit_forever(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch, self._pending = self._pending, []
            self._committing = True
            try:
                await self._commit(batch)
            except HeadraceError as error:
                _fail(batch, error)
            except Exception:  # the committer must outlive any one batch, and a bad append spoil no other
                _log.exception("a batch of %d appends failed; each is tried alone", len(batch))
                await self._commit_each([pending for pending in batch if not pending.done.done()])
            finally:
                self._committing = False

    async def _commit_each(self, batch: list[_Pending]) -> None:
        """Find the append that no store can take: those that were committed after all are recognised as repeats."""
        for pending in batch:
            try:
                await self._commit([pending])
            except HeadraceError as error:
                _fail([pending], error)
            except Exception:
                _log.exception("an append to run %r cannot be stored", pending.append.run_id)
                self._heads.pop(pending.append.run_id, None)
                self.counts.add("refused_rejected")
                _answer(pending, Appended("rejected"))

    async def _commit(self, batch: list[_Pending]) -> None:
        run_ids = {p.append.run_id for p in batch}
        await self._load(run_ids - self._heads.keys())
        try:
            await self._write([p for p in batch if not self._refused(p)])
        finally:
            self._forget_ended(run_ids)

    async def _write(self, ready: list[_Pending]) -> None:
        if not ready:
            return
        # Held here: settling one write may drop its run's head before the next write of that run is settled.
        heads = {p.append.run_id: self._heads[p.append.run_id] for p in ready}
        expected = {run_id: head.last_seq for run_id, head in heads.items()}
        writes = []
        for pending in ready:
            item = pending.append
            epoch = None if pending.from_door else item.epoch
            seq = expected[item.run_id]
            expected[item.run_id] += len(item.records)
            writes.append(
                Write(item.run_id, epoch, seq, item.publisher, item.publisher_seq, item.records, pending.cancel)
            )
        for pending, written in zip(ready, await self._store.append(writes), strict=True):
            self._settle(pending, heads[pending.append.run_id], written)
        self.counts.add("commits")
        self.counts.add("appends", len(ready))

    async def _load(self, run_ids: set[str]) -> None:
        for run_id in run_ids:
            run = await self._store.get(run_id)
            if run is None:
                continue
            head = _head_of(run)
            head.dispatches = await self._dispatches(run_id)
            self._heads[run_id] = head
            if not head.ended and run_id not in self._timers:
                self._left(run_id, least_s=LOST_DOOR_GRACE_S)  # a hub before this one may have had readers of it

    async def _dispatches(self, run_id: str) -> dict[str, int]:
        """The highest dispatch of each stage, from the log: what a new hub needs to refuse superseded agents."""
        found: dict[str, int] = {}
        after = 0
        while page := await self._store.read(run_id, after=after, deltas=False):
            for stored in page:
                if stored.type == "stage.dispatched" and stored.stage is not None:
                    number = int(orjson.loads(stored.body)["data"]["dispatch"])
                    found[stored.stage] = max(found.get(stored.stage, 0), number)
            after = page[-1].seq
        return found

    def _refused(self, pending: _Pending) -> bool:
        """Settle what memory alone can refuse; the store's fence covers what memory does not know yet."""
        outcome = self._refusal(pending)
        if outcome is None:
            return False
        _answer(pending, Appended(outcome))
        self.counts.add(f"refused_{outcome}")
        return True

    def _refusal(self, pending: _Pending) -> AppendOutcome | None:
        item = pending.append
        head = self._heads.get(item.run_id)
        if head is None:
            return "unknown_run"
        if head.ended:
            # A repeat of what ended the run must still be answered as committed: the store knows.
            return None if item.records[-1].type in TERMINAL_TYPES else "ended"
        if pending.from_door:
            return None
        if item.epoch < head.epoch:
            return "fenced"
        if item.stage is not None and item.dispatch is not None and item.dispatch < head.dispatches.get(item.stage, 0):
            return "superseded"
        if head.cancel_requested and (item.worker or any(r.type in REFUSED_WHEN_CANCELLED for r in item.records)):
            return "cancelled"
        return None

    def _settle(self, pending: _Pending, head: _Head, written: Written) -> None:
        item = pending.append
        match written.outcome:
            case "committed":
                self._committed(pending, head, written)
                _answer(pending, Appended("committed", written.last_seq))
            case "repeated":
                _answer(pending, Appended("committed", written.last_seq))
            case "conflict":
                self._again(pending)
            case "cancel_requested":
                _answer(pending, Appended("cancelled", written.last_seq))
            case "fenced" | "ended" | "unknown_run":
                self._heads.pop(item.run_id, None)  # what memory believed was stale: load it anew next time
                _answer(pending, Appended(written.outcome, written.last_seq))

    def _again(self, pending: _Pending) -> None:
        pending.conflicts += 1
        self._heads.pop(pending.append.run_id, None)
        self.counts.add("conflicts")
        if pending.conflicts > MAX_CONFLICTS:
            _log.error("run %s kept moving under the hub", pending.append.run_id)
            _answer(pending, Appended("rejected"))  # an answer, not an exception: its batch has other runs in it
            return
        self._enqueue(pending)

    def _committed(self, pending: _Pending, head: _Head, written: Written) -> None:
        item = pending.append
        head.last_seq = written.last_seq
        head.epoch = max(head.epoch, written.epoch)
        head.cancel_requested = head.cancel_requested or pending.cancel
        head.status = TERMINAL_TYPES.get(item.records[-1].type, head.status)
        if item.stage is not None and item.dispatch is not None and not item.worker:
            head.dispatches[item.stage] = max(head.dispatches.get(item.stage, 0), item.dispatch)
        events = tuple(
            Stored(written.first_seq + i, written.epoch, r.type, r.family, r.stage, r.body)
            for i, r in enumerate(item.records)
        )
        self.counts.add("events", len(events))
        self._feeds.publish(item.run_id, head.last_seq, events)
        if head.ended:
            self._forget_timer(item.run_id)

    def _forget_ended(self, run_ids: set[str]) -> None:
        for run_id in run_ids:
            head = self._heads.get(run_id)
            if head is not None and head.ended and not self._feeds.watchers(run_id):
                del self._heads[run_id]

    # --- ownership ---------------------------------------------------------------------------------------------------

    async def claim(self, run_id: str | None, *, executor: str) -> list[Run]:
        """Make ``executor`` the owner; see the log's ``claim``."""
        claimed = await self._store.claim(run_id, executor=executor)
        for run in claimed:
            known = self._heads.get(run.run_id)
            if known is not None:
                known.epoch, known.status = run.epoch, run.status
        return claimed

    async def renew(self, executor: str, *, ttl_s: float) -> Lease:
        """Extend an executor's lease."""
        return await self._store.renew(executor, ttl_s=ttl_s)

    async def release(self, executor: str) -> None:
        """End an executor's lease now."""
        await self._store.release(executor)

    # --- readers -----------------------------------------------------------------------------------------------------

    async def watch(self, door: str, run_ids: Sequence[str]) -> dict[str, int]:
        """Feed these runs to ``door``. Watching comes before the head is read, so nothing falls between."""
        heads: dict[str, int] = {}
        for run_id in run_ids:
            self._feeds.watch(door, run_id)
            self._forget_timer(run_id)
            try:
                run = await self._store.get(run_id)
                if run is not None and run_id not in self._heads and not run.terminal:
                    await self._load({run_id})
            except HeadraceError:  # not watched, says the door: a watcher nobody stands for would keep the run going
                await self.unwatch(door, [run_id])
                raise
            heads[run_id] = run.last_seq if run is not None else 0
        return heads

    async def unwatch(self, door: str, run_ids: Sequence[str]) -> None:
        """The door has no reader of these runs any more; the last one to leave starts the run's grace."""
        for run_id in run_ids:
            self._feeds.unwatch(door, run_id)
            self._left(run_id, least_s=0.0)

    async def feed(self, door: str) -> AsyncGenerator[list[FeedItem], None]:
        """The door's one feed; when it is lost, its runs count as left, with at least 30 s of grace."""
        feed = self._feeds.open(door)
        try:
            async for batch in feed:
                yield batch
        finally:
            for run_id in self._feeds.drop(door, feed):
                self._left(run_id, least_s=LOST_DOOR_GRACE_S)

    def _left(self, run_id: str, least_s: float) -> None:
        if self._feeds.watchers(run_id):
            return
        head = self._heads.get(run_id)
        if head is None:
            return
        if head.ended:
            self._heads.pop(run_id)
        elif head.on_disconnect == "cancel" and not head.cancel_requested:
            self._forget_timer(run_id)
            wait = max(head.grace_s, least_s)
            self._timers[run_id] = asyncio.create_task(self._cancel_after(run_id, wait), name=f"grace-{run_id}")

    async def _cancel_after(self, run_id: str, seconds: float) -> None:
        await self._clock.sleep(seconds)
        while not self._feeds.watchers(run_id):
            try:
                await self.cancel(run_id, "disconnect")
                self.counts.add("cancelled_by_disconnect")
                break
            except (Conflict, NotFound):
                _log.debug("run %s ended before its grace did", run_id)
                break
            except HeadraceError as error:
                _log.warning("run %s, which nobody reads, could not be cancelled yet: %s", run_id, error.message)
                await self._clock.sleep(CANCEL_AGAIN_S)
        if self._timers.get(run_id) is asyncio.current_task():
            del self._timers[run_id]

    def _forget_timer(self, run_id: str) -> None:
        timer = self._timers.pop(run_id, None)
        if timer is not None:
            timer.cancel()

    # --- reading -----------------------------------------------------------------------------------------------------

    async def get(self, run_id: str) -> Run | None:
        """The run as stored."""
        return await self._store.get(run_id)

    async def recent(self, *, tenant_id: str, limit: int = 50) -> list[Run]:
        """The newest runs first."""
        return await self._store.recent(tenant_id=tenant_id, limit=limit)

    async def read(self, run_id: str, *, after: int, limit: int = 512, deltas: bool = True) -> list[Stored]:
        """Committed events after ``after``."""
        return await self._store.read(run_id, after=after, limit=limit, deltas=deltas)

    def statistics(self) -> dict[str, int]:
        """Counts since the start, and what is held now."""
        return {
            **self.counts.snapshot(),
            "runs_held": len(self._heads),
            "pending": len(self._pending),
            **self._feeds.statistics(),
        }


def _head_of(run: Run) -> _Head:
    return _Head(run.last_seq, run.epoch, run.status, run.cancel_requested, run.on_disconnect, run.grace_s)


def _answer(pending: _Pending, appended: Appended) -> None:
    if not pending.done.done():  # whoever waited may have gone
        pending.done.set_result(appended)


def _fail(batch: list[_Pending], error: HeadraceError) -> None:
    for pending in batch:
        if not pending.done.done():
            pending.done.set_exception(error)
