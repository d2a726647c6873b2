"""Ask one question of a system in this process, and have its whole log; on request, lose the process on the way.

A lost process is one whose log answers nothing any more, after which every task of it is ended wherever it stands, as
SIGKILL would. Then time is moved on until its leases have run out, and a new system goes on over the same log.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import ContextVar, copy_context
from typing import Any

import httpx2

from runtime.bootstrap.models import StandIn
from runtime.bootstrap.store import build_log
from runtime.bootstrap.system import in_process
from runtime.client import HeadraceClient
from runtime.clock import SystemClock
from runtime.config import Settings
from runtime.log.memory import MemoryLog
from runtime.testing.doomed import DoomedLog
from runtime.testing.events import RunEvents

_LIFE: ContextVar[set[asyncio.Task[Any]] | None] = ContextVar("life", default=None)
"""The tasks of the simulated process that the running task belongs to."""

ROUNDS = 100
"""Times that a lost process's tasks are cancelled; each cancellation ends one thing that a task waits for."""


ACCEPTED_S = 2.0
"""A run that nobody owns yet is left to whoever accepted it for a second; more than that."""


class _MovedClock(SystemClock):
    """The machine's clock, moved on at will."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


async def ask(
    question: str,
    models: StandIn | None = None,
    settings: Settings | None = None,
    *,
    kill_at: int | None = None,
    within_s: float = 60.0,
    **request: object,
) -> RunEvents:
    """Ask ``question`` and wait for the run's end. ``request`` are fields of ``POST /v1/runs``, such as ``documents``.

    ``settings`` left out: a log in memory. ``kill_at=N``: the process is lost as the log has come to event N, which is
    durable but known to nobody; another process goes on. Raises ``LookupError`` when the run ended before event N, and
    ``TimeoutError`` when it takes longer than ``within_s``.
    """
    settings = settings or Settings(model="scripted", log="memory:")
    clock = _MovedClock()
    body = {"on_disconnect": "continue", **request}
    log = DoomedLog(build_log(settings, clock), kill_at)
    try:
        async with asyncio.timeout(within_s):
            await _live(_life(settings, clock, models, log, (question, body)), log)
            if kill_at is not None:
                log = await _reopened(log, kill_at, settings, clock)
                await _live(_life(settings, clock, models, log, None), log)
            return log.events()
    finally:
        await log.inner.close()


async def _reopened(log: DoomedLog, kill_at: int, settings: Settings, clock: _MovedClock) -> DoomedLog:
    """The lost process's log for the next one, at a time when all leases have run out. Raises ``LookupError``."""
    if not log.lost:
        raise LookupError(f"the run ended with event {log.last_seq}; it never came to event {kill_at}")
    clock.ahead += settings.lease_ttl_s + ACCEPTED_S
    store = log.inner
    if not isinstance(store, MemoryLog):  # what is kept outside of the process is opened anew
        await store.close()
        store = build_log(settings, clock)
    return DoomedLog(store, None, run_id=log.run_id)


async def _life(
    settings: Settings,
    clock: _MovedClock,
    models: StandIn | None,
    log: DoomedLog,
    asked: tuple[str, dict[str, Any]] | None,
) -> None:
    """A process: it is started, perhaps asked, and stopped in order after the run's end, if it lives so long."""
    async with in_process(settings, clock, stand_in=models, log=log.as_log()) as system:
        if asked is not None:
            transport = httpx2.ASGITransport(system.app)
            async with HeadraceClient("http://127.0.0.1", transport=transport) as client:
                await client.create(asked[0], **asked[1])
        await log.wait_for_end()
        await log.remember()


async def _live(life: Coroutine[object, object, None], log: DoomedLog) -> None:
    """Let a process live until it ends by itself or its log says that it is lost."""
    loop = asyncio.get_running_loop()
    tasks = set[asyncio.Task[Any]]()
    if loop.get_task_factory() is not _remembering:  # it stays: other questions may be asked at the same time
        loop.set_task_factory(_remembering)
    context = copy_context()
    context.run(_LIFE.set, tasks)
    main = asyncio.create_task(life, context=context)
    loss = asyncio.create_task(log.wait_for_loss())
    try:
        await asyncio.wait({main, loss}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loss.cancel()
        if not main.done():
            await _kill(tasks)
    if not log.lost:
        await main


def _remembering(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
    """A task factory that notes whose a task is. Any: as asyncio's own."""
    context = options.get("context")
    tasks = context.get(_LIFE) if context is not None else _LIFE.get()
    task = asyncio.Task(coro, loop=loop, **options)
    if tasks is not None:
        tasks.add(task)
    return task


async def _kill(tasks: set[asyncio.Task[Any]]) -> None:
    for _ in range(ROUNDS):
        alive = {task for task in tasks if not task.done()}
        if not alive:
            break
        for task in alive:
            task.cancel()
        await asyncio.wait(alive, timeout=0.05)
    else:
        raise RuntimeError(f"the lost process lives on: {sorted(task.get_name() for task in tasks if not task.done())}")
    for task in tasks:
        if not task.cancelled():
            task.exception()  # a dead process's last words are nobody's business
