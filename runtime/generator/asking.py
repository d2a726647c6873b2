"""What every protocol does through the door: ask for a run, say something to one, refuse a stream there is no room for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Final

from starlette.requests import Request
from starlette.types import Scope

from runtime.clock import Clock
from runtime.config import Settings
from runtime.errors import Conflict
from runtime.events.codec import encode
from runtime.events.history import History
from runtime.generator.accept import choose
from runtime.generator.admission import admit, documents_folder
from runtime.generator.contract import OnDisconnect
from runtime.generator.directory import Directories, nothing_listed
from runtime.generator.door import Door
from runtime.generator.following import FIRST, look_back
from runtime.generator.problems import Refusal, retry_after
from runtime.generator.requests import CreateRun, PersonInput
from runtime.generator.say import Saying, saying, stands
from runtime.generator.snapshot import read_state
from runtime.generator.stream import OpenStreams
from runtime.ids import IdSource
from runtime.log.log import Run

LOOK_BACKS: Final = 3
"""How often a conversation is looked at whose runs come and end in the meantime."""
STREAM_RETRY_S: Final = 5.0
"""``Retry-After`` when too many streams are open; the same as ``sse.COME_BACK``."""

Team = Callable[[], Collection[str]]
"""Gives the names of the agents a plan may name; may import users' modules, so it is called off the event loop."""


class Asking:
    """What the rooms of all protocols in which runs are made and read have in common."""

    def __init__(
        self,
        door: Door,
        settings: Settings,
        *,
        clock: Clock,
        new_id: IdSource,
        streams: OpenStreams,
        team: Team,
        directory: Directories = nothing_listed,
    ) -> None:
        self._door = door
        self._settings = settings
        self._clock = clock
        self._new_id = new_id
        self._streams = streams
        self._team = team
        self._directory = directory


async def ask(
    door: Door,
    settings: Settings,
    body: CreateRun,
    *,
    clock: Clock,
    new_id: IdSource,
    tenant_id: str,
    key: str | None,
    default: OnDisconnect,
    history: History | None = None,
) -> Run:
    """The run ``body`` asks for: a new one, or the one its idempotency ``key`` names.

    ``default`` is its ``on_disconnect``. ``history``: what was said before, in place of all that its conversation has. Raises
    ``Refusal`` 422, ``Conflict`` (``conversation_busy``, ``conversation_deleted``, ``conversation_moved``), ``OverQuota``, and
    what ``Door.create`` raises.
    """
    run_id, conversation_id = new_id(), body.conversation_id or new_id()
    for left in reversed(range(LOOK_BACKS)):
        before = await look_back(door, tenant_id, conversation_id) if body.conversation_id else FIRST
        if history is not None:
            before = replace(before, history=history)
        asked = body.documents or before.documents
        new = admit(
            body,
            before,
            tenant_id=tenant_id,
            run_id=run_id,
            conversation_id=conversation_id,
            now=clock.now(),
            documents=await asyncio.to_thread(documents_folder, asked, settings, tenant_id),
            default=default,
            key=key,
            share=settings.limits_of(tenant_id),
        )
        try:
            return (await door.create(new)).run
        except Conflict as error:
            if error.reason != "conversation_moved" or not left:
                raise
    raise AssertionError("unreachable: the last look returned or raised")


async def tell(
    door: Door, run_id: str, body: PersonInput, *, clock: Clock, agents: Collection[str], name: str, by: str
) -> Saying:
    """Record what a person says to a run; ``name`` is for what is said unasked, ``by`` is who says it. Saying it again changes nothing.

    Raises what ``saying`` raises, and ``Conflict`` (``already_answered``) when something else stands in its place.
    """
    state, _ = await read_state(door, run_id)
    said = saying(state, body, agents=agents, name=name, by=by)
    if not await door.say(run_id, said.name, encode(said.draft, run_id, clock.now())):
        state, _ = await read_state(door, run_id)
        if not stands(state, said):
            raise Conflict("Something else was said under this name already.", "already_answered")
    return said


def wanted(request: Request, offers: tuple[str, ...]) -> str:
    """Which of the media types the request prefers. Raises ``Refusal`` 406 when none will do."""
    chosen = choose(request.headers.getlist("accept"), offers)
    if chosen is None:
        raise Refusal(406, "not_acceptable", f"Only {' and '.join(offers)} can be answered here.")
    return chosen


def require_room(streams: OpenStreams, scope: Scope) -> None:
    """Raises ``Refusal`` 429 when whoever makes the request of ``scope`` may open no more streams."""
    if streams.full_for(scope):
        detail = "Too many streams are open; try again, or ask without 'Accept: text/event-stream'."
        raise Refusal(429, "too_many_streams", detail, headers=retry_after(STREAM_RETRY_S))
