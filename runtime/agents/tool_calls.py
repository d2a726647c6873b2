"""The tools' half of the agent loop: announce, run, answer; in doubt, say so.

All calls of a turn are durable before the first of them runs. What a call ends with is decided by how it ended and by what
its tool says of itself (``kind``); see :mod:`runtime.tools.tool`. A call that cannot run at all (no such tool, switched
off, arguments that do not fit) is answered without being announced: ``tool.called`` means that there may be an effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import runtime.errors as errors
from runtime import failpoints
from runtime.agents.citations import highest_in, highest_mark, renumber
from runtime.agents.request import StageRequest
from runtime.agents.spec import AgentSpec
from runtime.agents.turn import TurnTools
from runtime.events import catalog as ev
from runtime.events.messages import ToolUseBlock
from runtime.events.transcript import Transcript, advance
from runtime.stream.emitter import Emitter
from runtime.telemetry import logger
from runtime.tools.answers import problem_of
from runtime.tools.invoke import Invocation, ToolRunner
from runtime.tools.registry import Registry
from runtime.tools.tool import Tool, ToolContext

_log = logger("agents")

NOT_RUN = "Not run: the tool-call limit of this step is reached."

ATTEMPTS = 3
"""At an ``idempotent`` call whose outcome is in doubt, all with the same key."""
PAUSE_S = 0.5
"""Before the second attempt; doubled before the third."""
FAILURES = 3
"""Failures of a tool in a row after which a stage goes on without it."""


@dataclass(frozen=True, slots=True)
class LoopTools:
    """What every stage of an agent shares."""

    spec: AgentSpec
    turn: TurnTools
    registry: Registry
    runner: ToolRunner
    data_dir: str


class StageRecord:
    """A stage's transcript, and the only way it advances: with events, as they were written."""

    def __init__(self, transcript: Transcript, emitter: Emitter) -> None:
        self.transcript = transcript
        self.emitter = emitter

    async def say(self, event: ev.Event) -> None:
        """Write ``event`` without waiting for its commit."""
        written = await self.emitter.emit(event, turn=self.transcript.turns_done)
        self.transcript = advance(self.transcript, written, None, None)

    async def commit(self, *events: ev.Event) -> None:
        """Write ``events`` and wait until they are durable."""
        for written in await self.emitter.commit(*events, turn=self.transcript.turns_done):
            self.transcript = advance(self.transcript, written, None, None)


class ToolCalls:
    """The tool calls of one dispatch of one stage."""

    def __init__(self, tools: LoopTools, request: StageRequest, record: StageRecord) -> None:
        self._tools = tools
        self._request = request
        self._record = record
        self._known = {tool.name: tool for tool in tools.registry.find(tools.spec.tools)}
        allowance = tools.spec.max_tool_calls * (1 + request.transcript.resumes)
        self._allowance = min(allowance, request.transcript.tool_calls + request.tool_calls_left)
        self._custom: set[asyncio.Task[ev.Event]] = set()
        self._highest_mark = 0

    def offered(self) -> tuple[Tool, ...]:
        """The tools the model may call; none when all are switched off."""
        return tuple(t for t in self._known.values() if t.name not in self._record.transcript.switched_off)

    async def answer(self) -> bool:
        """Answer the last turn's calls, durably, as many as the limit allows. False when it allowed fewer than there were."""
        record = self._record
        waiting = {use.id: use for use in record.transcript.unanswered()}  # one call for each id, whatever a model says
        begun = [use for use in waiting.values() if use.id in record.transcript.called]
        fresh = [use for use in waiting.values() if use not in begun and not await self._turned_away(use)]
        allowed = 0 if self._request.tools_off else max(0, self._allowance - record.transcript.tool_calls)
        fresh, refused = fresh[:allowed], fresh[allowed:]
        await self._announce(fresh)
        await self._together([*(self._again(use) for use in begun), *(self._call(use) for use in fresh)])
        for use in refused:
            await record.say(ev.ToolCompleted(call_id=use.id, name=use.name, result=NOT_RUN, is_error=True))
        await self._switch_off()
        await record.emitter.drain()
        return not refused

    async def report_interrupted(self, why: str) -> None:
        """Say of every call that may have had an effect and has no answer that its outcome is unknown."""
        for use in self._record.transcript.in_doubt():
            await self._record.say(ev.ToolOutcomeUnknown(call_id=use.id, name=use.name, known=why))

    # --- before ------------------------------------------------------------------------------------------------------

    async def _turned_away(self, use: ToolUseBlock) -> bool:
        """Answer a call that cannot run; whether it was one."""
        event = self._refusal(use)
        if event is not None:
            await self._record.say(event)
        return event is not None

    def _refusal(self, use: ToolUseBlock) -> ev.Event | None:
        tool = self._known.get(use.name)
        if tool is None:
            words = f"There is no tool {use.name!r}; there are: {', '.join(self._known) or 'none'}."
        elif use.name in self._record.transcript.switched_off:
            words = f"Not run: {use.name} kept failing and is switched off for this step. Go on without it."
        elif self._request.tools_off or (problem := problem_of(tool, use.input)) is None:
            return None
        else:
            return ev.ToolArgumentsInvalid(call_id=use.id, name=use.name, message=problem)
        return ev.ToolCompleted(call_id=use.id, name=use.name, result=words, is_error=True)

    async def _announce(self, uses: list[ToolUseBlock]) -> None:
        """Intent before effect: all calls of a turn are durable before the first of them runs."""
        if not uses:
            return
        await self._record.commit(
            *(
                ev.ToolCalled(call_id=use.id, name=use.name, arguments=use.input, kind=self._known[use.name].kind)
                for use in uses
            )
        )
        failpoints.hit("tool.called")

    # --- calls -------------------------------------------------------------------------------------------------------

    async def _together(self, calls: list[Any]) -> None:  # Any: coroutines
        """Run ``calls`` side by side; when one of them cannot be written, none of the others goes on alone."""
        tasks = [asyncio.ensure_future(call) for call in calls]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _again(self, use: ToolUseBlock) -> None:
        """A call that had begun in a process that was lost: its kind says whether it may begin again."""
        tool = self._known.get(use.name)
        may_repeat = tool is not None and tool.kind != "at_most_once"
        if may_repeat:
            await self._call(use, doubt="it had begun when its process was lost")
        elif use.id in self._record.transcript.effects:
            known = "it had begun when its process was lost, and it must not be repeated"
            await self._record.say(ev.ToolOutcomeUnknown(call_id=use.id, name=use.name, known=known))
        else:
            words = f"There is no tool {use.name!r} any more."
            await self._record.say(ev.ToolCompleted(call_id=use.id, name=use.name, result=words, is_error=True))

    async def _call(self, use: ToolUseBlock, doubt: str = "") -> None:
        await self._record.say(await self._outcome(use, self._known[use.name], doubt))

    async def _outcome(self, use: ToolUseBlock, tool: Tool, doubt: str) -> ev.ToolCompleted | ev.ToolOutcomeUnknown:
        """Run the call; what is in doubt is tried again only where that is safe, and else said.

        ``doubt``: why an earlier attempt may have had the effect; empty if there was none.
        """
        for attempt in count(1):
            done = await self._run(use, tool)
            if tool.kind == "read" or done.ending == "answered" or (done.ending == "not_begun" and not doubt):
                text = self._numbered(done)
                return ev.ToolCompleted(call_id=use.id, name=use.name, result=text, is_error=done.is_error, ms=done.ms)
            doubt = done.text if done.in_doubt else doubt
            if tool.kind == "at_most_once" or attempt == ATTEMPTS:
                break
            await self._pause(use, attempt, done)
        known = doubt if tool.kind == "at_most_once" else f"{doubt} ({ATTEMPTS} attempts with the same key)"
        return ev.ToolOutcomeUnknown(call_id=use.id, name=use.name, known=known)

    async def _run(self, use: ToolUseBlock, tool: Tool) -> Invocation:
        done = await self._tools.runner.run(tool, use.input, self._context(use))
        failpoints.hit("tool.effect")
        await asyncio.gather(*self._custom, return_exceptions=True)  # what the tool said comes before its result
        return done

    async def _pause(self, use: ToolUseBlock, attempt: int, done: Invocation) -> None:
        failure, delay = f"tool_{done.ending}", PAUSE_S * 2 ** (attempt - 1)
        await self._record.say(
            ev.RecoveryRetrying(failure=failure, message=done.text, attempt=attempt, of=ATTEMPTS, delay_s=delay)
        )
        self._tools.turn.counts.add(f"recovery.retrying.{failure}")
        await self._tools.turn.clock.sleep(delay)

    def _numbered(self, done: Invocation) -> str:
        if not done.citations:
            return done.text
        # Taken at once: another call may be numbered before this one's result is in the transcript.
        text = renumber(done.text, max(self._highest_mark, highest_mark(self._record.transcript.messages())))
        self._highest_mark = highest_in(text)
        return text

    def _context(self, use: ToolUseBlock) -> ToolContext:
        loop, request = asyncio.get_running_loop(), self._request
        return ToolContext(
            run_id=request.run_id,
            stage=request.stage,
            documents=request.documents,
            data_dir=self._tools.data_dir,
            agent=self._tools.spec.name,
            emit=lambda name, value: _from_any_thread(loop, self._emit_custom, name, value),
            # The turn is part of it: some servers number the calls of each turn anew.
            idempotency_key=f"{request.run_id}:{request.stage}:{self._record.transcript.turns_done}:{use.id}",
        )

    # --- after -------------------------------------------------------------------------------------------------------

    async def _switch_off(self) -> None:
        """Go on without the tools that have failed too often in a row."""
        for tool in self.offered():
            failures = self._record.transcript.failures(tool.name)
            if failures >= FAILURES:
                words = f"{tool.title} failed {failures} times in a row and is switched off for this step"
                await self._record.say(ev.RecoveryToolSwitchedOff(name=tool.name, failures=failures, message=words))
                self._tools.turn.counts.add("recovery.tool_switched_off")

    # --- what tools say ----------------------------------------------------------------------------------------------

    def _emit_custom(self, name: str, value: Any) -> None:
        """On the loop: hand a tool's own event over; a refusal shows at the loop's next write."""
        event = ev.Custom(name=name, value=value)
        task = asyncio.create_task(self._record.emitter.emit(event), name=f"custom {name}")
        self._custom.add(task)
        task.add_done_callback(self._custom_done)

    def _custom_done(self, task: asyncio.Task[ev.Event]) -> None:
        self._custom.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, errors.HeadraceError):  # a refusal shows at the next write
            agent = self._tools.spec.name
            _log.error("an event of a tool of %s was not written: %s: %s", agent, task.get_name(), error)


def _from_any_thread(loop: asyncio.AbstractEventLoop, put: Callable[[str, Any], None], name: str, value: Any) -> None:
    try:
        here = asyncio.get_running_loop() is loop
    except RuntimeError:  # a thread without a loop
        here = False
    if here:
        put(name, value)
    elif not loop.is_closed():
        loop.call_soon_threadsafe(put, name, value)
