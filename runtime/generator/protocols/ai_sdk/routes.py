"""The handlers of ``/v1/ai-sdk/chat``. Raises the errors of ``runtime.errors`` and ``Refusal``."""

from __future__ import annotations

import asyncio
import functools
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from runtime.errors import Conflict, NotFound
from runtime.events.history import History
from runtime.generator.accept import SSE
from runtime.generator.asking import Asking, ask, require_room, wanted
from runtime.generator.body import parse_json, read_body, validate
from runtime.generator.contract import Body, CancelAccepted, FieldError
from runtime.generator.directory import seen_by
from runtime.generator.principal import Principal, principal_of
from runtime.generator.problems import Refusal
from runtime.generator.protocols.ai_sdk.answers import answers_in, goes_on_after, record
from runtime.generator.protocols.ai_sdk.history import MAX_TURNS, messages_of, turns_of
from runtime.generator.protocols.ai_sdk.requests import ChatMessage, ChatRequest, chat_id, key_of, run_for
from runtime.generator.protocols.ai_sdk.response import UiMessageStream
from runtime.generator.query import limit_of, run_before
from runtime.generator.respond import NO_STORE, as_json
from runtime.generator.snapshot import links_of, read_state
from runtime.generator.stream import EventStream
from runtime.ids import is_run_id
from runtime.log.log import Run
from runtime.stream.view import View

MAX_MESSAGES: Final = 50
"""Questions of a chat in one page of its messages."""


class ChatMessages(Body):
    """Messages of a chat, the oldest first."""

    messages: list[dict[str, Any]]
    """``UIMessage``s. Any: parts hold what models and tools made."""
    next_before: str | None
    """For the page of older ones; null when there are none."""


class ChatRoutes(Asking):
    """Chats are conversations, their messages runs."""

    async def post(self, request: Request) -> ASGIApp:
        """``POST /v1/ai-sdk/chat``: the answer to a message, or what comes of an answer, as a stream."""
        wanted(request, (SSE,))
        raw = await read_body(request, max_bytes=self._settings.max_body_bytes)
        chat = validate(ChatRequest, parse_json(raw))
        require_room(self._streams, request.scope)
        who = principal_of(request)
        if chat.continued is not None:
            run, after = await self._continue(who, chat, chat.continued)
        else:
            run, after = await self._begin(who.tenant_id, chat), 0
        return await self._stream(request, run, after)

    async def resume(self, request: Request) -> ASGIApp:
        """``GET /v1/ai-sdk/chat/{chat_id}/stream``: the chat's newest run from its start; 204 when there is none."""
        wanted(request, (SSE,))
        newest = await self._newest(request)
        if newest is None:
            return Response(status_code=204, headers=NO_STORE)
        require_room(self._streams, request.scope)
        return await self._stream(request, newest)

    async def stop(self, request: Request) -> ASGIApp:
        """``POST /v1/ai-sdk/chat/{chat_id}/stop``: ends the chat's run; 202."""
        newest = await self._newest(request)
        if newest is None:
            raise NotFound("no such chat")
        await self._door.cancel(newest.run_id, "user")
        return as_json(CancelAccepted(run_id=newest.run_id, links=links_of(newest.run_id)), 202)

    async def messages(self, request: Request) -> ASGIApp:
        """``GET /v1/ai-sdk/chat/{chat_id}/messages``: what a page shows when it is loaded."""
        limit, before = limit_of(request, default=20, most=MAX_MESSAGES), run_before(request)
        tenant_id, chat = principal_of(request).tenant_id, _chat_of(request)
        runs = await self._door.runs_of(tenant_id, chat, limit=MAX_TURNS + 1, before=before)
        turns = await turns_of(self._door, runs[:MAX_TURNS])
        older = len(turns) > limit or len(runs) > MAX_TURNS
        turns = turns[-limit:]
        view = await self._view(request)
        messages = [message for turn in turns for message in await messages_of(self._door, turn, view)]
        next_before = turns[0].comes_after if turns and older else None
        return as_json(ChatMessages(messages=messages, next_before=next_before))

    # --- messages and answers ----------------------------------------------------------------------------------------

    async def _begin(self, tenant_id: str, chat: ChatRequest) -> Run:
        """The run of the chat's last message."""
        replaces, history = None, None
        if chat.trigger == "regenerate-message" or chat.messageId is not None:
            replaces, history = await self._instead(tenant_id, chat)
        body = run_for(chat, replaces=replaces)
        return await ask(
            self._door,
            self._settings,
            body,
            clock=self._clock,
            new_id=self._new_id,
            tenant_id=tenant_id,
            key=key_of(chat, body),
            default="cancel",
            history=history,
        )

    async def _instead(self, tenant_id: str, chat: ChatRequest) -> tuple[str | None, History | None]:
        """Of a message that is answered anew, or edited: which run is not wanted any more, and what was said before it.

        A run under way is passed over: it may be what this very request has begun when it was sent before.
        """
        runs = await self._door.runs_of(tenant_id, chat.id, limit=MAX_TURNS)
        ended = [run for run in runs if run.terminal]
        named = [run for run in ended if run.run_id == chat.messageId]
        turns = await turns_of(self._door, named) or await turns_of(self._door, ended)
        first = next((turn for turn in turns if turn.message_id == chat.last.id), None)
        return (None, None) if first is None else (first.run.run_id, first.accepted.history)

    async def _continue(self, who: Principal, chat: ChatRequest, message: ChatMessage) -> tuple[Run, int]:
        """Write what people have answered into the run; the run, and after which event its message goes on."""
        run = await self._door.get(message.id) if is_run_id(message.id) else None
        if run is None or (run.tenant_id, run.conversation_id) != (who.tenant_id, chat.id):
            raise NotFound("no such message")
        state, _ = await read_state(self._door, run.run_id)
        answers = [*answers_in(message, state), *chat.answers]
        if not answers:
            words = "The last message is the assistant's and answers nothing. Send a message, or resume the stream."
            raise Conflict(words, "nothing_answered")
        agents = await asyncio.to_thread(self._team)
        answered = await record(self._door, state, answers, clock=self._clock, agents=agents, by=who.subject)
        after = await goes_on_after(self._door, run.run_id, answered.new or answered.known)
        return await self._again(run), after

    async def _again(self, run: Run) -> Run:
        """The run as it is now."""
        if (after := await self._door.get(run.run_id)) is None:
            raise NotFound("there is no such run any more")
        return after

    # --- runs and streams --------------------------------------------------------------------------------------------

    async def _newest(self, request: Request) -> Run | None:
        runs = await self._door.runs_of(principal_of(request).tenant_id, _chat_of(request), limit=1)
        return runs[0] if runs else None

    async def _view(self, request: Request) -> View:
        return (await seen_by(request, self._directory)).view

    async def _stream(self, request: Request, run: Run, after: int = 0) -> EventStream:
        follow = functools.partial(self._door.follow, run.run_id, after=0, idle_s=self._settings.heartbeat_s)
        framing = UiMessageStream(await self._view(request), rests_from=run.last_seq, after=after)
        headers = {"Location": links_of(run.run_id).self, "X-Run-Id": run.run_id}
        return EventStream(follow, streams=self._streams, headers=headers, framing=framing)


def _chat_of(request: Request) -> str:
    """The chat in the path. Raises ``Refusal`` 422 for what can be none."""
    try:
        return chat_id(request.path_params["chat_id"])
    except ValueError as error:
        detail = f"{str(error).capitalize()}."
        raise Refusal(422, "validation_failed", detail, [FieldError(pointer="/id", detail=str(error))]) from error
