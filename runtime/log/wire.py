"""What travels between publishers, the hub and the doors, and the port they share.

Named tuples, because every token crosses two processes in them: pickling a frozen dataclass costs three times as much
(measured: 6 us each way against 2).
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Literal, NamedTuple, Protocol

from runtime.events.envelope import Record, Stored
from runtime.log.census import Census
from runtime.log.credentials import Credentials
from runtime.log.log import Conversation, Created, Lease, NewRun, Run

CancelledBy = Literal["user", "disconnect", "shutdown"]


class Append(NamedTuple):
    """Records of one lane on their way to the hub; numbered per lane, never in the run."""

    run_id: str
    publisher: str
    publisher_seq: int
    epoch: int
    records: tuple[Record, ...]
    stage: str | None = None
    dispatch: int | None = None
    """The dispatch of ``stage`` this lane works for; a lower one than the highest known is refused."""
    worker: bool = False
    """True for agents: refused as soon as a cancel request stands. Executors may still write the end."""
    wake_at: float | None = None
    """With ``run.waiting`` as the last record: when the run may be claimed again."""
    unless_said_after: int | None = None
    """Refused as ``input_pending`` when a person has said something after that sequence number."""


AppendOutcome = Literal[
    "committed",
    "fenced",
    "superseded",
    "ended",
    "cancelled",
    "unknown_run",
    "rejected",
    "over_budget",
    "log_limit",
    "input_pending",
    "repeated",
]
"""``rejected``: this append alone cannot be stored, now or later; the others of its batch are not touched by it.
``over_budget``: the model call it announces does not fit the budget. ``log_limit``: the run's log is as long as it may be.
``input_pending``: a person has said something that its sender had not seen. ``repeated``: only of what people say."""


class Appended(NamedTuple):
    """What became of one append; a repeat of a committed one is ``committed``."""

    outcome: AppendOutcome
    last_seq: int = 0


class FeedItem(NamedTuple):
    """News of one run for a door: consecutive events, or only the head when there was too much."""

    run_id: str
    head: int
    events: tuple[Stored, ...] = ()


class HubPort(Credentials, Protocol):
    """The stream hub as others see it. Raises ``StoreUnavailable`` when it or the store cannot be reached."""

    async def append(self, batch: Sequence[Append]) -> list[Appended]:
        """Commit all appends of a batch; answers in order, each for itself."""
        ...

    async def create(self, new: NewRun) -> Created:
        """Commit a new run."""
        ...

    async def cancel(self, run_id: str, by: CancelledBy) -> Run:
        """Commit a cancel request. Raises NotFound, Conflict(..., 'run_finished')."""
        ...

    async def say(self, run_id: str, name: str, record: Record) -> bool:
        """Commit what a person says to an unfinished run, once for each ``name``; a waiting run may be claimed at once.

        False: something was said under that name before, maybe by this very caller. Raises NotFound,
        Conflict(..., 'run_finished').
        """
        ...

    async def claim(self, run_id: str | None, *, executor: str) -> list[Run]:
        """Make ``executor`` the owner of one run, or of those nobody owns."""
        ...

    async def renew(self, executor: str, *, ttl_s: float) -> Lease:
        """Extend an executor's lease; tells which of its runs are to be cancelled."""
        ...

    async def owned(self, executor: str) -> list[Run]:
        """The unfinished runs that are this executor's."""
        ...

    async def release(self, executor: str, *, lost: bool = False) -> None:
        """End an executor's lease now; ``lost``: someone else says that it is dead, which counts as a takeover."""
        ...

    async def watch(self, door: str, run_ids: Sequence[str]) -> dict[str, int]:
        """Feed these runs' events to ``door`` from now on; answers their heads (0 for unknown runs)."""
        ...

    async def unwatch(self, door: str, run_ids: Sequence[str]) -> None:
        """Stop feeding them: the door has no reader of them any more."""
        ...

    def feed(self, door: str) -> AsyncGenerator[list[FeedItem], None]:
        """One feed per door for all it watches; an empty batch every 2 s of silence. A newer feed ends an older one."""
        ...

    async def get(self, run_id: str) -> Run | None:
        """The run as stored."""
        ...

    async def recent(self, *, tenant_id: str, limit: int = 50) -> list[Run]:
        """The newest runs first."""
        ...

    async def read(self, run_id: str, *, after: int, limit: int = 512, deltas: bool = True) -> list[Stored]:
        """Committed events after ``after``."""
        ...

    async def heads(self, run_ids: Sequence[str]) -> dict[str, int]:
        """The last sequence numbers of those runs that exist."""
        ...

    async def census(self, *, tenant_id: str | None, since: float, limit: int) -> Census:
        """What is under way, and what was created ``since`` then among the ``limit`` newest; None: of all tenants."""
        ...

    async def conversations(self, *, tenant_id: str, limit: int = 50, before: int | None = None) -> list[Conversation]:
        """Those with the newest runs first."""
        ...

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        """The conversation, or None."""
        ...

    async def runs_of(
        self, tenant_id: str, conversation_id: str, *, limit: int = 50, before: str | None = None
    ) -> list[Run]:
        """The conversation's newest runs first."""
        ...

    async def delete_conversation(self, tenant_id: str, conversation_id: str) -> tuple[str, ...]:
        """Delete its runs with all their text. Raises NotFound, Conflict(..., 'conversation_busy')."""
        ...
