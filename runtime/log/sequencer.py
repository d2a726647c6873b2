"""The sequencer: gives every event its place in its run, and commits what many publishers send in few transactions.

There is one committer. While its transaction is under way, everything that arrives gathers and forms the next (natural
batching), so the cost of a commit is shared by all runs, and the place each write may expect follows from memory alone.

Memory is a cache of the log, run by run, and may be stale: another hub may have written. It refuses only what is never
taken back (stale epoch, superseded dispatch, cancelled, ended); the log decides the rest in its transaction, so that even
a frozen hub that wakes up cannot write. Where the log contradicts memory, the run's head is dropped and loaded anew: after
a conflict the append goes round again, after a fence it is refused. ``on_committed`` hears of events once they are durable.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from runtime import failpoints
from runtime.errors import HeadraceError, StoreUnavailable
from runtime.events.envelope import Stored
from runtime.log.decide import number, status_after
from runtime.log.head import SAID, Head, fences, head_of, refusal
from runtime.log.log import Log, Run, Write, Written
from runtime.log.wire import Append, Appended, AppendOutcome
from runtime.telemetry import Counts, logger

_log = logger("hub")

DOUBT_S = 0.5
"""Pause before the log is asked what became of a commit it did not answer for."""

MAX_CONFLICTS = 5
"""Reloads of a run's head before an append is given up: each means another hub wrote, which is rare and short."""


@dataclass(slots=True)
class Pending:
    """An append waiting for its commit."""

    append: Append
    done: asyncio.Future[Appended]
    cancel: bool
    """A cancel request. It comes from the door, so no owner's epoch applies to it."""
    said: bool
    """What a person says; it comes from the door too, and wakes a waiting run."""
    conflicts: int = 0


class Sequencer:
    """See the module. ``commit_forever`` runs in a task of whoever owns the sequencer."""

    def __init__(
        self,
        log: Log,
        counts: Counts,
        *,
        watchers: Callable[[str], Collection[str]],
        on_loaded: Callable[[str], None],
        on_committed: Callable[[str, Head, tuple[Stored, ...]], None],
    ) -> None:
        self._store = log
        self._counts = counts
        self._watchers = watchers
        self._on_loaded = on_loaded
        self._on_committed = on_committed
        self._arrived = asyncio.Event()
        self._committing = False
        self._stopped = False
        self._doubtful: set[str] = set()
        self._asking: asyncio.Task[None] | None = None
        self.heads: dict[str, Head] = {}
        self.pending: list[Pending] = []

    def accept(self) -> None:
        """Take appends from now on."""
        self._stopped = False

    async def drain(self) -> None:
        """Wait until all that gathered is settled, then refuse what comes after."""
        while self.pending or self._committing:
            await asyncio.sleep(0.005)
        self._stopped = True

    def submit(self, append: Append, *, cancel: bool = False, said: bool = False) -> asyncio.Future[Appended]:
        """Let an append gather for the next commit; the answer comes when it is durable or refused."""
        if self._stopped:
            raise StoreUnavailable("the hub has stopped")
        pending = Pending(append, asyncio.get_running_loop().create_future(), cancel, said)
        self._gather(pending)
        return pending.done

    def _gather(self, pending: Pending) -> None:
        self.pending.append(pending)
        self._arrived.set()

    # --- heads -------------------------------------------------------------------------------------------------------

    def remember(self, run: Run) -> None:
        """Take in a run just created, as the log has it."""
        self.heads[run.run_id] = head_of(run)

    def claimed(self, run: Run) -> None:
        """Note a run's new owner, if it is in memory; stale is what more than this claim has changed (``reset``)."""
        if (head := self.heads.get(run.run_id)) is not None:
            head.stale |= (run.epoch, run.last_seq) != (head.epoch + 1, head.last_seq)
            head.epoch, head.status = run.epoch, run.status

    async def load(self, run_ids: Iterable[str]) -> None:
        """Bring into memory what is not there, or stale."""
        for run_id in {run_id for run_id in run_ids if (head := self.heads.get(run_id)) is None or head.stale}:
            run = await self._store.get(run_id)
            if run is None:
                continue
            head = head_of(run)
            if not head.ended:
                head.dispatches, head.said = await fences(self._store, run_id)
                head.size = await self._store.size(run_id)
            self.heads[run_id] = head
            if not head.ended:
                self._on_loaded(run_id)

    def unread(self, run_id: str) -> float | None:
        """Nobody reads the run: forget it if it has ended; else give its grace, or None if it goes on unread.

        So does one that waits: it costs nothing, and whoever is to answer need not sit before it.
        """
        head = self.heads.get(run_id)
        if head is None:
            return None
        if head.ended:
            del self.heads[run_id]
            return None
        left = head.on_disconnect == "cancel" and not head.cancel_requested and head.status != "waiting"
        return head.grace_s if left else None

    def forget(self, run_id: str) -> None:
        """The run is in the log no more."""
        self.heads.pop(run_id, None)

    # --- the committer -----------------------------------------------------------------------------------------------

    async def commit_forever(self) -> None:
        """Commit what has gathered, again and again, until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            batch = self.pending.copy()
            self.pending.clear()
            self._committing = True
            try:
                await self._commit(batch)
            except HeadraceError as error:
                _fail(batch, error)
                self._doubt({pending.append.run_id for pending in batch})
            except Exception:  # the committer must outlive any one batch, and a bad append spoil no other
                _log.exception("a batch of %d appends failed; each is tried alone", len(batch))
                await self._commit_each([pending for pending in batch if not pending.done.done()])
            finally:
                self._committing = False

    def _doubt(self, run_ids: set[str]) -> None:
        """The store may have committed what it did not answer for, and whoever sent it may be gone: see for ourselves."""
        self._doubtful |= run_ids
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._tell_doubtful(), name="hub-doubts")

    async def _tell_doubtful(self) -> None:
        """Once the store answers, tell how far the doubtful runs have come; readers take what they missed from the log."""
        while self._doubtful and not self._stopped:
            await asyncio.sleep(DOUBT_S)
            for run_id in list(self._doubtful):
                try:
                    run = await self._store.get(run_id)
                except HeadraceError:
                    break  # still away; the sender has been told, and here it is tried again
                self._doubtful.discard(run_id)
                if run is not None:
                    self._on_committed(run_id, head_of(run), ())

    async def _commit_each(self, batch: list[Pending]) -> None:
        """Find the append that no store can take: those that were committed after all are recognised as repeats."""
        for pending in batch:
            try:
                await self._commit([pending])
            except HeadraceError as error:
                _fail([pending], error)
            except Exception:
                _log.exception("an append to run %r cannot be stored", pending.append.run_id)
                self.heads.pop(pending.append.run_id, None)
                self._refuse(pending, "rejected")

    async def _commit(self, batch: list[Pending]) -> None:
        run_ids = {pending.append.run_id for pending in batch}
        await self.load(run_ids)
        try:
            await self._write([pending for pending in batch if self._passes(pending)])
        finally:
            for run_id in run_ids:
                if not self._watchers(run_id):
                    self.unread(run_id)

    def _passes(self, pending: Pending) -> bool:
        """Settle what memory alone can refuse; the store's fence covers what memory does not know yet."""
        item, head = pending.append, self.heads.get(pending.append.run_id)
        outcome = refusal(head, item, cancel=pending.cancel, door=pending.said)
        if outcome is not None:
            self._refuse(pending, outcome)
        elif head is not None and item.dispatch is not None and not item.worker:
            # at once, not when it is durable: what follows in this very batch may be of the dispatch it ends
            head.dispatches[item.stage] = max(head.dispatches.get(item.stage, 0), item.dispatch)
        return outcome is None

    def _refuse(self, pending: Pending, outcome: AppendOutcome) -> None:
        self._counts.add(f"refused_{outcome}")
        _answer(pending, Appended(outcome))

    async def _write(self, ready: list[Pending]) -> None:
        if not ready:
            return
        # Held here: settling one write may drop its run's head before the next write of that run is settled.
        heads = {pending.append.run_id: self.heads[pending.append.run_id] for pending in ready}
        expected = {run_id: head.last_seq for run_id, head in heads.items()}
        writes = []
        for pending in ready:
            item = pending.append
            epoch = None if pending.cancel or pending.said else item.epoch
            seq = expected[item.run_id]
            expected[item.run_id] += len(item.records)
            writes.append(
                Write(
                    item.run_id,
                    epoch,
                    seq,
                    item.publisher,
                    item.publisher_seq,
                    item.records,
                    pending.cancel,
                    wake=pending.said,
                    wake_at=item.wake_at,
                )
            )
        for pending, written in zip(ready, await self._store.append(writes), strict=True):
            self._settle(pending, heads[pending.append.run_id], written)
        self._counts.add("commits")
        self._counts.add("appends", len(ready))

    def _settle(self, pending: Pending, head: Head, written: Written) -> None:
        match written.outcome:
            case "committed":
                self._committed(pending, head, written)
                _answer(pending, Appended("committed", written.last_seq))
            case "repeated":
                self.heads.pop(pending.append.run_id, None)  # what the first reply would have told is not in memory
                _answer(pending, Appended("repeated" if pending.said else "committed", written.last_seq))
            case "conflict":
                self._again(pending)
            case "cancel_requested":
                _answer(pending, Appended("cancelled", written.last_seq))
            case "over_budget":
                self._counts.add("refused_over_budget")
                _answer(pending, Appended("over_budget", written.last_seq))
            case "fenced" | "ended" | "unknown_run":
                self.heads.pop(pending.append.run_id, None)  # what memory believed was stale: load it anew next time
                _answer(pending, Appended(written.outcome, written.last_seq))

    def _again(self, pending: Pending) -> None:
        pending.conflicts += 1
        self.heads.pop(pending.append.run_id, None)
        self._counts.add("conflicts")
        if pending.conflicts > MAX_CONFLICTS:
            _log.error("run %s kept moving under the hub", pending.append.run_id)
            _answer(pending, Appended("rejected"))  # an answer, not an exception: its batch has other runs in it
            return
        self._gather(pending)

    def _committed(self, pending: Pending, head: Head, written: Written) -> None:
        item = pending.append
        head.last_seq = written.last_seq
        head.epoch = max(head.epoch, written.epoch)
        head.cancel_requested = head.cancel_requested or pending.cancel
        head.status = status_after(head.status, item.records)
        if item.records[-1].type in SAID:
            head.said = written.last_seq
        head.size += sum(len(record.body) for record in item.records)
        events = tuple(number(item.records, first_seq=written.first_seq, epoch=written.epoch))
        self._counts.add("events", len(events))
        if head.ended:
            failpoints.hit("run.ended")
        self._on_committed(item.run_id, head, events)


def _answer(pending: Pending, appended: Appended) -> None:
    if not pending.done.done():  # whoever waited may have gone
        pending.done.set_result(appended)


def _fail(batch: list[Pending], error: HeadraceError) -> None:
    for pending in batch:
        if not pending.done.done():
            pending.done.set_exception(error)
