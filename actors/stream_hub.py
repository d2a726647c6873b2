"""StreamHub: a process because it is the single writer of its runs' log and feeds every door."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

import ray

from actors.shell import Pulse, Shell, as_actor
from runtime.bootstrap.store import build_hub
from runtime.clock import SystemClock
from runtime.events.envelope import Record, Stored
from runtime.log.census import Census
from runtime.log.credentials import Key
from runtime.log.log import Conversation, Created, Lease, NewRun, Run
from runtime.log.wire import Append, Appended, CancelledBy, FeedItem


class StreamHubHost(Shell):
    """Hosts :class:`runtime.log.hub.Hub`; one method each."""

    def __init__(self, settings: str) -> None:
        super().__init__(settings)
        self._hub = build_hub(self.settings, SystemClock())

    async def begin(self) -> None:
        await self._hub.start()

    async def append(self, batch: Sequence[Append]) -> list[Appended]:
        await self.started()
        return await self._hub.append(batch)

    async def create(self, new: NewRun) -> Created:
        await self.started()
        return await self._hub.create(new)

    async def cancel(self, run_id: str, by: CancelledBy) -> Run:
        await self.started()
        return await self._hub.cancel(run_id, by)

    async def say(self, run_id: str, name: str, record: Record) -> bool:
        await self.started()
        return await self._hub.say(run_id, name, record)

    async def claim(self, run_id: str | None, executor: str) -> list[Run]:
        await self.started()
        return await self._hub.claim(run_id, executor=executor)

    async def renew(self, executor: str, ttl_s: float) -> Lease:
        await self.started()
        return await self._hub.renew(executor, ttl_s=ttl_s)

    async def owned(self, executor: str) -> list[Run]:
        await self.started()
        return await self._hub.owned(executor)

    async def release(self, executor: str, lost: bool) -> None:
        await self.started()
        await self._hub.release(executor, lost=lost)

    async def watch(self, door: str, run_ids: Sequence[str]) -> dict[str, int]:
        await self.started()
        return await self._hub.watch(door, run_ids)

    async def unwatch(self, door: str, run_ids: Sequence[str]) -> None:
        await self.started()
        await self._hub.unwatch(door, run_ids)

    async def feed(self, door: str) -> AsyncGenerator[list[FeedItem], None]:
        await self.started()
        async for batch in self._hub.feed(door):
            yield batch

    async def get(self, run_id: str) -> Run | None:
        await self.started()
        return await self._hub.get(run_id)

    async def recent(self, tenant_id: str, limit: int) -> list[Run]:
        await self.started()
        return await self._hub.recent(tenant_id=tenant_id, limit=limit)

    async def read(self, run_id: str, after: int, limit: int, deltas: bool) -> list[Stored]:
        await self.started()
        return await self._hub.read(run_id, after=after, limit=limit, deltas=deltas)

    async def census(self, tenant_id: str | None, since: float, limit: int) -> Census:
        await self.started()
        return await self._hub.census(tenant_id=tenant_id, since=since, limit=limit)

    async def conversations(self, tenant_id: str, limit: int, before: int | None) -> list[Conversation]:
        await self.started()
        return await self._hub.conversations(tenant_id=tenant_id, limit=limit, before=before)

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        await self.started()
        return await self._hub.conversation(tenant_id, conversation_id)

    async def runs_of(self, tenant_id: str, conversation_id: str, limit: int, before: str | None) -> list[Run]:
        await self.started()
        return await self._hub.runs_of(tenant_id, conversation_id, limit=limit, before=before)

    async def delete_conversation(self, tenant_id: str, conversation_id: str) -> tuple[str, ...]:
        await self.started()
        return await self._hub.delete_conversation(tenant_id, conversation_id)

    async def key(self, key_id: str) -> Key | None:
        await self.started()
        return await self._hub.key(key_id)

    async def keys(self, tenant_id: str | None, limit: int) -> list[Key]:
        await self.started()
        return await self._hub.keys(tenant_id=tenant_id, limit=limit)

    async def add_key(self, key: Key) -> None:
        await self.started()
        await self._hub.add_key(key)

    async def revoke_key(self, key_id: str, at: float) -> Key | None:
        await self.started()
        return await self._hub.revoke_key(key_id, at)

    async def expire_key(self, key_id: str, at: float) -> Key | None:
        await self.started()
        return await self._hub.expire_key(key_id, at)

    async def heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        await self.started()
        return await self._hub.heads(run_ids)

    async def statistics(self) -> dict[str, int]:
        return self._hub.statistics()

    async def stop(self) -> None:
        """Commit what has gathered and close the log."""
        await self._hub.stop()

    @ray.method(concurrency_group="control")
    async def ping(self) -> Pulse:
        return self.pulse(ray.get_runtime_context().get_node_id())


StreamHub = as_actor(StreamHubHost)
