"""The executor: claims runs, drives each in a task of its own, keeps its lease, hands over what it cannot finish."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import runtime.errors as errors
from runtime import failpoints
from runtime.clock import Clock
from runtime.executor.drive import drive
from runtime.executor.probation import PROBATION_AFTER, Probation
from runtime.executor.run import RunDriver, RunTools
from runtime.log.log import Run
from runtime.log.wire import HubPort
from runtime.telemetry import logger

_log = logger("executor")

BEAT_S = 1.0
"""Between renewals of the lease; each also brings the cancel requests of our runs."""

SCAN_EVERY = 2
"""Beats between looks for runs nobody owns."""

FENCE_MARGIN_S = 2.0
"""An executor that has not renewed by its lease's end minus this stops by itself (JOURNAL.md 1.4)."""

PATIENCE_S = 3.0
"""After an outage that outlasted the leases: how long others may take to hand over what they let go of, before we look."""


class ExecutorPort(Protocol):
    """An executor as the door sees it."""

    async def begin(self, run_id: str) -> bool:
        """Claim an accepted run and start on it; False when someone else has it."""
        ...

    async def cancel(self, run_id: str) -> None:
        """Stop that run if it is here; its cancel request is in the log already."""
        ...

    async def nudge(self, run_id: str) -> bool:
        """A person has said something to that run, which is in the log: look, or claim it if it waited. False: not here."""
        ...


@dataclass(slots=True)
class _Owned:
    driver: RunDriver
    task: asyncio.Task[None]
    epoch: int


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
        self._patient_until = self._renewed
        self._stopping = False
        self._fenced = False
        self._doubtful = False
        self._leases: asyncio.Task[None] | None = None
        self._probation = Probation()
        self._cancels: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        return self._name

    async def start(self) -> None:
        """Take a lease and begin to look for work; when the hub is away the next beats ask for one."""
        try:
            await self._renew()
        except errors.StoreUnavailable as error:  # a hub that makes its tables takes longer than a renewal may
            _log.warning("no lease yet: %s", error.message)
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

    async def nudge(self, run_id: str) -> bool:
        """Let the run look at what a person has said, if it is here; else try to claim it."""
        if (owned := self._owned.get(run_id)) is not None:
            owned.driver.news.set()
            return True
        return await self.begin(run_id)

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
        if (owned := self._owned.get(run.run_id)) is not None:
            # claimed anew before its driver has let go, as after run.waiting: adopted with the next beat
            self._doubtful = self._doubtful or owned.epoch < run.epoch
            return
        driver = RunDriver(self._tools, run)
        task = asyncio.create_task(self._drive(driver, run), name=f"run-{run.run_id}")
        self._owned[run.run_id] = _Owned(driver, task, run.epoch)
        task.add_done_callback(lambda t: self._disown(run.run_id, t))

    def _disown(self, run_id: str, task: asyncio.Task[None]) -> None:
        if (owned := self._owned.get(run_id)) is not None and owned.task is task:
            del self._owned[run_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("driving run %s failed: %r", run_id, error, exc_info=error)
        self._doubtful = True  # if the run has not ended and is still ours, it must not be left to nobody

    async def _drive(self, driver: RunDriver, run: Run) -> None:
        if run.takeovers >= PROBATION_AFTER:
            await self._probation.enter(driver.cancelled)
        await drive(driver, self._tools, run)

    async def _beat_forever(self) -> None:
        beats = 0
        while True:
            await self._clock.sleep(BEAT_S)
            beats += 1
            try:
                async with asyncio.timeout(self._until_fence_s()):
                    await self._beat_once(scan=beats % SCAN_EVERY == 0)
            except TimeoutError:
                _log.warning("the hub has not answered for so long that our lease is in danger")
            except errors.StoreUnavailable as error:
                _log.warning("the hub is away: %s", error.message)
            except Exception:  # without a beat our runs would be taken from us one lease later
                _log.exception("a beat of executor %s failed", self._name)
            await self._fence_myself()

    async def _beat_once(self, *, scan: bool) -> None:
        await self._renew()
        if not self._stopping:
            await self._adopt()
        if scan and self._clock.monotonic() >= self._patient_until:
            await self.scan()

    def _until_fence_s(self) -> float | None:
        """How long a beat may wait for answers; None when there is nothing to let go of."""
        if not self._owned:
            return None
        return max(0.0, self._renewed + self._ttl_s - FENCE_MARGIN_S - self._clock.monotonic())

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
        if asked - self._renewed > self._ttl_s - FENCE_MARGIN_S:
            self._patient_until = asked + PATIENCE_S
        self._renewed = asked
        for run_id in lease.cancel_requested:  # not awaited: a beat that is late costs all our runs
            self._cancels.add(task := asyncio.create_task(self.cancel(run_id)))
            task.add_done_callback(self._cancels.discard)

    async def _fence_myself(self) -> None:
        """Without a renewal in time others may already own our runs: stop every effect before they start theirs."""
        if self._until_fence_s() == 0.0:
            _log.error("no renewal for %.0f s: letting go of %d runs", self._ttl_s - FENCE_MARGIN_S, len(self._owned))
            self._fenced = True
            await self._drop_all()

    async def _drop_all(self) -> None:
        tasks = [owned.task for owned in self._owned.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
