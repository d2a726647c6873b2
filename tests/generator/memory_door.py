"""A whole ``Door`` over lists, for tests of the HTTP layer. Nothing is durable, so nothing is seen too early."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import replace
from itertools import takewhile
from typing import Literal

from runtime.clock import ManualClock
from runtime.errors import Busy, Conflict, InvalidRequest, NotFound, StoreUnavailable
from runtime.events.catalog import RunCancelRequested, TitleSet
from runtime.events.codec import decode, encode
from runtime.events.envelope import Draft, Record, Stored
from runtime.log.census import Census, census_of
from runtime.log.log import TERMINAL_TYPES, Conversation, Created, NewRun, Run, Status


class MemoryDoor:
    """Runs in a dictionary; ``publish`` is what executors and agents would do. ``down`` makes every call fail."""

    def __init__(self, clock: ManualClock, *, max_readers: int = 50) -> None:
        self.clock = clock
        self.max_readers = max_readers
        self.down = False
        self.runs: dict[str, Run] = {}
        self.events: dict[str, list[Stored]] = {}
        self.readers: dict[str, int] = {}
        self.closed = 0
        """Generators of ``follow`` that came to their ``finally``."""
        self._deleted: set[str | None] = set()
        self._keys: dict[str, tuple[str, str | None]] = {}
        self._said: dict[str, set[str]] = {}
        self._news = asyncio.Condition()

    async def create(self, new: NewRun) -> Created:
        self._require_up()
        if new.idempotency_key is not None and new.idempotency_key in self._keys:
            run_id, fingerprint = self._keys[new.idempotency_key]
            if fingerprint != new.idempotency_hash:
                raise InvalidRequest("This Idempotency-Key was used with another body.")
            return Created(self.runs[run_id], existing=True)
        busy = [r for r in self.runs.values() if r.conversation_id == new.conversation_id and not r.terminal]
        if new.conversation_id is not None and busy:
            raise Conflict("The conversation has an unfinished run.", "conversation_busy")
        if new.conversation_id in self._deleted:
            raise Conflict("the conversation was deleted; begin another", "conversation_deleted")
        members = self._members(new.tenant_id, new.conversation_id or "")
        if new.follows is not None and new.follows != (members[-1].run_id if members else ""):
            raise Conflict("another run has come first in this conversation", "conversation_moved")
        now = self.clock.now()
        self.runs[new.run_id] = Run(
            run_id=new.run_id,
            tenant_id=new.tenant_id,
            conversation_id=new.conversation_id,
            question=new.question,
            status="accepted",
            epoch=0,
            last_seq=0,
            owner=None,
            created_at=now,
            deadline_at=now + new.deadline_s,
            cancel_requested=False,
            on_disconnect=new.on_disconnect,
            grace_s=new.grace_s,
            takeovers=0,
            budget=new.budget,
            day_budget=new.day_budget,
        )
        self.events[new.run_id] = []
        for record in new.records:
            await self._append(new.run_id, record.type, record.family, record.stage, record.body)
        if new.idempotency_key is not None:
            self._keys[new.idempotency_key] = (new.run_id, new.idempotency_hash)
        return Created(self.runs[new.run_id], existing=False)

    async def get(self, run_id: str) -> Run | None:
        self._require_up()
        return self.runs.get(run_id)

    async def recent(self, *, tenant_id: str, limit: int) -> list[Run]:
        self._require_up()
        return [run for run in reversed(self.runs.values()) if run.tenant_id == tenant_id][:limit]

    async def census(self, *, tenant_id: str | None, since: float, limit: int) -> Census:
        self._require_up()
        spent = Counter[tuple[str, int]]()
        for run in self.runs.values():
            spent[run.tenant_id, run.day] += run.spent
        days = {place: (0, money) for place, money in spent.items()}
        return census_of(self.runs.values(), days, tenant_id=tenant_id, since=since, limit=limit)

    async def conversations(self, *, tenant_id: str, limit: int, before: int | None = None) -> list[Conversation]:
        self._require_up()
        named = {
            run.conversation_id for run in self.runs.values() if run.conversation_id and run.tenant_id == tenant_id
        }
        found = [self._conversation(tenant_id, conversation_id) for conversation_id in named]
        older = [one for one in found if before is None or one.place < before]
        return sorted(older, key=lambda one: -one.place)[:limit]

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        self._require_up()
        return self._conversation(tenant_id, conversation_id) if self._members(tenant_id, conversation_id) else None

    async def runs_of(
        self, tenant_id: str, conversation_id: str, *, limit: int, before: str | None = None
    ) -> list[Run]:
        self._require_up()
        members = self._members(tenant_id, conversation_id)
        older = takewhile(lambda run: run.run_id != before, members)
        return list(older)[::-1][:limit]

    async def delete_conversation(self, tenant_id: str, conversation_id: str) -> None:
        self._require_up()
        members = self._members(tenant_id, conversation_id)
        if not members:
            raise NotFound("no such conversation")
        if any(not run.terminal for run in members):
            raise Conflict("the conversation has an unfinished run", "conversation_busy")
        for run in members:
            del self.runs[run.run_id], self.events[run.run_id]
        self._deleted.add(conversation_id)

    def _members(self, tenant_id: str, conversation_id: str) -> list[Run]:
        place = (tenant_id, conversation_id)
        return [run for run in self.runs.values() if (run.tenant_id, run.conversation_id) == place]

    def _conversation(self, tenant_id: str, conversation_id: str) -> Conversation:
        members = self._members(tenant_id, conversation_id)
        events = [stored for run in members for stored in self.events[run.run_id]]
        title = next((decode(stored).event for stored in events if stored.type == "title.set"), None)
        return Conversation(
            tenant_id=tenant_id,
            conversation_id=conversation_id,
            title=title.title if isinstance(title, TitleSet) else None,
            created_at=members[0].created_at,
            updated_at=members[-1].created_at,
            place=1 + list(self.runs).index(members[-1].run_id),
            question=members[0].question,
            runs=len(members),
            reserved=sum(run.reserved for run in members),
            spent=sum(run.spent for run in members),
        )

    async def page(self, run_id: str, *, after: int, limit: int = 512, deltas: bool = True) -> list[Stored]:
        self._require_up()
        later = [s for s in self.events.get(run_id, []) if s.seq > after and (deltas or s.family != "token")]
        return later[:limit]

    async def follow(self, run_id: str, *, after: int, idle_s: float) -> AsyncGenerator[list[Stored], None]:
        if self.readers.get(run_id, 0) >= self.max_readers:
            raise Busy("too many readers")
        self.readers[run_id] = self.readers.get(run_id, 0) + 1
        try:
            while True:
                batch = await self._next(run_id, after, idle_s)
                yield batch
                if batch:
                    after = batch[-1].seq
                    if batch[-1].type in TERMINAL_TYPES:
                        return
        finally:
            self.readers[run_id] -= 1
            self.closed += 1

    async def cancel(self, run_id: str, by: Literal["user", "disconnect", "shutdown"]) -> Run:
        self._require_up()
        run = self.runs.get(run_id)
        if run is None:
            raise NotFound("no such run")
        if run.terminal:
            raise Conflict("The run is finished.", "run_finished")
        if not run.cancel_requested:
            self.runs[run_id] = replace(run, cancel_requested=True)
            await self.publish(run_id, Draft(RunCancelRequested(by=by)))
        return self.runs[run_id]

    async def say(self, run_id: str, name: str, record: Record) -> bool:
        self._require_up()
        run = self.runs.get(run_id)
        if run is None:
            raise NotFound("no such run")
        if name in self._said.get(run_id, set()):
            return False
        if run.terminal:
            raise Conflict("The run is finished.", "run_finished")
        self._said.setdefault(run_id, set()).add(name)
        await self._append(run_id, record.type, record.family, record.stage, record.body)
        return True

    async def problems(self) -> dict[str, str]:
        return {"store": "The store cannot be reached; check that it runs."} if self.down else {}

    async def publish(self, run_id: str, *drafts: Draft) -> None:
        """Append events as their publishers would."""
        for draft in drafts:
            record = encode(draft, run_id, self.clock.now())
            await self._append(run_id, record.type, record.family, record.stage, record.body)

    async def _append(self, run_id: str, type_: str, family: str, stage: str | None, body: bytes) -> None:
        run = self.runs[run_id]
        stored = Stored(run.last_seq + 1, run.epoch, type_, family, stage, body)  # type: ignore[arg-type]
        lives: dict[str, Status] = {"run.started": "running", "run.waiting": "waiting"}
        status = TERMINAL_TYPES.get(type_) or lives.get(type_, run.status)
        epoch = run.epoch + 1 if type_ == "run.started" else run.epoch
        stored = stored._replace(epoch=epoch)
        async with self._news:
            self.events[run_id].append(stored)
            self.runs[run_id] = replace(run, status=status, epoch=epoch, last_seq=stored.seq)
            self._news.notify_all()

    async def _next(self, run_id: str, after: int, idle_s: float) -> list[Stored]:
        try:
            async with asyncio.timeout(idle_s), self._news:
                while not (batch := await self.page(run_id, after=after)):
                    await self._news.wait()
                return batch
        except TimeoutError:
            return []

    def _require_up(self) -> None:
        if self.down:
            raise StoreUnavailable("sqlite: disk I/O error at /secret/path")
