"""The door's readers: each a cursor over the log that waits on the run's head.

One feed from the hub serves all readers of this process; ``lookout`` finds what it does not bring. A run someone reads has a
tail: its head, and the recent events that came. A reader takes from the tail what it covers, from the log what it does not,
and waits when its cursor has reached the head. It is never "replay, then subscribe": the same loop does both, so nothing
falls between.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Sequence
from contextlib import aclosing
from typing import Literal

from runtime.clock import Clock
from runtime.errors import Busy, NotFound, StoreUnavailable
from runtime.events.envelope import Record, Stored
from runtime.executor.executor import ExecutorPort
from runtime.generator.history import History
from runtime.generator.lookout import Hints, Lookout
from runtime.generator.outage import LONGEST_WAIT_S, READ_AGAIN_S, Outage, Probe, answered
from runtime.generator.recent import Tail, a_batch
from runtime.log.census import Census
from runtime.log.log import TERMINAL_TYPES, Conversation, Created, LogReader, NewRun, Run
from runtime.log.wire import HubPort
from runtime.telemetry import Counts, logger

_log = logger("door")

FEED_SILENCE_S = 6.0
"""A hub that says nothing for this long, not even an empty batch, counts as lost."""

READER_LAG_S = 0.05
"""Pause before the log is read again when it does not show yet what the hub has announced."""

ATTACH_AGAIN_S = 0.5
"""Pause before the hub is told again what is read here, when it could not be told."""

READY_S = 2.0
"""How long the hub may take to answer a readiness check."""


class LogDoor:
    """One process's door to all runs; implements :class:`runtime.generator.door.Door`."""

    def __init__(
        self,
        name: str,
        hub: HubPort,
        reader: LogReader,
        executors: Sequence[ExecutorPort],
        clock: Clock,
        *,
        max_readers_per_run: int,
        hints: Hints | None = None,
    ) -> None:
        """``hints``: of a store that other hubs write to as well; None: what the feed says is all there is."""
        self._name = name
        self._hub = hub
        self._reader = reader
        self._executors = executors
        self._clock = clock
        self._max_readers = max_readers_per_run
        self._streams = 0
        self._tails: dict[str, Tail] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._feed: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._fed = asyncio.Event()
        self._turn = 0
        self._probe = Probe(reader, clock)
        self.counts = Counts()
        self._lookout = Lookout(reader, self._tails, clock, self.counts, hints=hints)

    async def start(self) -> None:
        """Attach to the hub's feed, and stay attached."""
        self._feed = asyncio.create_task(self._feed_forever(), name="door-feed")
        self._looking = asyncio.create_task(self._lookout.look_forever(self._fed), name="door-lookout")

    async def stop(self) -> None:
        """Let go of the feed; readers see no more news."""
        tasks = [*self._background, *(task for task in (self._feed, self._looking) if task is not None)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- runs --------------------------------------------------------------------------------------------------------

    async def create(self, new: NewRun) -> Created:
        """Commit a run and hand it to an executor without waiting for it."""
        created = await self._hub.create(new)
        if not created.existing:
            self._turn += 1
            self._behind(self._hand_out(created.run.run_id, self._turn))
        return created

    async def get(self, run_id: str) -> Run | None:
        return await self._reader.get(run_id)

    async def recent(self, *, tenant_id: str, limit: int) -> list[Run]:
        return await self._reader.recent(tenant_id=tenant_id, limit=limit)

    async def census(self, *, tenant_id: str | None, since: float, limit: int) -> Census:
        return await self._reader.census(tenant_id=tenant_id, since=since, limit=limit)

    async def conversations(self, *, tenant_id: str, limit: int, before: int | None = None) -> list[Conversation]:
        return await self._reader.conversations(tenant_id=tenant_id, limit=limit, before=before)

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        return await self._reader.conversation(tenant_id, conversation_id)

    async def runs_of(
        self, tenant_id: str, conversation_id: str, *, limit: int, before: str | None = None
    ) -> list[Run]:
        return await self._reader.runs_of(tenant_id, conversation_id, limit=limit, before=before)

    async def delete_conversation(self, tenant_id: str, conversation_id: str) -> None:
        await self._hub.delete_conversation(tenant_id, conversation_id)

    async def page(self, run_id: str, *, after: int, limit: int = 512, deltas: bool = True) -> list[Stored]:
        return await self._reader.read(run_id, after=after, limit=limit, deltas=deltas)

    async def cancel(self, run_id: str, by: Literal["user", "disconnect", "shutdown"]) -> Run:
        """Commit a cancel request and tell the executors; the owner also learns of it with its next renewal."""
        run = await self._hub.cancel(run_id, by)
        for executor in self._executors:
            self._behind(self._tell(executor, run_id))
        return run

    async def say(self, run_id: str, name: str, record: Record) -> bool:
        """Commit what a person says, then let its owner look, or somebody claim it; else a scan finds it when it waits."""
        new = await self._hub.say(run_id, name, record)
        self._behind(self._nudge(run_id))
        return new

    async def problems(self) -> dict[str, str]:
        found: dict[str, str] = {}
        try:
            async with asyncio.timeout(READY_S):
                await self._hub.recent(tenant_id="default", limit=1)
        except TimeoutError:
            found["hub"] = f"the stream hub did not answer within {READY_S:g} s"
        except StoreUnavailable as error:
            found["hub"] = f"the stream hub cannot be reached: {error.message}"
        if not self._fed.is_set():
            found["feed"] = "the feed from the stream hub is not attached"
        return found

    def statistics(self) -> dict[str, int]:
        return {"streams": self._streams, "runs_watched": len(self._tails), **self.counts.snapshot()}

    async def _hand_out(self, run_id: str, turn: int) -> None:
        """Ask the executors in turn; when none answers, their own scan finds the run."""
        for i in range(len(self._executors)):
            executor = self._executors[(turn + i) % len(self._executors)]
            try:
                await executor.begin(run_id)
                return
            except StoreUnavailable as error:
                _log.warning("an executor did not take run %s: %s", run_id, error.message)

    async def _tell(self, executor: ExecutorPort, run_id: str) -> None:
        try:
            await executor.cancel(run_id)
        except StoreUnavailable as error:
            _log.warning("an executor could not be told of a cancel: %s", error.message)

    async def _nudge(self, run_id: str) -> None:
        """Until one of the executors has the run: it looks at once, or claims it."""
        for executor in self._executors:
            try:
                if await executor.nudge(run_id):
                    return
            except StoreUnavailable as error:
                _log.warning("an executor could not be told of what was said to run %s: %s", run_id, error.message)

    def _behind(self, work: Coroutine[None, None, None]) -> None:
        """Run ``work`` beside the caller, referenced until it is done, its defects logged."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._done_behind)

    def _done_behind(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("work behind the door failed: %r", error, exc_info=error)

    # --- readers -----------------------------------------------------------------------------------------------------

    async def follow(self, run_id: str, *, after: int, idle_s: float) -> AsyncGenerator[list[Stored] | None, None]:
        """See :class:`runtime.generator.door.Door`."""
        idle_s = min(idle_s, LONGEST_WAIT_S)
        outage = Outage(self._clock, idle_s)
        history = History(self._reader, run_id, after)
        tail = self._join(run_id)
        try:
            await history.begin()
            while not await tail.ready(idle_s):
                yield []
            if await self._over(run_id, after):
                return
            while True:
                try:
                    batch = await self._next(history, run_id, tail, outage.wait_s())
                except StoreUnavailable as error:
                    if outage.to_say(error):
                        yield None
                    await self._clock.sleep(READ_AGAIN_S)
                    continue
                outage.over()
                if batch is not None:
                    yield batch
                if batch and batch[-1].type in TERMINAL_TYPES:
                    return
        finally:
            self._leave(run_id, tail)

    async def _next(self, history: History, run_id: str, tail: Tail, idle_s: float) -> list[Stored] | None:
        """The next events; empty after ``idle_s`` of silence, None when it is worth another look.

        Raises ``StoreUnavailable`` when they cannot be read, or, in a silence, when nothing could be; ``Conflict`` when those
        shown before are no longer in the log.
        """
        batch = a_batch(tail.after(history.cursor))
        if not batch and tail.head > history.cursor:
            batch = a_batch(await answered(self._reader.read(run_id, after=history.cursor, limit=history.page)))
            history.fit(batch)
        if batch:
            await history.show(batch)
            return batch
        if tail.head > history.cursor:  # the log does not show yet what the hub has announced
            await tail.changed(READER_LAG_S)
            if await answered(self._reader.get(run_id)) is None:  # deleted meanwhile: there is nothing to wait for
                raise NotFound("there is no such run any more")
            return None
        if await tail.changed(idle_s):
            return None
        await self._probe.see()
        await tail.verify(history, self._clock.monotonic())
        return []

    def _join(self, run_id: str) -> Tail:
        tail = self._tails.get(run_id)
        if tail is None or tail.failure is not None:
            tail = self._tails[run_id] = Tail()
            self._behind(self._attach(run_id, tail))
        if tail.readers >= self._max_readers:
            raise Busy("this run has all the readers it takes; reconnect after a while", 5.0)
        tail.readers += 1
        self._streams += 1
        return tail

    def _leave(self, run_id: str, tail: Tail) -> None:
        tail.readers -= 1
        self._streams -= 1
        if tail.readers == 0 and self._tails.get(run_id) is tail:
            del self._tails[run_id]
            self._behind(self._detach(run_id))

    async def _attach(self, run_id: str, tail: Tail) -> None:
        try:
            heads = await self._hub.watch(self._name, [run_id])
            tail.advance(heads[run_id])
        except StoreUnavailable as error:
            tail.failure = error
            self._tails.pop(run_id, None)
        finally:
            tail.attached.set()

    async def _detach(self, run_id: str) -> None:
        if run_id in self._tails:
            return  # someone came back meanwhile
        try:
            await self._hub.unwatch(self._name, [run_id])
        except StoreUnavailable as error:
            _log.warning("the hub was not told that run %s has no reader here: %s", run_id, error.message)
        if run_id in self._tails:  # a reader came while the hub was being told: be fed again
            await self._attach(run_id, self._tails[run_id])

    async def _over(self, run_id: str, after: int) -> bool:
        """True when the run has ended and ``after`` is its end. Raises NotFound."""
        run = await answered(self._reader.get(run_id))
        if run is None:
            raise NotFound("there is no such run")
        return run.terminal and after >= run.last_seq

    # --- the feed ----------------------------------------------------------------------------------------------------

    async def _feed_forever(self) -> None:
        pause = 0.1
        while True:
            try:
                await self._take_feed()
                pause = 0.1
            except StoreUnavailable as error:
                _log.warning("the feed was lost (%s); again in %.1f s", error.message, pause)
            except Exception:  # of whatever kind: a door without a feed shows its readers nothing
                _log.exception("the feed failed; again in %.1f s", pause)
            self._fed.clear()
            self.counts.add("feeds_lost")
            await self._clock.sleep(pause)
            pause = min(pause * 2, 2.0)

    async def _take_feed(self) -> None:
        async with aclosing(self._hub.feed(self._name)) as feed:
            while True:
                try:
                    async with asyncio.timeout(FEED_SILENCE_S):
                        batch = await anext(feed)
                except (TimeoutError, StopAsyncIteration):
                    return
                if not self._fed.is_set():
                    self._fed.set()
                    self._behind(self._attach_again())
                for item in batch:
                    if (tail := self._tails.get(item.run_id)) is not None:
                        tail.accept(item)
                        tail.fed_at = self._clock.monotonic()

    async def _attach_again(self) -> None:
        """After a feed began: a new hub knows nothing of what is read here."""
        run_ids = list(self._tails)
        if not run_ids:
            return
        try:
            heads = await self._hub.watch(self._name, run_ids)
        except StoreUnavailable as error:  # without this the readers of a new hub would wait for ever
            _log.warning("the hub was not told what is read here (%s); again soon", error.message)
            await self._clock.sleep(ATTACH_AGAIN_S)
            if self._fed.is_set():
                await self._attach_again()
            return
        for run_id, head in heads.items():
            if (tail := self._tails.get(run_id)) is not None:
                tail.advance(head)
