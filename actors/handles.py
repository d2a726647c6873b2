"""Ports over Ray: the same interfaces as the objects in ``runtime``, found by name, failing in the same words.

A handle is looked up by name when it is first used and again after its actor was lost. Errors of ours come out as they went
in; whatever Ray itself raises becomes ``StoreUnavailable``: the call may or may not have been executed, and every caller here
either repeats with the same number or leaves it to the log.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayError, RayTaskError, TaskCancelledError

from actors.placement import NAMESPACE, agent_names, local_model_name
from runtime.agents.request import (
    OfferedTool,
    PersonSaid,
    PlanningRequest,
    PlanningResult,
    StageLease,
    StageRequest,
    StageResult,
)
from runtime.config import Settings
from runtime.errors import AgentLost, HeadraceError, RunCancelled, StoreUnavailable
from runtime.events.envelope import Record, Stored
from runtime.llm.local.address import LocalAddress
from runtime.log.census import Census
from runtime.log.credentials import Key
from runtime.log.log import Conversation, Created, Lease, NewRun, Run
from runtime.log.wire import Append, Appended, CancelledBy, FeedItem
from runtime.orchestrator.orchestrator import PlanOutcome, PlanRequest

FEED_BACKPRESSURE = 16
"""Batches of a feed in flight before the hub gathers more into each (RAY.md 1: 16 is nearly free)."""


class NamedActor:
    """A call to an actor known by its name. Any below is Ray's: its handles have no types."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._handle: ActorHandle[Any] | None = None

    async def call(self, method: str, *args: Any, timeout_s: float | None = None) -> Any:
        """The method's answer. Raises what the method raised, or ``StoreUnavailable``."""
        ref: Any = None
        try:
            async with asyncio.timeout(timeout_s):
                ref = getattr(await self.handle(), method).remote(*args)
                return await ref
        except (RayError, RayTaskError) as error:  # first: one whose cause is a TimeoutError is one itself
            raise self._translated(error) from error
        except TimeoutError as error:
            _cancel(ref)
            raise StoreUnavailable(f"{self.name} did not answer {method} within {timeout_s or 0.0:g} s") from error
        except asyncio.CancelledError:
            _cancel(ref)  # cancelling the awaiter alone leaves the call running (RAY.md 1)
            raise

    async def handle(self) -> ActorHandle[Any]:
        """The actor's handle. Raises ``StoreUnavailable`` when there is no such actor just now."""
        if self._handle is None:
            try:
                self._handle = await asyncio.to_thread(ray.get_actor, self.name, NAMESPACE)
            except (ValueError, RayError) as error:
                raise StoreUnavailable(f"there is no actor {self.name} just now") from error
        return self._handle

    def _translated(self, error: Exception) -> Exception:
        if isinstance(error, TaskCancelledError):
            return RunCancelled("the call was cancelled")
        if isinstance(error, RayTaskError):
            cause = error.cause
            if isinstance(cause, HeadraceError):
                return cause
            return error
        self._handle = None
        return StoreUnavailable(f"{self.name} cannot be reached ({type(error).__name__})")


def _cancel(ref: Any) -> None:
    """Stop a call, if it was made."""
    if ref is not None:
        ray.cancel(ref)


class HubHandle:
    """:class:`runtime.log.wire.HubPort` over the StreamHub actor."""

    def __init__(self, name: str) -> None:
        self._actor = NamedActor(name)

    async def append(self, batch: Sequence[Append]) -> list[Appended]:
        return await self._actor.call("append", batch)  # type: ignore[no-any-return]

    async def create(self, new: NewRun) -> Created:
        return await self._actor.call("create", new)  # type: ignore[no-any-return]

    async def cancel(self, run_id: str, by: CancelledBy) -> Run:
        return await self._actor.call("cancel", run_id, by)  # type: ignore[no-any-return]

    async def say(self, run_id: str, name: str, record: Record) -> bool:
        return await self._actor.call("say", run_id, name, record)  # type: ignore[no-any-return]

    async def claim(self, run_id: str | None, *, executor: str) -> list[Run]:
        return await self._actor.call("claim", run_id, executor)  # type: ignore[no-any-return]

    async def renew(self, executor: str, *, ttl_s: float) -> Lease:
        return await self._actor.call("renew", executor, ttl_s, timeout_s=ttl_s / 2)  # type: ignore[no-any-return]

    async def owned(self, executor: str) -> list[Run]:
        return await self._actor.call("owned", executor, timeout_s=5.0)  # type: ignore[no-any-return]

    async def release(self, executor: str, *, lost: bool = False) -> None:
        await self._actor.call("release", executor, lost, timeout_s=2.0)

    async def watch(self, door: str, run_ids: Sequence[str]) -> dict[str, int]:
        return await self._actor.call("watch", door, list(run_ids))  # type: ignore[no-any-return]

    async def unwatch(self, door: str, run_ids: Sequence[str]) -> None:
        await self._actor.call("unwatch", door, list(run_ids))

    async def feed(self, door: str) -> AsyncGenerator[list[FeedItem], None]:
        handle = await self._actor.handle()
        feed: Any = handle.feed
        method = feed.options(num_returns="streaming", _generator_backpressure_num_objects=FEED_BACKPRESSURE)
        items = method.remote(door)
        try:
            async for ref in items:
                yield await ref
        except (RayError, RayTaskError) as error:
            raise self._actor._translated(error) from error
        finally:
            ray.cancel(items)  # dropping a generator does not stop its producer (RAY.md 1)

    async def get(self, run_id: str) -> Run | None:
        return await self._actor.call("get", run_id)  # type: ignore[no-any-return]

    async def recent(self, *, tenant_id: str, limit: int = 50) -> list[Run]:
        return await self._actor.call("recent", tenant_id, limit)  # type: ignore[no-any-return]

    async def read(self, run_id: str, *, after: int, limit: int = 512, deltas: bool = True) -> list[Stored]:
        return await self._actor.call("read", run_id, after, limit, deltas)  # type: ignore[no-any-return]

    async def heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        return await self._actor.call("heads", list(run_ids))  # type: ignore[no-any-return]

    async def census(self, *, tenant_id: str | None, since: float, limit: int) -> Census:
        return await self._actor.call("census", tenant_id, since, limit)  # type: ignore[no-any-return]

    async def conversations(self, *, tenant_id: str, limit: int = 50, before: int | None = None) -> list[Conversation]:
        return await self._actor.call("conversations", tenant_id, limit, before)  # type: ignore[no-any-return]

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        return await self._actor.call("conversation", tenant_id, conversation_id)  # type: ignore[no-any-return]

    async def runs_of(
        self, tenant_id: str, conversation_id: str, *, limit: int = 50, before: str | None = None
    ) -> list[Run]:
        return await self._actor.call("runs_of", tenant_id, conversation_id, limit, before)  # type: ignore[no-any-return]

    async def delete_conversation(self, tenant_id: str, conversation_id: str) -> tuple[str, ...]:
        return await self._actor.call("delete_conversation", tenant_id, conversation_id)  # type: ignore[no-any-return]

    async def key(self, key_id: str) -> Key | None:
        return await self._actor.call("key", key_id, timeout_s=5.0)  # type: ignore[no-any-return]

    async def keys(self, *, tenant_id: str | None, limit: int = 200) -> list[Key]:
        return await self._actor.call("keys", tenant_id, limit, timeout_s=5.0)  # type: ignore[no-any-return]

    async def add_key(self, key: Key) -> None:
        await self._actor.call("add_key", key, timeout_s=5.0)

    async def revoke_key(self, key_id: str, at: float) -> Key | None:
        return await self._actor.call("revoke_key", key_id, at, timeout_s=5.0)  # type: ignore[no-any-return]

    async def expire_key(self, key_id: str, at: float) -> Key | None:
        return await self._actor.call("expire_key", key_id, at, timeout_s=5.0)  # type: ignore[no-any-return]


class AgentHandle:
    """:class:`runtime.agents.request.AgentPort` over a pool of Agent actors; a run stays with one of them."""

    def __init__(self, names: Sequence[str]) -> None:
        self._pool = [NamedActor(name) for name in names]

    async def run_stage(self, request: StageRequest) -> StageResult:
        actor = self._of(request.run_id)
        try:
            return await actor.call("run_stage", request)  # type: ignore[no-any-return]
        except StoreUnavailable as error:
            raise AgentLost(f"the agent's process was lost: {error.message}") from error

    async def run_planning(self, request: PlanningRequest) -> PlanningResult:
        actor = self._of(request.run_id)
        try:
            return await actor.call("run_planning", request)  # type: ignore[no-any-return]
        except StoreUnavailable as error:
            raise AgentLost(f"the agent's process was lost: {error.message}") from error

    async def renew(self, leases: Sequence[StageLease]) -> frozenset[StageLease]:
        by_actor: dict[NamedActor, list[StageLease]] = {}
        for lease in leases:
            by_actor.setdefault(self._of(lease.run_id), []).append(lease)
        calls = [actor.call("renew", held, timeout_s=2.0) for actor, held in by_actor.items()]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        if len(answers) == 1 and isinstance(answers[0], BaseException):
            raise answers[0]
        return frozenset[StageLease]().union(*(known for known in answers if not isinstance(known, BaseException)))

    async def say(self, run_id: str, stage: str, said: Sequence[PersonSaid]) -> None:
        await self._of(run_id).call("say", run_id, stage, list(said), timeout_s=2.0)

    async def cancel(self, run_id: str, stage: str | None = None) -> None:
        await self._of(run_id).call("cancel", run_id, stage, timeout_s=2.0)

    async def offered(self) -> tuple[OfferedTool, ...]:
        return await self._pool[0].call("offered", timeout_s=2.0)  # type: ignore[no-any-return]

    def _of(self, run_id: str) -> NamedActor:
        return self._pool[zlib.crc32(run_id.encode()) % len(self._pool)]


class OrchestratorHandle:
    """:class:`runtime.orchestrator.orchestrator.OrchestratorPort` over its actor."""

    def __init__(self, name: str) -> None:
        self._actor = NamedActor(name)

    async def plan(self, request: PlanRequest) -> PlanOutcome:
        return await self._actor.call("plan", request)  # type: ignore[no-any-return]

    async def current_plan(self, run_id: str) -> PlanOutcome | None:
        return await self._actor.call("current_plan", run_id)  # type: ignore[no-any-return]

    async def cancel(self, run_id: str) -> None:
        await self._actor.call("cancel", run_id, timeout_s=2.0)


class ExecutorHandle:
    """:class:`runtime.executor.executor.ExecutorPort` over its actor."""

    def __init__(self, name: str) -> None:
        self._actor = NamedActor(name)

    async def begin(self, run_id: str) -> bool:
        return await self._actor.call("begin_run", run_id, timeout_s=5.0)  # type: ignore[no-any-return]

    async def cancel(self, run_id: str) -> None:
        await self._actor.call("cancel", run_id, timeout_s=2.0)

    async def nudge(self, run_id: str) -> bool:
        return await self._actor.call("nudge", run_id, timeout_s=5.0)  # type: ignore[no-any-return]

    async def scan(self) -> int:
        """Look for runs nobody owns, now; how many were taken."""
        return await self._actor.call("scan", timeout_s=5.0)  # type: ignore[no-any-return]


def agent_handles(settings: Settings, agents: Sequence[str]) -> dict[str, AgentHandle]:
    """A handle per agent."""
    return {agent: AgentHandle(agent_names(settings, agent)) for agent in agents}


async def local_address(settings: Settings) -> LocalAddress:
    """Where the local model answers."""
    return await NamedActor(local_model_name(settings)).call("address")  # type: ignore[no-any-return]
