"""Supervisor: a process because something must stay up to see the others fall.

It starts what is missing, pings every actor's control group each second, and replaces one that has been silent for 6 s, killing
its process first: Ray never notices a frozen process, and a frozen hub would keep the lock on the log. An actor that answers
while the loop on which it works has stood still for 10 s, as under a tool that never gives way, is replaced too. Ray itself restarts what
has died (``max_restarts=-1``); the supervisor then starts what the new process hosts. A dead executor's lease is ended at once
and the others are told to look for its runs, so that they need not wait until it runs out. Restarts that come too fast are given
up upwards: ``failure`` is set, readiness turns false, and the parent process decides.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.handles import ExecutorHandle, HubHandle
from actors.placement import NAMESPACE, Placement, executor_names, hub_name, placements, supervisor_name
from runtime.composition import compose
from runtime.config import Settings, from_json, to_json
from runtime.errors import StoreUnavailable
from runtime.secret_values import redactor_of
from runtime.telemetry import guard, logger

_log = logger("supervisor")

PING_EVERY_S = 1.0
PING_WITHIN_S = 2.0
SILENT_S = 6.0
"""Silence after which an actor counts as frozen (DESIGN.md 5)."""
BLOCKED_S = 10.0
"""A working loop that has stood still for so long has lost its leases anyway: an executor's and a stage's are as long."""
START_WITHIN_S = 60.0
"""A process that has not started what it hosts by then is killed and started anew."""
START_AGAIN_S = 0.2
"""Pause before an actor that could not be asked to start is asked again."""
STOP_WITHIN_S = 3.0
"""For one kind of actor to stop in order, beside the time that runs get to end."""
RESTARTS, RESTARTS_WITHIN_S = 20, 60.0
"""More kills than this in that time are given up upwards."""

CLASSES = {
    "hub": "actors.stream_hub:StreamHub",
    "local_model": "actors.local_model:LocalModel",
    "agent": "actors.agent:Agent",
    "orchestrator": "actors.orchestrator:Orchestrator",
    "executor": "actors.executor:Executor",
}
"""Where each kind's actor class is; imported when the first of its kind is made, since every second counts at the start."""


@dataclass(slots=True)
class _Ward:
    """One actor under supervision."""

    placement: Placement
    handle: ActorHandle[Any]
    pid: int | None = None
    node: str | None = None
    owner: str = ""
    """Of an executor: the name under which it holds its lease."""
    heard: float = field(default_factory=time.monotonic)
    started: bool = False
    blocked_s: float = 0.0


class SupervisorHost:
    """See the module."""

    def __init__(self, settings: str) -> None:
        self._settings_json = settings
        self._settings = from_json(settings)
        guard(redactor_of(self._settings).text)
        self._wards: dict[str, _Ward] = {}
        self._watch: asyncio.Task[None] | None = None
        self._kills: deque[float] = deque()
        self._background: set[asyncio.Task[None]] = set()
        self._hub = HubHandle(hub_name(self._settings))
        self._stopped = False
        self._anew: asyncio.Task[None] | None = None
        self.failure: str | None = None

    async def start(self, only_first: bool = False) -> None:
        """Create every actor, or those that runs begin with, and wait until each has started what it hosts.

        Safe to repeat. Raises ``RuntimeError`` naming those that did not start.
        """
        parts = compose(self._settings)
        wanted = placements(self._settings, tuple(parts.specs.values()), local_model=parts.needs_local)
        new = [p for p in wanted if p.name not in self._wards and (p.first or not only_first)]
        wards = [_Ward(placement, self._create(placement)) for placement in new]
        await asyncio.gather(*(self._until_started(ward) for ward in wards))
        silent = [ward.placement.name for ward in wards if not ward.started]
        if silent:
            self.failure = f"these actors did not start within {START_WITHIN_S:g} s: {', '.join(silent)}"
            raise RuntimeError(self.failure)
        self._wards |= {ward.placement.name: ward for ward in wards}
        if self._watch is None:
            self._watch = asyncio.create_task(self._watch_forever())

    async def pids(self) -> dict[str, int]:
        """Name -> process id of every actor, as of the last ping."""
        return {name: ward.pid or 0 for name, ward in self._wards.items()}

    async def trouble(self) -> str | None:
        """Why supervision has been given up; None while all is well. A supervisor that was itself restarted begins anew."""
        if self._watch is None and self._anew is None and not self._stopped:
            self._anew = asyncio.create_task(self._start_anew())
        return self.failure

    async def _start_anew(self) -> None:
        """Find what an earlier incarnation of this supervisor started, and watch over it."""
        try:
            await self.start()
        except Exception as error:  # of whatever kind: without supervision the parent process must know
            self.failure = f"supervision could not be begun anew: {error}"

    async def stop(self) -> None:
        """Stop watching and let executors end or hand over their runs and the hub close, in that order."""
        self._stopped = True
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        for kind in ("executor", "hub", "local_model"):
            handles: list[Any] = [ward.handle for ward in self._wards.values() if ward.placement.kind == kind]
            stops = [handle.stop.remote() for handle in handles]
            within_s = STOP_WITHIN_S + (self._settings.drain_s if kind == "executor" else 0.0)
            done = await asyncio.gather(*(_within(stop, within_s) for stop in stops), return_exceptions=True)
            for result in done:
                if isinstance(result, BaseException):
                    _log.warning("a %s did not stop in time: %r", kind, result)

    def _create(self, placement: Placement) -> ActorHandle[Any]:
        arguments = (self._settings_json, placement.subject) if placement.subject else (self._settings_json,)
        module, _, name = CLASSES[placement.kind].partition(":")
        actor = getattr(importlib.import_module(module), name).options(
            name=placement.name,
            namespace=NAMESPACE,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=0,
            enable_task_events=False,
            **dict(placement.options),
        )
        handle: ActorHandle[Any] = actor.remote(*arguments)
        return handle

    async def _watch_forever(self) -> None:
        while True:
            await asyncio.sleep(PING_EVERY_S)
            looks = [self._look_after(ward) for ward in list(self._wards.values())]
            for error in await asyncio.gather(*looks, return_exceptions=True):
                if isinstance(error, BaseException):  # one ward's trouble must not end the watch over the others
                    _log.error("looking after an actor failed: %r", error, exc_info=error)

    async def _look_after(self, ward: _Ward) -> None:
        await self._pulse(ward, PING_WITHIN_S, start=False)
        if (silent := time.monotonic() - ward.heard) > SILENT_S:
            await self._replace(ward, f"has been silent for {silent:.0f} s")
        elif ward.blocked_s > BLOCKED_S:
            await self._replace(ward, f"has done nothing for {ward.blocked_s:.0f} s")

    async def _until_started(self, ward: _Ward) -> None:
        """Pulse until it has started what it hosts; an actor that is just being restarted refuses calls at once."""
        deadline = time.monotonic() + START_WITHIN_S
        while not ward.started and (left := deadline - time.monotonic()) > 0:
            await self._pulse(ward, left, start=True)
            if not ward.started:
                await asyncio.sleep(START_AGAIN_S)

    async def _pulse(self, ward: _Ward, within_s: float, *, start: bool) -> None:
        try:
            pulse = await _within(ward.handle.ping.remote(), within_s)
            ward.heard = time.monotonic()
            if ward.pid not in (None, pulse["pid"]):
                self._lost(ward)
            ward.owner, ward.blocked_s = pulse["owner"], pulse["blocked_s"]
            ward.pid, ward.node, ward.started = pulse["pid"], pulse["node"], pulse["started"]
            if not ward.started:
                await _within(ward.handle.started.remote(), START_WITHIN_S if start else within_s)
                ward.started = True
        except ActorDiedError:
            _log.error("%s is gone for good; a new one is made", ward.placement.name)
            self._lost(ward)
            ward.handle = self._create(ward.placement)
        except ActorUnavailableError as error:
            _log.warning("%s cannot be reached: %r", ward.placement.name, error)
            self._lost(ward)
        except (TimeoutError, RayError) as error:
            _log.warning("%s does not answer: %r", ward.placement.name, error)

    async def _replace(self, ward: _Ward, why: str) -> None:
        """Kill the process; Ray restarts the actor, and the next ping starts what it hosts."""
        if not self._allowed():
            return
        _log.error("%s (pid %s) %s and is killed", ward.placement.name, ward.pid, why)
        if ward.pid is not None:
            await _kill(ward.pid, ward.node)
            self._lost(ward)
        ward.heard, ward.started, ward.blocked_s = time.monotonic(), False, 0.0

    def _lost(self, ward: _Ward) -> None:
        """An executor's process is gone, or so it seems: the epoch in the log decides, so a false alarm costs a takeover."""
        owner, ward.owner = ward.owner, ""
        if owner:
            self._background.add(task := asyncio.create_task(self._hand_out(owner)))
            task.add_done_callback(self._background.discard)

    async def _hand_out(self, owner: str) -> None:
        """End the lost executor's lease, and let the others look for its runs; else they find them when it runs out."""
        try:
            await self._hub.release(owner, lost=True)
        except StoreUnavailable as error:
            _log.warning("the lease of %s could not be ended: %s", owner, error.message)
            return
        scans = [ExecutorHandle(name).scan() for name in executor_names(self._settings)]
        taken = await asyncio.gather(*scans, return_exceptions=True)
        _log.warning("executor %s was lost; its runs were looked for: %s", owner, taken)

    def _allowed(self) -> bool:
        now = time.monotonic()
        self._kills.append(now)
        while self._kills and now - self._kills[0] > RESTARTS_WITHIN_S:
            self._kills.popleft()
        if len(self._kills) <= RESTARTS:
            return True
        self.failure = f"more than {RESTARTS} actors had to be killed within {RESTARTS_WITHIN_S:g} s"
        _log.critical("%s; supervision is given up", self.failure)
        return False


async def _within(ref: Any, seconds: float) -> Any:
    """Await a Ray reference with a time limit; Any is Ray's."""
    async with asyncio.timeout(seconds):
        return await ref


async def _kill(pid: int, node: str | None) -> None:
    if node is None or node == ray.get_runtime_context().get_node_id():
        _kill_here(pid)
        return
    there = NodeAffinitySchedulingStrategy(node_id=node, soft=False)
    task = ray.remote(_kill_here).options(num_cpus=0, max_retries=0, scheduling_strategy=there)
    await _within(task.remote(pid), 10.0)


def _kill_here(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        _log.info("pid %d was gone already", pid)


Supervisor: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=0)(SupervisorHost)


def make_supervisor(settings: Settings) -> Any:
    """Find or make the supervisor; it starts nothing yet."""
    options = {"name": supervisor_name(settings), "namespace": NAMESPACE, "lifetime": "detached", "get_if_exists": True}
    return Supervisor.options(**options).remote(to_json(settings))


def start_actors(supervisor: Any, *, only_first: bool = False) -> Any:
    """Let it start everything, or what runs begin with; a Ray reference that is ready when they are."""
    return supervisor.start.remote(only_first)


def stop_supervisor(settings: Settings, *, within_s: float) -> None:
    """Stop supervision and what it started, in order. Raises what Ray raises."""
    ray.get(_supervisor(settings).stop.remote(), timeout=within_s)


async def supervision_trouble(settings: Settings, *, within_s: float) -> str | None:
    """Why supervision was given up; None while all is well. Raises ``TimeoutError``, and what Ray raises."""
    return await _within(_supervisor(settings).trouble.remote(), within_s)  # type: ignore[no-any-return]


def _supervisor(settings: Settings) -> Any:
    return ray.get_actor(supervisor_name(settings), NAMESPACE)
