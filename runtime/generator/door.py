"""What the HTTP layer needs from the rest: a door to the runs. ``tail.LogDoor`` is the one implementation."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

from runtime.events.envelope import Record, Stored
from runtime.log.census import Census
from runtime.log.log import Conversation, Created, NewRun, Run


class Door(Protocol):
    """One process's way to all runs. Raises the errors of ``runtime.errors``; the HTTP layer turns them into problems."""

    async def create(self, new: NewRun) -> Created:
        """Commit a run and hand it to an executor. Raises InvalidRequest, Conflict, Busy, StoreUnavailable."""
        ...

    async def get(self, run_id: str) -> Run | None:
        """The run as the store knows it."""
        ...

    async def recent(self, *, tenant_id: str, limit: int) -> list[Run]:
        """The newest runs first."""
        ...

    async def census(self, *, tenant_id: str | None, since: float, limit: int) -> Census:
        """What is under way, and what was created ``since`` then among the ``limit`` newest; None: of all tenants."""
        ...

    async def conversations(self, *, tenant_id: str, limit: int, before: int | None = None) -> list[Conversation]:
        """Those with the newest runs first; ``before``: only those with a lower place."""
        ...

    async def conversation(self, tenant_id: str, conversation_id: str) -> Conversation | None:
        """The conversation as the store knows it."""
        ...

    async def runs_of(
        self, tenant_id: str, conversation_id: str, *, limit: int, before: str | None = None
    ) -> list[Run]:
        """The conversation's newest runs first; ``before``: only those older than that run."""
        ...

    async def delete_conversation(self, tenant_id: str, conversation_id: str) -> None:
        """Delete its runs with all their text. Raises NotFound, Conflict('...', 'conversation_busy')."""
        ...

    async def page(self, run_id: str, *, after: int, limit: int = 512, deltas: bool = True) -> list[Stored]:
        """Committed events with ``seq > after``, in order, as of now."""
        ...

    def follow(self, run_id: str, *, after: int, idle_s: float) -> AsyncGenerator[list[Stored] | None, None]:
        """Batches of events from ``after`` on, live: never a gap, never a twin.

        An empty batch after ``idle_s`` seconds of silence (time for a heartbeat); None instead while the store is away,
        for up to five minutes, after which ``StoreUnavailable`` is raised. Ends after the terminal event. Closing
        the generator counts as the reader leaving. Raises ``Busy`` when the run has too many readers.
        """
        ...

    async def cancel(self, run_id: str, by: Literal["user", "disconnect", "shutdown"]) -> Run:
        """Commit a cancel request and tell the owner; repeating it changes nothing.

        Raises NotFound, Conflict('...', 'run_finished').
        """
        ...

    async def say(self, run_id: str, name: str, record: Record) -> bool:
        """Commit what a person says, once for each ``name``, and tell its owner; False when it was said before.

        Raises NotFound, Conflict('...', 'run_finished').
        """
        ...

    async def problems(self) -> dict[str, str]:
        """What keeps this door from serving: component -> one sentence. Empty means ready."""
        ...
