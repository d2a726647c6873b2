"""The agent loop: model turn -> tools -> model turn, until it answers or reaches its tool-call limit.

The conversation is never held apart from the log: the loop advances :class:`Transcript` with exactly the events it writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import runtime.errors as errors
from runtime.agents.citations import citations_of, highest_in, highest_mark, renumber
from runtime.agents.request import StageRequest, StageResult
from runtime.agents.spec import AgentSpec
from runtime.agents.turn import Rung, TurnTools, take_turn
from runtime.events import catalog as ev
from runtime.events.brief import render
from runtime.events.messages import Conversation, Message, ToolUseBlock, dump_conversation, user
from runtime.events.transcript import advance
from runtime.llm.client import ModelRequest, ToolSpec
from runtime.stream.emitter import Emitter
from runtime.telemetry import logger
from runtime.tools.invoke import Invocation, ToolRunner
from runtime.tools.registry import Registry
from runtime.tools.tool import Tool, ToolContext

_log = logger("agents")

MAX_PAUSES = 8
"""Continuations of one ``pause_turn`` chain (JOURNAL.md 1.5)."""

NOT_RUN = "Not run: the tool-call limit of this step is reached."


@dataclass(frozen=True, slots=True)
class LoopTools:
    """What every stage of an agent shares."""

    spec: AgentSpec
    turn: TurnTools
    registry: Registry
    runner: ToolRunner
    data_dir: str


class StageLoop:
    """One dispatch of one stage."""

    def __init__(self, tools: LoopTools, request: StageRequest, emitter: Emitter) -> None:
        self._tools = tools
        self._spec = tools.spec
        self._request = request
        self._emitter = emitter
        self._first: Conversation = (user(render(request.brief)),)
        self._transcript = request.transcript
        allowance = self._spec.max_tool_calls * (1 + request.transcript.resumes)
        self._allowance = min(allowance, request.transcript.tool_calls + request.tool_calls_left)
        self._custom: set[asyncio.Task[ev.Event]] = set()
        self._highest_mark = 0

    async def run(self) -> StageResult:
        """Work until there is an answer. Raises StageFailed, ToolCallLimitReached and the log's refusals."""
        pauses = 0
        await self._answer_open_calls()
        while not self._transcript.finished():
            if self._transcript.turns_done >= self._spec.max_turns * (1 + self._transcript.resumes):
                raise errors.StageFailed(f"no answer after {self._transcript.turns_done} turns", "turn_limit")
            await self._turn()
            pauses = pauses + 1 if self._transcript.stop_reason == "pause_turn" else 0
            if pauses > MAX_PAUSES:
                raise errors.StageFailed(f"the model paused {pauses} times in a row", "too_many_pauses")
            await self._answer_open_calls()
            if self._request.tools_off:
                break  # one answer was granted, and this is it
        return await self._finish()

    async def _turn(self) -> None:
        attempts = 0

        def request_for(rung: Rung, messages: Conversation, turn: int) -> ModelRequest:
            nonlocal attempts
            attempts += 1
            return self._model_request(rung, messages, turn)

        try:
            self._transcript = await take_turn(
                self._tools.turn, self._emitter, self._transcript, request_for, show=True
            )
        except errors.ModelError as error:
            raise errors.StageFailed(error.message, error.code, attempts, error.retryable) from error
        match self._transcript.stop_reason:
            case "refusal":
                raise errors.StageFailed("the model declined to answer", "refused")
            case "model_context_window_exceeded":
                raise errors.StageFailed("the conversation no longer fits the model's window", "context_overflow")

    def _model_request(self, rung: Rung, messages: Conversation, turn: int) -> ModelRequest:
        tools = self._tools.registry.find(self._spec.tools)
        return ModelRequest(
            model=rung.model,
            system=rung.instructions,
            messages=_merged((*self._first, *messages)),
            tools=tuple(ToolSpec(tool.name, tool.description, tool.input_schema) for tool in tools),
            tool_choice="none" if self._request.tools_off else None,
            max_tokens=self._spec.max_tokens,
            agent=self._spec.name,
            turn=turn,
        )

    # --- tools -------------------------------------------------------------------------------------------------------

    async def _answer_open_calls(self) -> None:
        """Run the last turn's unanswered tool calls, as many as the limit allows. Raises ToolCallLimitReached."""
        open_calls = self._transcript.unanswered()
        if not open_calls:
            return
        allowed = 0 if self._request.tools_off else max(0, self._allowance - self._transcript.tool_calls)
        fresh = [use for use in open_calls if use.id not in self._transcript.called]
        refused = fresh[allowed:]
        runnable = [use for use in open_calls if use not in refused]
        await self._announce([use for use in fresh if use not in refused])
        await asyncio.gather(*(self._call(use) for use in runnable))
        for use in refused:
            await self._say(ev.ToolCompleted(call_id=use.id, name=use.name, result=NOT_RUN, is_error=True))
        await self._emitter.drain()
        if refused and not self._request.tools_off:
            raise self._limit_reached()

    def _limit_reached(self) -> errors.ToolCallLimitReached:
        conversation = _merged((*self._first, *self._transcript.messages()))
        return errors.ToolCallLimitReached(
            f"{self._spec.name} made {self._transcript.tool_calls} tool calls in this step",
            dump_conversation(conversation),
            self._transcript.turns_done + 1,
            self._transcript.tool_calls,
        )

    async def _announce(self, uses: list[ToolUseBlock]) -> None:
        """Intent before effect: all calls of a turn are durable before the first of them runs."""
        known = {tool.name: tool for tool in self._tools.registry.find(self._spec.tools)}
        events = [
            ev.ToolCalled(
                call_id=use.id,
                name=use.name,
                arguments=use.input,
                kind=known[use.name].kind if use.name in known else "read",
            )
            for use in uses
        ]
        written = await self._emitter.commit(*events, turn=self._transcript.turns_done) if events else ()
        for event in written:
            self._transcript = advance(self._transcript, event, None, None)

    async def _call(self, use: ToolUseBlock) -> None:
        tool = next((t for t in self._tools.registry.find(self._spec.tools) if t.name == use.name), None)
        if tool is None:
            words = f"There is no tool {use.name!r}; there are: {', '.join(self._spec.tools) or 'none'}."
            await self._say(ev.ToolCompleted(call_id=use.id, name=use.name, result=words, is_error=True))
            return
        if tool.kind == "at_most_once" and use.id in self._request.transcript.called:
            known = "it had begun when its process was lost, and it must not be repeated"
            await self._say(ev.ToolOutcomeUnknown(call_id=use.id, name=use.name, known=known))
            return
        done = await self._tools.runner.run(tool, use.input, self._context(use, tool))
        await asyncio.gather(*self._custom, return_exceptions=True)  # what the tool said comes before its result
        text = self._numbered(done)
        await self._say(
            ev.ToolCompleted(call_id=use.id, name=use.name, result=text, is_error=done.is_error, ms=done.ms)
        )

    def _numbered(self, done: Invocation) -> str:
        if not done.citations:
            return done.text
        # Taken at once: another call may be numbered before this one's result is in the transcript.
        text = renumber(done.text, max(self._highest_mark, highest_mark(self._transcript.messages())))
        self._highest_mark = highest_in(text)
        return text

    def _context(self, use: ToolUseBlock, tool: Tool) -> ToolContext:
        loop = asyncio.get_running_loop()
        return ToolContext(
            run_id=self._request.run_id,
            stage=self._request.stage,
            documents=self._request.documents,
            data_dir=self._tools.data_dir,
            emit=lambda name, value: _from_any_thread(loop, self._emit_custom, name, value),
            idempotency_key=f"{self._request.run_id}:{self._request.stage}:{use.id}",
        )

    def _emit_custom(self, name: str, value: Any) -> None:
        """On the loop: hand a tool's own event over; a refusal shows at the loop's next write."""
        task = asyncio.create_task(self._emitter.emit(ev.Custom(name=name, value=value)), name=f"custom {name}")
        self._custom.add(task)
        task.add_done_callback(self._custom_done)

    def _custom_done(self, task: asyncio.Task[ev.Event]) -> None:
        self._custom.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, errors.HeadraceError):  # a refusal shows at the next write
            _log.error("an event of a tool of %s was not written: %s: %s", self._spec.name, task.get_name(), error)

    async def _say(self, event: ev.Event) -> None:
        written = await self._emitter.emit(event, turn=self._transcript.turns_done)
        self._transcript = advance(self._transcript, written, None, None)

    # --- the end -----------------------------------------------------------------------------------------------------

    async def _finish(self) -> StageResult:
        text = self._transcript.text()
        for citation in citations_of(text, self._transcript.messages(), self._request.sources):
            await self._emitter.emit(citation)
        await self._emitter.drain()
        partial = self._request.tools_off or self._transcript.stop_reason == "max_tokens"
        return StageResult(text, self._transcript.tool_calls, self._transcript.usage, partial)


def _from_any_thread(loop: asyncio.AbstractEventLoop, put: Callable[[str, Any], None], name: str, value: Any) -> None:
    try:
        here = asyncio.get_running_loop() is loop
    except RuntimeError:  # a thread without a loop
        here = False
    if here:
        put(name, value)
    elif not loop.is_closed():
        loop.call_soon_threadsafe(put, name, value)


def _merged(messages: Conversation) -> Conversation:
    """Neighbours of one role as one message: the Messages API wants roles to take turns."""
    merged: list[Message] = []
    for message in messages:
        if merged and merged[-1].role == message.role:
            merged[-1] = _joined(merged[-1], message)
        else:
            merged.append(message)
    return tuple(merged)


def _joined(first: Message, second: Message) -> Message:
    """Both messages' blocks in one."""
    return Message(role=first.role, content=(*first.content, *second.content))
