"""The executor: claims runs, drives each in a task of its own, keeps its lease, hands over what it cannot finish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import runtime.errors as errors
from runtime import failpoints
from runtime.clock import Clock
from runtime.executor.book import RunBook
from runtime.executor.decide import failure
from runtime.executor.run import RunDriver, RunTools
from runtime.log.log import Run
from runtime.log.wire import HubPort
from runtime.stream.emitter import Emitter
from runtime.telemetry import logger

_log = logger("executor")

BEAT_S = 1.0
"""Between renewals of the lease; each also brings the cancel requests of our runs."""

SCAN_EVERY = 2
"""Beats between looks for runs nobody owns."""

PROBATION_AFTER = 2
"""Lost owners without progress after which a run is driven alone among its like: a run that kills its executor may take
its neighbours along, and must not make poison of them (JOURNAL.md P7)."""

PROBATION_S = 10.0
"""How long such a run is watched before the next of them may begin."""

AGAIN_S = 1.0
"""Pause before a run is driven on that stopped because the log, or a process it needs, was away."""

FENCE_MARGIN_S = 2.0
"""An executor that has not renewed by its lease's end minus this stops by itself (JOURNAL.md 1.4)."""


class ExecutorPort(Protocol):
    """An executor as the door sees it."""

    async def begin(self, run_id: str) -> bool:
        """Claim an accepted run and start on it; False when someone else has it."""
        ...

    async def cancel(self, run_id: str) -> None:
        """Stop that run if it is here; its cancel request is in the log already."""
        ...


@dataclass(slots=True)
class _Owned:
    driver: RunDriver
    task: asyncio.Task[None]


class Executor:
    """See :class:`ExecutorPort`. ``new_name`` gives a fresh incarnation's name each time."""

    def __init__(
        self, new_name: Callable[[], str], hub: HubPort, tools: RunTools, clock: Clock, *, lease_ttl_s: float
    ) -> None:
        self._new_name = new_name
        self._name = new_name()
        self._hub = hub
        self._tools = tools
        self._clock = clock
        self._ttl_s = lease_ttl_s
        self._owned: dict[str, _Owned] = {}
        self._beat: asyncio.Task[None] | None = None
        self._renewed = clock.monotonic()
        self._stopping = False
        self._fenced = False
        self._doubtful = False
        self._leases: asyncio.Task[None] | None = None
        self._probation = asyncio.Lock()
        self._watches: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        return self._name

    async def start(self) -> None:
        """Take a lease and begin to look for work."""
        await self._renew()
        self._beat = asyncio.create_task(self._beat_forever(), name="executor-beat")
        self._leases = asyncio.create_task(self._tools.stages.leases.renew_forever(), name="executor-leases")

    async def stop(self, *, drain_s: float = 0.0) -> None:
        """Take no more runs, let those under way end for up to ``drain_s`` seconds, and hand over what is left.

        What is handed over goes on in another executor, or when there is one again, from where its log stands.
        """
        self._stopping = True
        if self._owned and drain_s > 0:
            _log.info("%d runs may end within %g s", len(self._owned), drain_s)
            await asyncio.wait({owned.task for owned in self._owned.values()}, timeout=drain_s)
        tasks = [task for task in (self._beat, self._leases) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._drop_all()
        try:
            await self._hub.release(self._name)
        except errors.StoreUnavailable:
            _log.warning("the lease could not be given back; it runs out by itself")

    async def begin(self, run_id: str) -> bool:
        """Claim an accepted run and start on it."""
        if self._stopping:
            return False
        claimed = await self._claim(run_id)
        return bool(claimed)

    async def scan(self) -> int:
        """Look for runs nobody owns, now rather than with the next beat; answers how many were taken."""
        taken = 0
        while not self._stopping and (claimed := await self._claim(None)):
            taken += len(claimed)  # a claim takes a few at a time, so that executors share what there is
        return taken

    async def cancel(self, run_id: str) -> None:
        """Stop that run if it is here."""
        if (owned := self._owned.get(run_id)) is not None:
            await owned.driver.cancel()

    def statistics(self) -> dict[str, int]:
        """Runs owned now, and counts since the start."""
        return {"runs": len(self._owned), **self._tools.stages.counts.snapshot()}

    async def _claim(self, run_id: str | None) -> list[Run]:
        """Claim and start. A claim whose answer is lost may have been committed: such a run would be nobody's for ever."""
        name = self._name
        try:
            claimed = await self._hub.claim(run_id, executor=name)
            if claimed:
                failpoints.hit("claim.committed")
        except BaseException:
            self._doubtful = True
            raise
        if name != self._name or self._stopping:
            return []  # claimed under a name given up meanwhile; its lease is over, so others may have them
        for run in claimed:
            self._own(run)
        return claimed

    async def _adopt(self) -> None:
        """Start on runs that are ours in the log and that nobody drives."""
        if not self._doubtful:
            return
        self._doubtful = False
        try:
            owned = await self._hub.owned(self._name)
        except BaseException:
            self._doubtful = True
            raise
        for run in owned:
            self._own(run)

    def _own(self, run: Run) -> None:
        if run.run_id in self._owned:
            return
        driver = RunDriver(self._tools, run)
        task = asyncio.create_task(self._drive(driver, run), name=f"run-{run.run_id}")
        self._owned[run.run_id] = _Owned(driver, task)
        task.add_done_callback(lambda t: self._disown(run.run_id, t))

    def _disown(self, run_id: str, task: asyncio.Task[None]) -> None:
        if (owned := self._owned.get(run_id)) is not None and owned.task is task:
            del self._owned[run_id]

    async def _drive(self, driver: RunDriver, run: Run) -> None:
        """To the run's end. While our lease lives nobody else can have the run: so whatever is away is waited for."""
        if run.takeovers >= PROBATION_AFTER:
            await self._on_probation()
        while True:
            try:
                try:
                    return await driver.drive()
                except errors.StoreUnavailable:
                    raise
                except Exception as error:  # a defect of ours: the run ends with words, the executor's other runs go on
                    _log.exception("run %s met a defect", run.run_id)
                    return await self._fail(run, error)
            except errors.StoreUnavailable as error:
                _log.warning("run %s waits: %s", run.run_id, error.message)
                await self._clock.sleep(AGAIN_S)

    async def _on_probation(self) -> None:
        """Wait until the runs before this one that lost their owners too have shown that they are harmless, or ended."""
        await self._probation.acquire()
        driven = asyncio.current_task()
        assert driven is not None

        async def watched() -> None:
            try:
                await asyncio.wait({driven}, timeout=PROBATION_S)
            finally:
                self._probation.release()

        self._watches.add(watch := asyncio.create_task(watched()))
        watch.add_done_callback(self._watches.discard)

    async def _fail(self, run: Run, error: Exception) -> None:
        state = await RunBook(self._tools.reader, run.run_id).refresh()
        words = f"An internal error ended the run ({type(error).__name__}); the log of the executor has the details."
        event = failure(state, "internal", words, "executor", retryable=True)
        tools = self._tools.stages
        lane = tools.publisher.lane(run.run_id, run.epoch)
        try:
            await Emitter(lane, tools.chain, tools.clock, run.run_id).commit(event)
        except errors.StoreUnavailable:
            raise
        except errors.InternalError as refusal:
            _log.info("run %s could not be failed here: %s", run.run_id, refusal.code)
        finally:
            tools.publisher.close(lane)

    async def _beat_forever(self) -> None:
        beats = 0
        while True:
            await self._clock.sleep(BEAT_S)
            beats += 1
            try:
                await self._renew()
                if not self._stopping:
                    await self._adopt()
                if beats % SCAN_EVERY == 0:
                    await self.scan()
            except errors.StoreUnavailable as error:
                _log.warning("the hub is away: %s", error.message)
            except Exception:  # without a beat our runs would be taken from us one lease later
                _log.exception("a beat of executor %s failed", self._name)
            await self._fence_myself()

    async def _renew(self) -> None:
        if self._fenced:
            await self._hub.release(self._name)  # what was let go of must not stay ours: nobody drives it
            self._name, self._fenced = self._new_name(), False
        asked = self._clock.monotonic()
        lease = await self._hub.renew(self._name, ttl_s=self._ttl_s)
        if not lease.alive:
            _log.warning("executor %s has lost its lease and starts anew", self._name)
            await self._drop_all()
            self._name = self._new_name()
            asked = self._clock.monotonic()
            lease = await self._hub.renew(self._name, ttl_s=self._ttl_s)
        self._renewed = asked
        for run_id in lease.cancel_requested:
            await self.cancel(run_id)

    async def _fence_myself(self) -> None:
        """Without a renewal in time others may already own our runs: stop every effect before they start theirs."""
        if self._owned and self._clock.monotonic() - self._renewed > self._ttl_s - FENCE_MARGIN_S:
            _log.error("no renewal for %.0f s: letting go of %d runs", self._ttl_s - FENCE_MARGIN_S, len(self._owned))
            self._fenced = True
            await self._drop_all()

    async def _drop_all(self) -> None:
        tasks = [owned.task for owned in self._owned.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
