"""Between the parts of the in-process system: a hub that may be lost or frozen, and lines to it that may be cut.

As across real processes, a call that is under way when the hub is lost fails, and a call whose caller is lost goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from runtime.clock import Clock
from runtime.errors import StoreUnavailable
from runtime.events.envelope import Record, Stored
from runtime.llm.client import Chunk, ModelClient, ModelRequest
from runtime.log.census import Census
from runtime.log.hub import Hub
from runtime.log.log import Conversation, Created, Lease, Log, NewRun, Run, Write, Written
from runtime.log.wire import Append, Appended, CancelledBy, FeedItem, HubPort
from runtime.tools.invoke import Invocation, LocalToolRunner, ToolRunner
from runtime.tools.tool import Tool, ToolContext

T = TypeVar("T")


class HubPortal:
    """A ``HubPort`` that stays when the hub behind it is lost or replaced, as an actor's handle does."""

    def __init__(self) -> None:
        self.hub: Hub | None = None
        self._open: dict[asyncio.Future[Any], asyncio.Task[Any]] = {}

    def lose(self, *, frozen: bool = False) -> Hub | None:
        """The hub is gone, and every call under way with it; ``frozen``: the hub still has them, and may wake."""
        hub, self.hub = self.hub, None
        for answer, work in list(self._open.items()):
            if not frozen:
                work.cancel()
            if not answer.done():
                answer.set_exception(StoreUnavailable("the hub was lost"))
        self._open.clear()
        return hub

    def _up(self) -> Hub:
        if self.hub is None:
            raise StoreUnavailable("there is no hub just now")
        return self.hub

    async def _ask(self, call: Callable[[Hub], Awaitable[T]]) -> T:
        hub = self._up()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        work = asyncio.ensure_future(call(hub))
        self._open[answer] = work
        work.add_done_callback(lambda done: _hand_on(done, answer))
        try:
            return await answer
        finally:
            self._open.pop(answer, None)

    async def append(self, batch: Sequence[Append]) -> list[Appended]:
        return await self._ask(lambda hub: hub.append(batch))

    async def create(self, new: NewRun) -> Created:
        return await self._ask(lambda hub: hub.create(new))

    async def cancel(self, run_id: str, by: CancelledBy) -> Run:
        return await self._ask(lambda hub: hub.cancel(run_id, by))

    async def say(self, run_id: str, name: str, record: Record) -> bool:
        return await self._ask(lambda hub: hub.say(run_id, name, record))

    async def claim(self, run_id: str | None, *, executor: str) -> list[Run]:
        return await self._ask(lambda hub: hub.claim(run_id, executor=executor))

    async def renew(self, executor: str, *, ttl_s: float) -> Lease:
        return await self._ask(lambda hub: hub.renew(executor, ttl_s=ttl_s))

    async def owned(self, executor: str) -> list[Run]:
        return await self._ask(lambda hub: hub.owned(executor))

    async def release(self, executor: str, *, lost: bool = False) -> None:
        await self._ask(lambda hub: hub.release(executor, lost=lost))

    async def watch(self, door: str, run_ids: Sequence[str]) -> dict[str, int]:
        return await self._ask(lambda hub: hub.watch(door, run_ids))

    async def unwatch(self, door: str, run_ids: Sequence[str]) -> None:
        await self._ask(lambda hub: hub.unwatch(door, run_ids))

    async def feed(self, door: str) -> AsyncGenerator[list[FeedItem], None]:
        hub = self._up()
        async for batch in hub.feed(door):
            if self.hub is not hub:
                raise StoreUnavailable("the hub was lost")
            yield batch

    async def get(self, run_id: str) -> Run | None:
        return await self._ask(lambda hub: hub.get(run_id))

    async def recent(self, *, tenant_id: str, limit: int = 50) -> list[Run]:
        return await self._ask(lambda hub: hub.recent(tenant_id=tenant_id, limit=limit))

    async def read(self, run_id: str, *, after: int, limit: int = 512, deltas: bool = True) -> list[Stored]:
        return await self._ask(lambda hub: hub.read(run_id, after=after, limit=limit, deltas=deltas))

    async def census(self, *, tenant_id: str | None, since: float, limit: int) -> Census:
        return await self._ask(lambda hub: hub.census(tenant_id=tenant_id, since=since, limit=limit))

    async def conversations(self, *, tenant_id: str, limit: int = 50, before: int | None = None) -> list[Conversation]:
        return await self._ask(lambda hub: hub.conversations(tenant_id=tenant_id, limit=limit, before=before))

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        return await self._ask(lambda hub: hub.conversation(tenant_id, conversation_id))

    async def runs_of(
        self, tenant_id: str, conversation_id: str, *, limit: int = 50, before: str | None = None
    ) -> list[Run]:
        return await self._ask(lambda hub: hub.runs_of(tenant_id, conversation_id, limit=limit, before=before))

    async def delete_conversation(self, tenant_id: str, conversation_id: str) -> tuple[str, ...]:
        return await self._ask(lambda hub: hub.delete_conversation(tenant_id, conversation_id))

    async def heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        return await self._ask(lambda hub: hub.heads(run_ids))


def _hand_on(done: asyncio.Task[T], answer: asyncio.Future[T]) -> None:
    error = None if done.cancelled() else done.exception()
    if answer.done():
        return
    if done.cancelled():
        answer.set_exception(StoreUnavailable("the hub was lost"))
    elif error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(done.result())


class Gate:
    """Stands open; while frozen, whoever comes to it waits. A simulated process passes it before and after all it does."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    def freeze(self) -> None:
        self._open.clear()

    def thaw(self) -> None:
        self._open.set()

    async def passed(self) -> None:
        """At once, or when it is thawed."""
        if not self._open.is_set():
            await self._open.wait()


class Line:
    """One process's way to the hub. ``cut`` is the death of the process: nothing passes any more, in neither direction."""

    def __init__(self, hub: HubPort, gate: Gate) -> None:
        self._hub = hub
        self._gate = gate
        self._cut = False

    def cut(self) -> None:
        self._cut = True

    async def _pass(self) -> None:
        await self._gate.passed()
        if self._cut:
            await asyncio.Event().wait()

    def __getattr__(self, name: str) -> Any:  # every method of HubPort but ``feed``, which no executor calls
        call = getattr(self._hub, name)

        async def through(*args: Any, **options: Any) -> Any:
            await self._pass()
            try:
                answer = await call(*args, **options)
            except Exception:  # not a cancellation: a process that is lost does not wait for its thaw
                await self._pass()
                raise
            await self._pass()
            return answer

        return through


class GatedClock:
    """A process's clock: its sleeps end no earlier than it is thawed."""

    def __init__(self, clock: Clock, gate: Gate) -> None:
        self._clock = clock
        self._gate = gate
        self.now = clock.now
        self.monotonic = clock.monotonic

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        await self._gate.passed()


class GatedModel:
    """A process's connection to the model."""

    def __init__(self, client: ModelClient, gate: Gate) -> None:
        self._client = client
        self._gate = gate

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        await self._gate.passed()
        async for chunk in self._client.stream(request):
            await self._gate.passed()
            yield chunk

    async def aclose(self) -> None:
        await self._client.aclose()


class GatedRunner:
    """A process's tools: one frozen between the intent and the effect makes it when it wakes, as a real one would."""

    def __init__(self, clock: Clock, gate: Gate) -> None:
        self._runner: ToolRunner = LocalToolRunner(clock)
        self._gate = gate

    async def run(self, tool: Tool, arguments: dict[str, Any], context: ToolContext) -> Invocation:
        await self._gate.passed()
        done = await self._runner.run(tool, arguments, context)
        await self._gate.passed()
        return done


class GatedLog:
    """A hub's way to the log; the hub that is frozen in the middle of a call finds, when it wakes, that time has passed."""

    def __init__(self, log: Log, gate: Gate) -> None:
        self._log = log
        self._gate = gate

    async def append(self, writes: Sequence[Write]) -> list[Written]:
        await self._gate.passed()
        written = await self._log.append(writes)
        await self._gate.passed()
        return written

    async def open(self) -> None:
        await self._log.open()

    async def close(self) -> None:
        """The log is the rig's, and other hubs use it too."""

    def __getattr__(self, name: str) -> Any:  # the rest of Log: all awaitable
        call = getattr(self._log, name)

        async def through(*args: Any, **options: Any) -> Any:
            await self._gate.passed()
            return await call(*args, **options)

        return through
