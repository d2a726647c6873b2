"""The tools' half of the agent loop: announce, run, answer; in doubt, say so.

All calls of a turn are durable before the first of them runs. What a call ends with is decided by how it ended and by what
its tool says of itself (``kind``); see :mod:`runtime.tools.tool`. A call that cannot run at all (no such tool, switched
off, arguments that do not fit) is answered without being announced: ``tool.called`` means that there may be an effect.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count
from typing import Any

import runtime.errors as errors
from runtime import failpoints
from runtime.agents.approvals import Approvals
from runtime.agents.citations import highest_in, highest_mark, renumber
from runtime.agents.delegate import Delegations, delegate_tool
from runtime.agents.gate import AskPerson, Gate, Proceed, Question, Refuse
from runtime.agents.parts import LoopTools, Share
from runtime.agents.record import StageRecord
from runtime.agents.request import StageRequest
from runtime.agents.telling import tell
from runtime.events import catalog as ev
from runtime.events.calls import joined
from runtime.events.messages import ToolUseBlock
from runtime.telemetry import logger
from runtime.tools.invoke import Invocation
from runtime.tools.tool import Tool, ToolContext

_log = logger("agents")

NOT_RUN = "Not run: the tool-call limit of this step is reached."

ATTEMPTS = 3
"""At an ``idempotent`` call whose outcome is in doubt, all with the same key."""
PAUSE_S = 0.5
"""Before the second attempt; doubled before the third."""
FAILURES = 3
"""Failures of a tool in a row after which a stage goes on without it."""


class ToolCalls:
    """The tool calls of one dispatch of one stage."""

    def __init__(
        self, tools: LoopTools, request: StageRequest, record: StageRecord, share: Share, delegations: Delegations
    ) -> None:
        self._tools = tools
        self._request = request
        self._record = record
        self._share = share
        self._delegations = delegations
        self._delegate_tool = delegate_tool(tools, record.emitter.call)
        delegate = () if self._delegate_tool is None else (self._delegate_tool,)
        self.known: tuple[Tool, ...] = (*tools.registry.find(tools.spec.tools), *delegate)
        """All tools of the agent, switched off or not."""
        self._known = {tool.name: tool for tool in self.known}
        self._gate = Gate(self._known, request, record)
        self._approvals = Approvals(request.stage, record, tools.turn.clock)
        self._allowance = tools.spec.max_tool_calls * (1 + request.transcript.resumes)
        self._custom: set[asyncio.Task[ev.Event]] = set()
        self._highest_mark = 0
        self._held: errors.Parked | errors.Suspended | None = None

    def offered(self) -> tuple[Tool, ...]:
        """The tools the model may call; none when all are switched off."""
        return tuple(t for t in self.known if t.name not in self._record.transcript.switched_off)

    async def answer(self) -> bool:
        """Answer the last turn's calls, durably, as many as the limit allows. False when it allowed fewer than there were.

        Raises Parked when a delegate's model wants a long pause, Suspended when a person must answer first; everything else
        of the turn is answered then.
        """
        record = self._record
        waiting = {use.id: use for use in record.transcript.unanswered()}  # one call for each id, whatever a model says
        begun = [use for use in waiting.values() if use.id in record.transcript.called]
        fresh = [use for use in waiting.values() if use not in begun and await self._admitted(use)]
        allowed = 0 if self._request.tools_off else self._share.calls.take(min(len(fresh), self._left()))
        fresh, refused = fresh[:allowed], fresh[allowed:]
        await self._announce(fresh)
        await self._together([*(self._again(use) for use in begun), *(self._call(use) for use in fresh)])
        for use in refused:
            await record.say(ev.ToolCompleted(call_id=use.id, name=use.name, result=NOT_RUN, is_error=True))
        await self._switch_off()
        await record.emitter.drain()
        if self._held is not None:
            raise self._held
        return not refused

    def _left(self) -> int:
        return max(0, self._allowance - self._record.transcript.tool_calls)

    # --- before ------------------------------------------------------------------------------------------------------

    async def _admitted(self, use: ToolUseBlock) -> bool:
        """Whether a call may run; one that may not is answered."""
        match self._gate.judge(use):
            case Proceed():
                return True
            case Refuse(event=event):
                await self._record.say(event)
            case AskPerson(reason=reason):
                return await self._approved(use, reason)
            case Question(question=question, options=options):
                await self._ask(use, question, options)
        return False

    async def _approved(self, use: ToolUseBlock, reason: str) -> bool:
        """Whether a person has agreed to exactly this call; the stage is suspended until one has answered."""
        given = await self._approvals.of_call(use, self._known[use.name], reason)
        if given is None:
            self._held = errors.Suspended(f"{use.name} waits for a person: {reason}")
        elif not given.approved:
            words = f"Not run: a person refused it. {given.text}".rstrip()
            await self._record.say(ev.ToolCompleted(call_id=use.id, name=use.name, result=words, is_error=True))
        return given is not None and given.approved

    async def _ask(self, use: ToolUseBlock, question: str, options: tuple[str, ...]) -> None:
        """Answer a call that is a question with what a person has said; the stage is suspended until then."""
        given = await self._approvals.of_question(use, question, options)
        if given is None:
            self._held = errors.Suspended(f"{self._tools.spec.name} asks a person")
            return
        words = given.text if given.approved else f"The person does not answer this. {given.text}".rstrip()
        called = self._called(use, self._known[use.name])
        answered = ev.ToolCompleted(call_id=use.id, name=use.name, result=words, is_error=not given.approved)
        await self._record.commit(called, answered)

    async def _announce(self, uses: list[ToolUseBlock]) -> None:
        """Intent before effect: all calls of a turn are durable before the first of them runs."""
        if not uses:
            return
        await self._record.commit(*(self._called(use, self._known[use.name]) for use in uses))
        failpoints.hit("tool.called")

    def _called(self, use: ToolUseBlock, tool: Tool) -> ev.ToolCalled:
        called = ev.ToolCalled(call_id=use.id, name=use.name, arguments=use.input, kind=tool.kind, tags=tool.tags)
        if tool is not self._delegate_tool:
            return called
        return called.model_copy(update={"title": tool.title, "delegate": use.input["agent"]})

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
        tool = self._known[use.name]
        if tool is self._delegate_tool:
            await self._delegate(use)
        else:
            await self._record.say(await self._outcome(use, tool, doubt))
        self._share.patience.progress()

    async def _delegate(self, use: ToolUseBlock) -> None:
        clock = self._tools.turn.clock
        begun = clock.monotonic()
        try:
            answer = await self._delegations.run(use)
        except (errors.Parked, errors.Suspended) as error:
            self._held = error  # the call stays open; its delegate goes on from the log
            return
        completed = answer.completed(use, self._marks(), round((clock.monotonic() - begun) * 1000))
        self._highest_mark = max(self._highest_mark, highest_in(completed.result))
        await self._record.say(completed)

    async def _outcome(self, use: ToolUseBlock, tool: Tool, doubt: str) -> ev.ToolCompleted | ev.ToolOutcomeUnknown:
        """Run the call; what is in doubt is tried again only where that is safe, and else said.

        ``doubt``: why an earlier attempt may have had the effect; empty if there was none.
        """
        for attempt in count(1):
            done = await self._run(use, tool)
            if tool.kind == "read" or done.ending == "answered" or (done.ending == "not_begun" and not doubt):
                text = self._numbered(done)
                return ev.ToolCompleted(
                    call_id=use.id,
                    name=use.name,
                    result=text,
                    attachments=done.attachments,
                    is_error=done.is_error,
                    ms=done.ms,
                )
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
        said = ev.RecoveryRetrying(failure=failure, message=done.text, attempt=attempt, of=ATTEMPTS, delay_s=delay)
        await self._record.say(said)
        tell(self._tools.turn.counts, self._record.emitter, said)
        await self._tools.turn.clock.sleep(delay)
        self._share.patience.progress()

    def _numbered(self, done: Invocation) -> str:
        if not done.citations:
            return done.text
        # Taken at once: another call may be numbered before this one's result is in the transcript.
        text = renumber(done.text, self._marks())
        self._highest_mark = highest_in(text)
        return text

    def _marks(self) -> int:
        """The highest mark given so far."""
        return max(self._highest_mark, highest_mark(self._record.transcript.messages()))

    def _context(self, use: ToolUseBlock) -> ToolContext:
        loop, request, call = asyncio.get_running_loop(), self._request, self._record.emitter.call
        turn, stage = self._record.transcript.turns_done, request.stage
        return ToolContext(
            run_id=request.run_id,
            stage=request.stage,
            documents=request.documents,
            data_dir=self._tools.data_dir,
            agent=self._tools.spec.name,
            emit=lambda name, value: _from_any_thread(loop, self._emit_custom, name, value),
            # The turn is part of it: some servers number the calls of each turn anew.
            idempotency_key=f"{request.run_id}:{stage if call is None else joined(stage, call)}:{turn}:{use.id}",
        )

    # --- after -------------------------------------------------------------------------------------------------------

    async def _switch_off(self) -> None:
        """Go on without the tools that have failed too often in a row."""
        for tool in self.offered():
            failures = self._record.transcript.failures(tool.name)
            if failures >= FAILURES:
                words = f"{tool.title} failed {failures} times in a row and is switched off for this step"
                said = ev.RecoveryToolSwitchedOff(name=tool.name, failures=failures, message=words)
                await self._record.say(said)
                tell(self._tools.turn.counts, self._record.emitter, said)

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
