"""The port to the store. One contract suite (``tests/contracts/test_log.py``) examines every implementation.

A log keeps runs and their events. All writes come from one hub at a time; every write is fenced by the run's epoch and
its expected last sequence number, so a second, frozen hub or owner cannot write. ``append`` takes many runs' writes and
commits them in **one** transaction; a write that is refused fails alone. Times are on the store's own clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from runtime.events.base import TERMINAL as TERMINAL
from runtime.events.base import Status as Status
from runtime.events.envelope import Record, Stored

if TYPE_CHECKING:  # it is made of runs
    from runtime.log.census import Census

TERMINAL_TYPES: dict[str, Status] = {
    "run.completed": "completed",
    "run.failed": "failed",
    "run.cancelled": "cancelled",
    "run.expired": "expired",
}
"""Which status an event's type ends its run with."""

PROGRESS = frozenset({"plan.committed", "turn.completed", "stage.completed"})
"""What shows that a run does not kill whoever works on it: with one of these its takeovers count from 0 again."""

FORMAT_VERSION = 4
"""Of what is stored; a store of another version is refused with a clear message."""


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to be created, with its first records (``run.accepted``)."""

    run_id: str
    tenant_id: str
    conversation_id: str | None
    question: str
    """The first 200 characters of it, for lists."""
    deadline_s: float
    on_disconnect: Literal["cancel", "continue"]
    grace_s: float
    records: tuple[Record, ...]
    idempotency_key: str | None = None
    idempotency_hash: str | None = None
    """Of the request body: the same key with another hash is an error."""
    budget: int | None = None
    """What the run may spend, in millionths of a US dollar; None: as much as it needs."""
    day_budget: int | None = None
    """What all runs of the tenant created on the same day (UTC) may spend together, as this one sees it."""
    follows: str | None = None
    """The run whose end it goes on from; refused when another is the newest of the conversation. Empty: it is the first;
    None: whichever it is."""
    most_runs: int | None = None
    """How many runs of the tenant may be accepted or running at a time, this one among them; None: any number."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run as the store knows it."""

    run_id: str
    tenant_id: str
    conversation_id: str | None
    question: str
    status: Status
    epoch: int
    """0 until the first claim; +1 with each."""
    last_seq: int
    owner: str | None
    created_at: float
    deadline_at: float
    cancel_requested: bool
    on_disconnect: Literal["cancel", "continue"]
    grace_s: float
    takeovers: int
    """How often an owner that had begun was lost since the run last made progress; a run handed over, or woken, or one
    that waited for its turn when its owner was lost, does not count."""
    wake_at: float | None = None
    """When a waiting run may be claimed; None: not by itself."""
    budget: int | None = None
    day_budget: int | None = None
    reserved: int = 0
    """Millionths of a US dollar held back for model calls under way; 0 once the run has ended."""
    spent: int = 0

    @property
    def day(self) -> int:
        """Days since 1970 (UTC) at its creation: the day its spending counts for, whenever it happens."""
        return int(self.created_at // 86400)

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL


@dataclass(frozen=True, slots=True)
class Conversation:
    """Runs that go on from one another, as the store knows them."""

    tenant_id: str
    conversation_id: str
    title: str | None
    """The first that one of its runs was given."""
    created_at: float
    updated_at: float
    """When its newest run was created."""
    place: int
    """Among all conversations by their newest runs; the newest has the highest."""
    question: str
    """Its first run's."""
    runs: int
    reserved: int
    """The sum of its runs, in millionths of a US dollar; so is ``spent``."""
    spent: int


@dataclass(frozen=True, slots=True)
class Created:
    """The answer to ``create``; ``existing`` is True when the idempotency key named a run that was there already."""

    run: Run
    existing: bool


@dataclass(frozen=True, slots=True)
class Write:
    """Records for one run. ``epoch`` None: from the door (cancel, input), allowed on any unfinished run."""

    run_id: str
    epoch: int | None
    expected_seq: int
    publisher: str
    publisher_seq: int
    """1, 2, 3 ... without gaps per (run, publisher); a repeat is answered ``repeated`` and not written again."""
    records: tuple[Record, ...]
    cancel: bool = False
    """Also sets the run's cancel request."""
    wake: bool = False
    """Also lets a waiting run be claimed at once: what it waits for may have come."""
    wake_at: float | None = None
    """With ``run.waiting`` as the last record: when the run may be claimed again."""


Outcome = Literal[
    "committed", "repeated", "fenced", "ended", "conflict", "unknown_run", "cancel_requested", "over_budget"
]
"""``cancel_requested``: a ``run.completed`` was refused because a cancel request stands (JOURNAL.md 1.11, 7).
``over_budget``: what the records would hold back does not fit the run's budget or its tenant's day."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of one write. ``last_seq`` and ``epoch`` are the run's after it."""

    outcome: Outcome
    first_seq: int = 0
    last_seq: int = 0
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Lease:
    """The answer to a renewal: which of the executor's runs have a cancel request, and whether it still counts as alive."""

    alive: bool
    cancel_requested: tuple[str, ...] = ()


class Log(Protocol):
    """A store of runs. Every method raises :class:`runtime.errors.StoreUnavailable` when the store cannot be reached."""

    async def open(self) -> None:
        """Make it ready, creating what is missing. Raises ``StoreLocked``, ``ConfigurationError``."""
        ...

    async def close(self) -> None:
        """Let go of it; safe to call twice."""
        ...

    async def create(self, new: NewRun) -> Created:
        """Create a run with its first records, or give the one its idempotency key names.

        Raises ``InvalidRequest`` for the same key with another hash, and ``Conflict`` with a reason: ``conversation_busy``
        when the conversation has an unfinished run, ``conversation_deleted``, ``conversation_moved`` when its newest run
        is not the one that ``new`` follows, ``run_exists`` for the id of a run that is or was there. Raises ``OverQuota``
        with a reason: ``too_many_runs``, ``budget_exhausted`` when the day's budget is spent. A run that is there already,
        by its key, is given whatever the quota.
        """
        ...

    async def append(self, writes: Sequence[Write]) -> list[Written]:
        """Commit the writes in one transaction; answers in the same order. Two writes of one run apply in order.

        A terminal record sets the run's status in the same transaction, and must be the write's last; what was still
        held back for model calls then counts as spent. ``run.waiting`` as the last record makes the run waiting and
        nobody's. Otherwise an owner's write is taken only while the run is running. ``title.set`` gives the run's
        conversation its title, if it has none.
        """
        ...

    async def publisher_seq(self, run_id: str, publisher: str) -> int:
        """The last ``publisher_seq`` written for that pair; 0 when none was."""
        ...

    async def get(self, run_id: str) -> Run | None:
        """The run, or None."""
        ...

    async def recent(self, *, tenant_id: str, limit: int = 50) -> list[Run]:
        """The newest runs first."""
        ...

    async def read(self, run_id: str, *, after: int, limit: int = 512, deltas: bool = True) -> list[Stored]:
        """Events with ``seq > after`` in order; without those of family ``token`` when ``deltas`` is False."""
        ...

    async def heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        """How far those runs have come, as their last sequence numbers, in one question; unknown runs are left out."""
        ...

    async def size(self, run_id: str) -> int:
        """Bytes of all the run's events as they are stored; 0 for an unknown run."""
        ...

    async def claim(self, run_id: str | None, *, executor: str, limit: int = 16) -> list[Run]:
        """Make ``executor`` the owner of that run, or of up to ``limit`` runs nobody living owns; epoch + 1 each.

        Claimable is a run that is accepted, or running with an owner whose lease has run out (or that has none), or
        waiting and due or to be cancelled; and only by an executor with a lease of its own. ``takeovers`` grows when an
        owner was lost that had begun: when the run was running, had one, and its last event is of the present epoch. An
        accepted run is given by ``run_id=None`` only when it is older than 1 s: until then whoever accepted it is handing
        it out.
        Answers the claimed runs after the claim.
        """
        ...

    async def renew(self, executor: str, *, ttl_s: float) -> Lease:
        """Extend (or begin) an executor's lease. ``alive=False`` when it had run out or was revoked: stop everything, take a new name."""
        ...

    async def owned(self, executor: str) -> list[Run]:
        """The unfinished runs that are this executor's."""
        ...

    async def release(self, executor: str, *, lost: bool = False) -> None:
        """End an executor's lease now, so that others may take its runs at once.

        It hands its runs over, which is no takeover; ``lost``: it is said to be dead by someone else, which is one.
        """
        ...

    async def spent(self, tenant_id: str, day: int) -> tuple[int, int]:
        """What the tenant's runs of that day hold back and have spent, in millionths of a US dollar."""
        ...

    async def census(self, *, tenant_id: str | None, since: float, limit: int) -> Census:
        """What is under way, and what was created ``since`` then among the ``limit`` newest; None: of all tenants."""
        ...

    async def conversations(self, *, tenant_id: str, limit: int = 50, before: int | None = None) -> list[Conversation]:
        """Those with the newest runs first; ``before``: only those with a lower place."""
        ...

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        """The conversation, or None when there is none, or none any more."""
        ...

    async def runs_of(
        self, tenant_id: str, conversation_id: str, *, limit: int = 50, before: str | None = None
    ) -> list[Run]:
        """The conversation's newest runs first; ``before``: only those older than that run."""
        ...

    async def delete_conversation(self, tenant_id: str, conversation_id: str) -> tuple[str, ...]:
        """Delete its runs with all their text; answers their ids. Neither these nor its own can be used again.

        What the runs cost stays in the sums of their days. Each run goes in a transaction of its own: after a failure
        the conversation takes no more runs, and a repeat deletes what is left. Raises ``NotFound``, also when it is
        deleted already, and ``Conflict('...', 'conversation_busy')`` while a run is unfinished.
        """
        ...


class LogReader(Protocol):
    """The reading half, which doors and executors use beside the hub."""

    async def get(self, run_id: str) -> Run | None:
        """The run, or None."""
        ...

    async def recent(self, *, tenant_id: str, limit: int = 50) -> list[Run]:
        """The newest runs first."""
        ...

    async def read(self, run_id: str, *, after: int, limit: int = 512, deltas: bool = True) -> list[Stored]:
        """Events with ``seq > after`` in order."""
        ...

    async def heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        """The last sequence numbers of those runs that exist, in one question."""
        ...

    async def census(self, *, tenant_id: str | None, since: float, limit: int) -> Census:
        """What is under way, and what was created ``since`` then among the ``limit`` newest; None: of all tenants."""
        ...

    async def conversations(self, *, tenant_id: str, limit: int = 50, before: int | None = None) -> list[Conversation]:
        """Those with the newest runs first; ``before``: only those with a lower place."""
        ...

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        """The conversation, or None when there is none, or none any more."""
        ...

    async def runs_of(
        self, tenant_id: str, conversation_id: str, *, limit: int = 50, before: str | None = None
    ) -> list[Run]:
        """The conversation's newest runs first; ``before``: only those older than that run."""
        ...
