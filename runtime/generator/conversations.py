"""The handlers of ``/v1/conversations``: list, read, delete."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from runtime.errors import NotFound
from runtime.events import catalog as ev
from runtime.events.codec import UnknownEvent, decode
from runtime.events.envelope import Stored
from runtime.generator.contract import (
    ConversationLinks,
    ConversationList,
    ConversationRun,
    ConversationSummary,
    ConversationView,
)
from runtime.generator.door import Door
from runtime.generator.principal import principal_of
from runtime.generator.query import limit_of, place_before, run_before
from runtime.generator.respond import NO_STORE, as_json
from runtime.generator.snapshot import MICRO, links_of
from runtime.ids import IDENTIFIER
from runtime.log.log import Conversation, Run

MAX_CONVERSATIONS: Final = 200
"""In one list."""
MAX_RUNS: Final = 200
"""In one view of a conversation."""


class ConversationRoutes:
    """What can be asked about conversations. Raises the errors of ``runtime.errors`` and ``Refusal``."""

    def __init__(self, door: Door) -> None:
        self._door = door

    async def list(self, request: Request) -> ASGIApp:
        """``GET /v1/conversations``: those with the newest runs first."""
        limit, before = limit_of(request, default=50, most=MAX_CONVERSATIONS), place_before(request)
        found = await self._door.conversations(tenant_id=principal_of(request).tenant_id, limit=limit, before=before)
        more = str(found[-1].place) if len(found) == limit else None
        return as_json(ConversationList(conversations=[_summary(one) for one in found], next_before=more))

    async def show(self, request: Request) -> ASGIApp:
        """``GET /v1/conversations/{conversation_id}``: its newest runs, in the order they were asked."""
        limit, before = limit_of(request, default=50, most=MAX_RUNS), run_before(request)
        tenant, conversation_id = principal_of(request).tenant_id, _named(request)
        found = await self._door.conversation(tenant, conversation_id)
        if found is None:
            raise NotFound("no such conversation")
        runs = await self._door.runs_of(tenant, conversation_id, limit=limit, before=before)
        shown = [await self._run(run) for run in reversed(runs)]
        more = runs[-1].run_id if len(runs) == limit else None
        return as_json(ConversationView(**_summary(found).model_dump(), runs=shown, next_before=more))

    async def delete(self, request: Request) -> ASGIApp:
        """``DELETE /v1/conversations/{conversation_id}``: 204; its runs are gone with all their text."""
        await self._door.delete_conversation(principal_of(request).tenant_id, _named(request))
        return Response(status_code=204, headers=NO_STORE)

    async def _run(self, run: Run) -> ConversationRun:
        """A run with its question whole, and its answer: they stand in its first event and in its last."""
        accepted = _event(await self._door.page(run.run_id, after=0, limit=1))
        last = _event(await self._door.page(run.run_id, after=run.last_seq - 1, limit=1)) if run.terminal else None
        return ConversationRun(
            run_id=run.run_id,
            state=run.status,
            question=accepted.input.question if isinstance(accepted, ev.RunAccepted) else run.question,
            answer=last.answer if isinstance(last, ev.RunCompleted) else None,
            resumed_from=accepted.resumed_from if isinstance(accepted, ev.RunAccepted) else None,
            created_at=run.created_at,
            cost_usd=run.spent / MICRO,
            links=links_of(run.run_id, ended=run.terminal),
        )


def _named(request: Request) -> str:
    """The conversation in the path. Whatever is wrong with its id, the answer is the same."""
    conversation_id: str = request.path_params["conversation_id"]
    if not IDENTIFIER.match(conversation_id):
        raise NotFound("no such conversation")
    return conversation_id


def _event(found: list[Stored]) -> ev.Event | None:
    """The event in a page of one; None for a type that this version does not know."""
    try:
        return decode(found[0]).event if found else None
    except UnknownEvent:
        return None


def _summary(one: Conversation) -> ConversationSummary:
    return ConversationSummary(
        conversation_id=one.conversation_id,
        title=one.title,
        question=one.question,
        created_at=one.created_at,
        updated_at=one.updated_at,
        run_count=one.runs,
        cost_usd=one.spent / MICRO,
        reserved_usd=one.reserved / MICRO,
        links=ConversationLinks(self=f"/v1/conversations/{one.conversation_id}"),
    )
