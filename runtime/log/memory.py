"""The log in memory: the quiet twin of the stores on disk, for tests and for runs that need not survive the process.

No method awaits between reading and writing, so each is one transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from runtime.clock import Clock
from runtime.errors import InvalidRequest, NotFound
from runtime.events.envelope import Stored
from runtime.log.census import Census, census_of
from runtime.log.decide import (
    DAY_S,
    HANDOUT_S,
    IDEMPOTENCY_KEPT_S,
    PAGE,
    Account,
    Head,
    advance,
    busy,
    created,
    decide,
    deleted,
    head_of,
    moved,
    number,
    require_followed,
    require_share,
    run_exists,
    title_in,
)
from runtime.log.log import Conversation, Created, Lease, NewRun, Run, Write, Written
from runtime.log.memory_keys import MemoryKeys

REVOKED = 0.0
"""A lease that ended here never comes back, whatever the clock says."""


@dataclass(frozen=True, slots=True)
class _Key:
    run_id: str
    hash: str | None
    created_at: float


@dataclass(slots=True)
class _Conversation:
    created_at: float
    updated_at: float
    place: int
    title: str | None = None
    deleted: bool = False
    runs: list[str] = field(default_factory=list)


class MemoryLog(MemoryKeys):
    """The whole ``Log`` port over dictionaries. Ready without ``open``; after ``close`` away until opened again."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self._runs: dict[str, Run] = {}
        self._events: dict[str, list[Stored]] = {}
        self._publishers: dict[tuple[str, str], int] = {}
        self._keys: dict[tuple[str, str], _Key] = {}
        self._leases: dict[str, float] = {}
        self._days: dict[tuple[str, int], Account] = {}
        self._conversations: dict[tuple[str, str], _Conversation] = {}
        self._created = 0
        self._deleted_runs: set[str] = set()

    async def open(self) -> None:
        self._closed = False

    async def close(self) -> None:
        """Be away; what was written stays and is there again after ``open``."""
        self._closed = True

    async def create(self, new: NewRun) -> Created:
        self._reachable()
        now = self._clock.now()
        existing = self._named_by_key(new, now)
        if existing is not None:
            return Created(existing, existing=True)
        self._refuse_unless_free(new)
        of_tenant = (run for run in self._runs.values() if run.tenant_id == new.tenant_id)
        in_flight = sum(run.status in ("accepted", "running") for run in of_tenant)
        day = self._days.get((new.tenant_id, int(now // DAY_S)), Account())
        require_share(new, in_flight=in_flight, spent=day.spent, now=now)
        run = created(new, now=now)
        self._runs[run.run_id] = run
        self._events[run.run_id] = number(new.records, first_seq=1, epoch=0)
        self._created += 1
        if new.conversation_id is not None:
            self._enter(new, (new.tenant_id, new.conversation_id), now)
        if new.idempotency_key is not None:
            self._keys[new.tenant_id, new.idempotency_key] = _Key(run.run_id, new.idempotency_hash, now)
        return Created(run, existing=False)

    async def append(self, writes: Sequence[Write]) -> list[Written]:
        self._reachable()
        return [self._append(write) for write in writes]

    async def publisher_seq(self, run_id: str, publisher: str) -> int:
        self._reachable()
        return self._publishers.get((run_id, publisher), 0)

    async def get(self, run_id: str) -> Run | None:
        self._reachable()
        return self._runs.get(run_id)

    async def recent(self, *, tenant_id: str, limit: int = 50) -> list[Run]:
        self._reachable()
        of_tenant = [run for run in reversed(self._runs.values()) if run.tenant_id == tenant_id]
        return of_tenant[: max(limit, 0)]

    async def read(self, run_id: str, *, after: int, limit: int = PAGE, deltas: bool = True) -> list[Stored]:
        self._reachable()
        following = self._events.get(run_id, [])[max(after, 0) :]
        wanted = following if deltas else [event for event in following if event.family != "token"]
        return wanted[: max(min(limit, PAGE), 0)]

    async def heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        self._reachable()
        return {run_id: run.last_seq for run_id in run_ids if (run := self._runs.get(run_id)) is not None}

    async def size(self, run_id: str) -> int:
        self._reachable()
        return sum(len(stored.body) for stored in self._events.get(run_id, ()))

    async def claim(self, run_id: str | None, *, executor: str, limit: int = 16) -> list[Run]:
        self._reachable()
        now = self._clock.now()
        if not self._alive(executor, now):
            return []
        asked = list(self._runs.values()) if run_id is None else [self._runs[run_id]] if run_id in self._runs else []
        free = [run for run in asked if self._claimable(run, now, unasked=run_id is None)]
        return [self._take(run, executor) for run in free[: max(limit, 0)]]

    async def renew(self, executor: str, *, ttl_s: float) -> Lease:
        self._reachable()
        now = self._clock.now()
        if executor in self._leases and not self._alive(executor, now):
            self._leases[executor] = REVOKED
            return Lease(alive=False)
        self._leases[executor] = now + ttl_s
        owned = await self.owned(executor)
        return Lease(alive=True, cancel_requested=tuple(run.run_id for run in owned if run.cancel_requested))

    async def owned(self, executor: str) -> list[Run]:
        self._reachable()
        return [run for run in self._runs.values() if run.owner == executor and not run.terminal]

    async def release(self, executor: str, *, lost: bool = False) -> None:
        self._reachable()
        self._leases[executor] = REVOKED
        if not lost:
            for run in await self.owned(executor):
                self._runs[run.run_id] = replace(run, owner=None)

    async def spent(self, tenant_id: str, day: int) -> tuple[int, int]:
        self._reachable()
        account = self._days.get((tenant_id, day), Account())
        return account.reserved, account.spent

    async def census(self, *, tenant_id: str | None, since: float, limit: int) -> Census:
        self._reachable()
        days = {place: (account.reserved, account.spent) for place, account in self._days.items()}
        return census_of(self._runs.values(), days, tenant_id=tenant_id, since=since, limit=limit)

    async def conversations(self, *, tenant_id: str, limit: int = 50, before: int | None = None) -> list[Conversation]:
        self._reachable()
        there = [self._conversation(*place) for place in self._conversations if place[0] == tenant_id]
        older = [one for one in there if one is not None and (before is None or one.place < before)]
        return sorted(older, key=lambda one: -one.place)[: max(limit, 0)]

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        self._reachable()
        return self._conversation(tenant_id, conversation_id)

    async def runs_of(
        self, tenant_id: str, conversation_id: str, *, limit: int = 50, before: str | None = None
    ) -> list[Run]:
        self._reachable()
        held = self._conversations.get((tenant_id, conversation_id))
        run_ids = [] if held is None else held.runs
        if before is not None:
            run_ids = run_ids[: run_ids.index(before)] if before in run_ids else []
        return [self._runs[run_id] for run_id in reversed(run_ids)][: max(limit, 0)]

    async def delete_conversation(self, tenant_id: str, conversation_id: str) -> tuple[str, ...]:
        self._reachable()
        held = self._conversations.get((tenant_id, conversation_id))
        if held is None or held.deleted:
            raise NotFound("no such conversation")
        if any(not self._runs[run_id].terminal for run_id in held.runs):
            raise busy()
        gone = tuple(held.runs)
        for run_id in gone:
            del self._runs[run_id], self._events[run_id]
        self._publishers = {pair: seq for pair, seq in self._publishers.items() if pair[0] not in gone}
        self._keys = {name: key for name, key in self._keys.items() if key.run_id not in gone}
        self._deleted_runs.update(gone)
        held.title, held.deleted, held.runs = None, True, []
        return gone

    def _enter(self, new: NewRun, place: tuple[str, str], now: float) -> None:
        """Make ``new`` the newest run of its conversation, and begin that if there is none yet."""
        held = self._conversations.setdefault(place, _Conversation(now, now, 0))
        held.updated_at, held.place = now, self._created
        held.title = held.title or title_in(new.records)
        held.runs.append(new.run_id)

    def _conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        held = self._conversations.get((tenant_id, conversation_id))
        if held is None or held.deleted:
            return None
        runs = [self._runs[run_id] for run_id in held.runs]
        return Conversation(
            tenant_id=tenant_id,
            conversation_id=conversation_id,
            title=held.title,
            created_at=held.created_at,
            updated_at=held.updated_at,
            place=held.place,
            question=runs[0].question,
            runs=len(runs),
            reserved=sum(run.reserved for run in runs),
            spent=sum(run.spent for run in runs),
        )

    def _named_by_key(self, new: NewRun, now: float) -> Run | None:
        """The run that ``new``'s idempotency key names already; raises ``InvalidRequest`` for another body."""
        if new.idempotency_key is None:
            return None
        key = self._keys.get((new.tenant_id, new.idempotency_key))
        if key is None or key.created_at <= now - IDEMPOTENCY_KEPT_S:
            return None
        if key.hash != new.idempotency_hash:
            raise InvalidRequest("this Idempotency-Key was used with another request body")
        return self._runs[key.run_id]

    def _refuse_unless_free(self, new: NewRun) -> None:
        if new.run_id in self._runs or new.run_id in self._deleted_runs:
            raise run_exists(new.run_id)
        if new.conversation_id is None:
            return
        held = self._conversations.get((new.tenant_id, new.conversation_id))
        if held is not None and held.deleted:
            raise deleted()
        runs = [] if held is None else held.runs
        if any(not self._runs[run_id].terminal for run_id in runs):
            raise busy()
        require_followed(new, runs[-1] if runs else None)

    def _append(self, write: Write) -> Written:
        run = self._runs.get(write.run_id)
        head = None if run is None else head_of(run)
        publisher = (write.run_id, write.publisher)
        day = Account() if run is None else self._days.get((run.tenant_id, run.day), Account())
        limit = None if run is None else run.day_budget
        outcome = decide(head, self._publishers.get(publisher, 0), write, day._replace(limit=limit))
        if run is None or head is None:
            return Written(outcome)
        if outcome != "committed":
            return Written(outcome, last_seq=run.last_seq, epoch=run.epoch)
        first_seq = run.last_seq + 1
        self._runs[run.run_id] = _advanced(run, advance(head, write))
        self._events[run.run_id] += number(write.records, first_seq=first_seq, epoch=run.epoch)
        self._publishers[publisher] = write.publisher_seq
        self._days[run.tenant_id, run.day] = day.after(moved(head, write))
        held = self._conversations.get((run.tenant_id, run.conversation_id or ""))
        if held is not None and held.title is None:
            held.title = title_in(write.records)
        return Written(outcome, first_seq, run.last_seq + len(write.records), run.epoch)

    def _alive(self, executor: str, now: float) -> bool:
        return self._leases.get(executor, REVOKED) > now

    def _claimable(self, run: Run, now: float, *, unasked: bool) -> bool:
        if run.status == "accepted":
            return not unasked or run.created_at + HANDOUT_S < now
        if run.status == "waiting":
            return run.cancel_requested or (run.wake_at is not None and run.wake_at <= now)
        return run.status == "running" and (run.owner is None or not self._alive(run.owner, now))

    def _begun(self, run: Run) -> bool:
        """Whether anything was written under the present epoch."""
        return self._events[run.run_id][-1].epoch == run.epoch

    def _take(self, run: Run, executor: str) -> Run:
        taken = replace(
            run,
            status="running",
            epoch=run.epoch + 1,
            owner=executor,
            takeovers=run.takeovers + (run.status == "running" and run.owner is not None and self._begun(run)),
            wake_at=None,
        )
        self._runs[run.run_id] = taken
        return taken


def _advanced(run: Run, head: Head) -> Run:
    return replace(
        run,
        status=head.status,
        last_seq=head.last_seq,
        cancel_requested=head.cancel_requested,
        owner=None if head.status == "waiting" else run.owner,
        wake_at=head.wake_at,
        reserved=head.account.reserved,
        spent=head.account.spent,
        takeovers=head.takeovers,
    )
