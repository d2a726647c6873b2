"""The stream hub: single writer of its runs, and the one place from which doors are fed.

Three rooms make it up, and it adds only what joins them. The sequencer decides and commits; the feeds carry what was
committed to the doors; presence knows who reads, and cancels what nobody reads. A commit goes to the feeds and, when it
ends the run, stops the run's grace; a run that comes into memory may have readers elsewhere; the last reader's leaving
lets memory forget an ended run. Nothing here is kept that is not in the log: a new hub loads it back run by run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Protocol

from runtime import failpoints
from runtime.clock import Clock
from runtime.errors import Conflict, HeadraceError, InternalError, NotFound
from runtime.events.catalog import RunCancelRequested
from runtime.events.codec import encode
from runtime.events.envelope import Draft, Record, Stored
from runtime.log.census import Census
from runtime.log.credentials import Credentials, Key
from runtime.log.feed import Feeds
from runtime.log.head import Head
from runtime.log.log import Conversation, Created, Lease, Log, NewRun, Run
from runtime.log.presence import Presence
from runtime.log.sequencer import Sequencer
from runtime.log.wire import Append, Appended, CancelledBy, FeedItem
from runtime.telemetry import Counts


class Store(Log, Credentials, Protocol):
    """What a hub writes to."""


class Hub:
    """See the module. ``start`` before use, ``stop`` after."""

    def __init__(self, log: Store, clock: Clock) -> None:
        self._store = log
        self._clock = clock
        self._door_seq = 0
        self.counts = Counts()
        self._feeds = Feeds()
        self._sequencer = Sequencer(
            log, self.counts, watchers=self._feeds.watchers, on_loaded=self._loaded, on_committed=self._committed
        )
        self._presence = Presence(self._feeds, clock, self.counts, unread=self._sequencer.unread, cancel=self.cancel)
        self._committer: asyncio.Task[None] | None = None
        # The same objects as in the rooms: for the statistics, and for tests that kill a hub.
        self._heads, self._pending = self._sequencer.heads, self._sequencer.pending
        self._timers = self._presence.timers

    async def start(self) -> None:
        """Open the log and begin to commit."""
        await self._store.open()
        self._sequencer.accept()
        self._committer = asyncio.create_task(self._sequencer.commit_forever(), name="hub-committer")

    async def stop(self) -> None:
        """Commit what has gathered, then let go of the log."""
        self._presence.stop()
        if self._committer is not None:
            await self._sequencer.drain()
            self._committer.cancel()
            await asyncio.gather(self._committer, return_exceptions=True)
        self._feeds.close()
        await self._store.close()

    # --- what joins the rooms ----------------------------------------------------------------------------------------

    def _loaded(self, run_id: str) -> None:
        self._presence.inherit(run_id)

    def _committed(self, run_id: str, head: Head, events: tuple[Stored, ...]) -> None:
        self._feeds.publish(run_id, head.last_seq, events)
        if head.ended or head.status == "waiting":
            self._presence.forget_timer(run_id)

    # --- writing -----------------------------------------------------------------------------------------------------

    async def append(self, batch: Sequence[Append]) -> list[Appended]:
        """Commit a batch of appends; returns when each is durable or refused."""
        return list(await asyncio.gather(*[self._sequencer.submit(item) for item in batch]))

    async def create(self, new: NewRun) -> Created:
        """Commit a new run."""
        created = await self._store.create(new)
        failpoints.hit("accept.committed")
        if not created.existing:
            self._sequencer.remember(created.run)
            self._presence.expect(new.run_id)
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
        if after is None:  # it has ended and been deleted meanwhile
            raise NotFound("there is no such run any more")
        return after

    async def _append_cancel(self, run: Run, by: CancelledBy) -> None:
        record = encode(Draft(RunCancelRequested(by=by)), run.run_id, self._clock.now())
        self._door_seq += 1
        append = Append(run.run_id, f"door-{id(self)}-{self._door_seq}", 1, run.epoch, (record,))
        outcome = (await self._sequencer.submit(append, cancel=True)).outcome
        if outcome == "ended":
            raise Conflict("the run has just ended", "run_finished")
        if outcome != "committed":
            raise InternalError(f"the cancel request was refused: {outcome}")

    async def delete_conversation(self, tenant_id: str, conversation_id: str) -> tuple[str, ...]:
        """Delete its runs with all their text; see the log's."""
        run_ids = await self._store.delete_conversation(tenant_id, conversation_id)
        for run_id in run_ids:
            self._sequencer.forget(run_id)
        self.counts.add("conversations_deleted")
        return run_ids

    async def say(self, run_id: str, name: str, record: Record) -> bool:
        """Commit what a person says, once for each ``name``. Raises NotFound, Conflict."""
        run = await self._store.get(run_id)
        if run is None:
            raise NotFound("there is no such run")
        append = Append(run_id, f"said-{name}", 1, run.epoch, (record,))
        outcome = (await self._sequencer.submit(append, said=True)).outcome
        if outcome == "ended":
            raise Conflict("the run has ended", "run_finished")
        if outcome not in ("committed", "repeated"):
            raise InternalError(f"what was said was refused: {outcome}")
        return outcome == "committed"

    # --- ownership ---------------------------------------------------------------------------------------------------

    async def claim(self, run_id: str | None, *, executor: str) -> list[Run]:
        """Make ``executor`` the owner; see the log's ``claim``."""
        claimed = await self._store.claim(run_id, executor=executor)
        for run in claimed:
            self._sequencer.claimed(run)
            self._presence.inherit(run.run_id)  # one that waited had no grace: it begins now
        return claimed

    async def renew(self, executor: str, *, ttl_s: float) -> Lease:
        """Extend an executor's lease."""
        return await self._store.renew(executor, ttl_s=ttl_s)

    async def owned(self, executor: str) -> list[Run]:
        """The unfinished runs that are this executor's."""
        return await self._store.owned(executor)

    async def release(self, executor: str, *, lost: bool = False) -> None:
        """End an executor's lease now; ``lost``: someone else says that it is dead."""
        await self._store.release(executor, lost=lost)

    # --- readers -----------------------------------------------------------------------------------------------------

    async def watch(self, door: str, run_ids: Sequence[str]) -> dict[str, int]:
        """Feed these runs to ``door``. Watching comes before the head is read, so nothing falls between."""
        heads: dict[str, int] = {}
        for run_id in run_ids:
            self._presence.watch(door, run_id)
            try:
                run = await self._store.get(run_id)
                if run is not None and not run.terminal:
                    await self._sequencer.load([run_id])
            except HeadraceError:  # not watched, says the door: a watcher nobody stands for would keep the run going
                self._presence.unwatch(door, run_id)
                raise
            heads[run_id] = run.last_seq if run is not None else 0
        return heads

    async def unwatch(self, door: str, run_ids: Sequence[str]) -> None:
        """The door has no reader of these runs any more; the last one to leave starts the run's grace."""
        for run_id in run_ids:
            self._presence.unwatch(door, run_id)

    def feed(self, door: str) -> AsyncGenerator[list[FeedItem], None]:
        """The door's one feed; when it is lost, its runs count as left, with at least 30 s of grace."""
        return self._presence.feed(door)

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

    async def heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        """The last sequence numbers of those runs that exist."""
        return await self._store.heads(run_ids)

    async def census(self, *, tenant_id: str | None, since: float, limit: int) -> Census:
        """What is under way and what is new; None: of all tenants."""
        return await self._store.census(tenant_id=tenant_id, since=since, limit=limit)

    async def conversations(self, *, tenant_id: str, limit: int = 50, before: int | None = None) -> list[Conversation]:
        """Those with the newest runs first."""
        return await self._store.conversations(tenant_id=tenant_id, limit=limit, before=before)

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        """The conversation, or None."""
        return await self._store.conversation(tenant_id, conversation_id)

    async def runs_of(
        self, tenant_id: str, conversation_id: str, *, limit: int = 50, before: str | None = None
    ) -> list[Run]:
        """The conversation's newest runs first."""
        return await self._store.runs_of(tenant_id, conversation_id, limit=limit, before=before)

    # --- keys --------------------------------------------------------------------------------------------------------

    async def key(self, key_id: str) -> Key | None:
        """The key, whether it is live or not."""
        return await self._store.key(key_id)

    async def keys(self, *, tenant_id: str | None, limit: int = 200) -> list[Key]:
        """A tenant's keys, or everybody's; the newest first."""
        return await self._store.keys(tenant_id=tenant_id, limit=limit)

    async def add_key(self, key: Key) -> None:
        """Keep it. Raises Conflict."""
        await self._store.add_key(key)

    async def revoke_key(self, key_id: str, at: float) -> Key | None:
        """It opens nothing from now on."""
        return await self._store.revoke_key(key_id, at)

    async def expire_key(self, key_id: str, at: float) -> Key | None:
        """It opens nothing from ``at`` on."""
        return await self._store.expire_key(key_id, at)

    def statistics(self) -> dict[str, int]:
        """Counts since the start, and what is held now."""
        return {
            **self.counts.snapshot(),
            "runs_held": len(self._heads),
            "pending": len(self._pending),
            **self._feeds.statistics(),
        }
