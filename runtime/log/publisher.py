"""The sending end of every process that appends: many lanes, one append in flight.

A lane is one writer of one run (an executor's, or one agent's on one dispatch of a stage). Everything that gathers in all
lanes while an append is under way forms the next. A flush happens at once when nothing is in flight and someone waits for
the commit, or when the last flush is ``interval_s`` ago; else after ``interval_s`` at most. Why: a Ray call costs about a
millisecond whatever it carries, and calls that return fast would keep batches small (RAY.md 10).

When the hub cannot be reached the same batch, with the same numbers, is sent again; the log recognises a repeat.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from runtime.clock import Clock
from runtime.errors import (
    Fenced,
    HeadraceError,
    InputPending,
    InternalError,
    LimitExceeded,
    NotFound,
    RunCancelled,
    RunEnded,
    StoreUnavailable,
    Superseded,
)
from runtime.events.envelope import Record
from runtime.log.wire import Append, Appended, AppendOutcome
from runtime.telemetry import Counts, logger

_log = logger("publisher")

HIGH_WATER_BYTES = 1024 * 1024
"""A lane that holds this much makes its writer wait (JOURNAL.md 1.7: at most 1 MiB of an open model stream per run)."""

GIVE_UP_S = 60.0
"""How long an unreachable hub is waited for before lanes fail (JOURNAL.md 1.7)."""

_REFUSALS: dict[AppendOutcome, Callable[[], HeadraceError]] = {
    "fenced": partial(Fenced, "another owner has taken the run"),
    "superseded": partial(Superseded, "a newer dispatch of this stage exists"),
    "ended": partial(RunEnded, "the run has ended"),
    "cancelled": partial(RunCancelled, "a cancel request stands"),
    "unknown_run": partial(NotFound, "there is no such run"),
    "rejected": partial(InternalError, "the log could not take what was written"),
    "over_budget": partial(LimitExceeded, "the next model call does not fit the budget", "budget_exceeded"),
    "log_limit": partial(LimitExceeded, "the run's log is as long as it may be", "log_limit"),
    "input_pending": partial(InputPending, "somebody has said something that was not considered"),
    "repeated": partial(InternalError, "the log has this already"),
}


class AppendPort(Protocol):
    """The part of the hub a publisher needs."""

    async def append(self, batch: Sequence[Append]) -> list[Appended]: ...


class Lane:
    """One writer of one run. Once refused it stays refused: its writer must stop."""

    def __init__(
        self,
        publisher: Publisher,
        name: str,
        run_id: str,
        epoch: int,
        stage: str | None,
        dispatch: int | None,
        worker: bool,
    ) -> None:
        self._publisher = publisher
        self.name = name
        self.run_id = run_id
        self.epoch = epoch
        self.stage = stage
        self.dispatch = dispatch
        self.worker = worker
        self.failure: HeadraceError | None = None
        self._seq = 0
        self._gathered: list[Record] = []
        self._wake_at: float | None = None
        self._unless_said_after: int | None = None
        self._bytes = 0
        self._waiters: list[asyncio.Future[int]] = []
        self._in_flight: list[asyncio.Future[int]] = []
        self._in_flight_bytes = 0

    async def offer(self, *records: Record) -> None:
        """Hand records over without waiting for their commit; waits only above the high-water mark. Raises the refusal."""
        self._gather(records)
        self._publisher.wake(urgent=False)
        if self._bytes + self._in_flight_bytes > HIGH_WATER_BYTES:
            await self.drain()

    async def commit(self, *records: Record, wake_at: float | None = None, unless_said_after: int | None = None) -> int:
        """Hand records over and wait until they are durable, together; answers the run's last sequence number.

        ``wake_at``, with ``run.waiting`` as the last record: when the run may be claimed again. ``unless_said_after``:
        raises ``InputPending``, and writes nothing, when a person has said something after that event.
        """
        self._gather(records)
        self._wake_at, self._unless_said_after = wake_at, unless_said_after
        waiter: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        self._publisher.wake(urgent=True)
        return await waiter

    async def drain(self) -> None:
        """Wait until everything handed over is durable. Raises the refusal."""
        if self.failure is not None:
            raise self.failure
        if self._gathered:
            await self.commit()
        elif self._in_flight_bytes:
            waiter = asyncio.get_running_loop().create_future()
            self._in_flight.append(waiter)
            await waiter

    def _gather(self, records: tuple[Record, ...]) -> None:
        if self.failure is not None:
            raise self.failure
        self._gathered.extend(records)
        self._bytes += sum(len(record.body) for record in records)

    # --- the publisher's side ----------------------------------------------------------------------------------------

    def take(self) -> Append | None:
        """The next append, or None when nothing has gathered."""
        if not self._gathered:
            for waiter in self._waiters:  # an empty commit: everything before it is durable
                _settle(waiter, 0)
            self._waiters = []
            return None
        records, self._gathered = tuple(self._gathered), []
        self._in_flight_bytes, self._bytes = self._bytes, 0
        self._in_flight, self._waiters = self._waiters, []
        self._seq += 1
        return Append(
            self.run_id,
            self.name,
            self._seq,
            self.epoch,
            records,
            self.stage,
            self.dispatch,
            self.worker,
            self._wake_at,
            self._unless_said_after,
        )

    def acknowledged(self, appended: Appended) -> None:
        if appended.outcome == "committed":
            self._in_flight_bytes = 0
            for waiter in self._in_flight:
                _settle(waiter, appended.last_seq)
            self._in_flight = []
        else:
            self.fail(_REFUSALS[appended.outcome]())

    def close(self) -> None:
        """Take nothing more; what is on its way to the hub is not touched."""
        closed = StoreUnavailable("this writer has been closed")
        self.failure = self.failure or closed
        self._gathered, self._bytes = [], 0
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(closed)
        self._waiters = []

    def fail(self, error: HeadraceError) -> None:
        """Refuse everything from now on."""
        self.failure = error
        self._gathered, self._bytes, self._in_flight_bytes = [], 0, 0
        for waiter in (*self._in_flight, *self._waiters):
            if not waiter.done():
                waiter.set_exception(error)
        self._in_flight, self._waiters = [], []


class Publisher:
    """All lanes of one process. ``start`` before use; ``name`` must be new for every incarnation of the process."""

    def __init__(self, name: str, hub: AppendPort, clock: Clock, *, interval_s: float) -> None:
        self._name = name
        self._hub = hub
        self._clock = clock
        self._interval_s = interval_s
        self._lanes: dict[str, Lane] = {}
        self._opened = 0
        self._news = asyncio.Event()
        self._urgent = asyncio.Event()
        self._sending: list[tuple[Lane, Append]] = []
        self._sent = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.counts = Counts()

    async def start(self) -> None:
        """Begin to flush."""
        self._task = asyncio.create_task(self._flush_forever(), name=f"publisher-{self._name}")

    async def stop(self) -> None:
        """Stop flushing; whoever still waits is told. Drain lanes first."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for lane in list(self._lanes.values()):
            lane.fail(StoreUnavailable("the publisher has stopped"))

    def lane(
        self, run_id: str, epoch: int, *, stage: str | None = None, dispatch: int | None = None, worker: bool = False
    ) -> Lane:
        """A new writer of a run."""
        self._opened += 1
        lane = Lane(self, f"{self._name}.{self._opened}", run_id, epoch, stage, dispatch, worker)
        self._lanes[lane.name] = lane
        return lane

    def close(self, lane: Lane) -> None:
        """Forget a lane that has been drained or refused; what it still holds is not sent, and whoever waits is told."""
        self._lanes.pop(lane.name, None)
        lane.close()

    async def settled(self, run_id: str) -> None:
        """Wait until nothing of that run is on its way to the hub any more, be its lane closed or not.

        What a closed lane has sent is sent again like any other until the hub answers. Whoever goes on from the log must
        first let it arrive, or be given up.
        """
        while any(append.run_id == run_id for _, append in self._sending):
            await self._sent.wait()

    def wake(self, *, urgent: bool) -> None:
        """Something has gathered; ``urgent`` when someone waits for its commit."""
        self._news.set()
        if urgent:
            self._urgent.set()

    async def _flush_forever(self) -> None:
        last = self._clock.monotonic() - self._interval_s
        while True:
            await self._news.wait()
            pause = last + self._interval_s - self._clock.monotonic()
            if pause > 0 and not self._urgent.is_set():
                await self._wait_for_urgency(pause)
            self._news.clear()
            self._urgent.clear()
            last = self._clock.monotonic()
            taken = [(lane, append) for lane in list(self._lanes.values()) if (append := lane.take()) is not None]
            if taken:
                self._sending = taken
                try:
                    await self._send(taken)
                finally:
                    self._sending = []
                    self._sent.set()
                    self._sent = asyncio.Event()

    async def _wait_for_urgency(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._urgent.wait()
        except TimeoutError:
            return

    async def _send(self, taken: list[tuple[Lane, Append]]) -> None:
        begun = self._clock.monotonic()
        pause = 0.05
        while True:
            try:
                answers = await self._hub.append([append for _, append in taken])
                break
            except HeadraceError as error:
                if not error.retryable or self._clock.monotonic() - begun > GIVE_UP_S:
                    for lane, _ in taken:
                        lane.fail(error)
                    return
                _log.warning("the hub is away (%s); the same batch again in %.2f s", error.message, pause)
                self.counts.add("resent")
                await self._clock.sleep(pause)
                pause = min(pause * 2, 1.0)
            except Exception as error:  # a defect beyond the hub: the flusher outlives it, whoever waits is told
                _log.exception("a batch of %d appends failed", len(taken))
                for lane, _ in taken:
                    lane.fail(InternalError(f"the hub failed: {type(error).__name__}"))
                return
        for (lane, _), answer in zip(taken, answers, strict=True):
            lane.acknowledged(answer)
        self.counts.add("flushes")
        self.counts.add("records", sum(len(append.records) for _, append in taken))


def _settle(waiter: asyncio.Future[int], last_seq: int) -> None:
    if not waiter.done():  # whoever waited may have been cancelled
        waiter.set_result(last_seq)
