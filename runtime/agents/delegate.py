"""Agents as tools: a call of ``delegate`` gives a task to another agent, whose answer is the call's result.

The delegate's loop runs in the process of the agent that called it. Its turns and calls are events of the same stage that
carry the path of the call, so the log is their journal too: after a takeover the delegate goes on where it was
(``Transcript.children``). It works on the stage's budget, lease, dispatch and cancellation, draws on the same total of tool
calls, begins with the taint of its caller and leaves its own to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, Protocol

from pydantic import ConfigDict, Field, create_model

import runtime.errors as errors
from runtime.agents.citations import handed_back
from runtime.agents.gate import DELEGATE
from runtime.agents.parts import LoopTools, Share
from runtime.agents.patience import TimeIsUp
from runtime.agents.record import StageRecord
from runtime.agents.request import StageRequest, StageResult
from runtime.agents.telling import tell
from runtime.events import catalog as ev
from runtime.events.brief import Brief
from runtime.events.calls import call_path, depth_of
from runtime.events.messages import ToolUseBlock
from runtime.tools.answers import bounded
from runtime.tools.tool import Tool

MAX_DEPTH = 4
"""Delegations inside one another (SECURITY.md 2.1, LLM06)."""

PARTIAL = "(This answer is partial: {agent} came to a limit before it was done.)\n\n"


class Loop(Protocol):
    """The part of a stage's loop that is needed here."""

    async def run(self) -> StageResult: ...

    def citations(self) -> list[ev.CitationAdded]:
        """The sources of the answer."""
        ...


MakeLoop = Callable[[LoopTools, StageRequest, StageRecord, Share], Loop]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a delegate gave back, before its marks are made those of its caller."""

    text: str
    citations: tuple[ev.CitationAdded, ...] = ()
    is_error: bool = False

    def completed(self, use: ToolUseBlock, highest_mark: int, ms: int) -> ev.ToolCompleted:
        """The same as the answer of the call, its sources numbered on from the caller's highest mark."""
        text = handed_back(self.text, self.citations, highest_mark) if self.citations else self.text
        return ev.ToolCompleted(call_id=use.id, name=use.name, result=bounded(text), is_error=self.is_error, ms=ms)


def delegate_tool(tools: LoopTools, call: str | None) -> Tool | None:
    """The tool of an agent at work at the path ``call``; None when it may delegate to nobody, or not any deeper."""
    names = tuple(name for name in tools.spec.delegates if name in tools.team)
    if not names or depth_of(call) >= MAX_DEPTH:
        return None
    lines = "\n".join(f"- {name}: {tools.team[name].spec.description}" for name in names)
    fields: dict[str, Any] = {  # Any: what create_model takes
        "agent": (Literal[names], Field(description="Who is to do it.")),
        "task": (
            Annotated[str, Field(min_length=1, max_length=8000)],
            Field(
                description="What to do, with everything needed to do it: the agent sees nothing of this conversation."
            ),
        ),
    }
    arguments = create_model("delegate_arguments", __config__=ConfigDict(extra="forbid"), **fields)
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    return Tool(
        name=DELEGATE,
        title="Delegate",
        description=f"Give a task to another agent and get its answer. Several calls of one turn run side by side.\n{lines}",
        input_schema=schema,
        arguments=arguments,
        function=_not_a_function,
        reads_private=False,  # what its agent meets comes back with its answer
        untrusted=False,
        sends_out=False,
    )


def _not_a_function(agent: str, task: str) -> str:
    raise errors.InternalError(f"delegate is run by the agent loop (agent {agent}, {len(task)} characters)")


class Delegations:
    """The delegates of one dispatch of one conversation."""

    def __init__(
        self, tools: LoopTools, request: StageRequest, record: StageRecord, share: Share, make_loop: MakeLoop
    ) -> None:
        self._team: Mapping[str, LoopTools] = tools.team
        self._request = request
        self._record = record
        self._share = share
        self._make_loop = make_loop

    async def run(self, use: ToolUseBlock) -> Answer:
        """Let the agent that was called work, from where its conversation stands. Its failure is an answer too.

        Raises Parked and what the log refuses.
        """
        record, transcript = self._record, self._record.transcript
        key, path = transcript.child_key(use.id), call_path(record.emitter.call, transcript.turns_done, use.id)
        if key not in transcript.children:  # a rule of the chain has taken it out of tool.called
            return Answer("Not run: its announcement does not say which agent it is for.", is_error=True)
        child = record.child(key, path)
        name = child.transcript.agent or ""
        tools = self._team.get(name)
        if tools is None:  # the log is of a system that had it
            await child.cut_off("its agent is no longer there", "agent_lost")
            return Answer(f"There is no agent {name!r} any more.", is_error=True)
        try:
            return await self._answer(tools, child, str(use.input.get("task", "")))
        except errors.StageFailed as error:
            return Answer(f"{name} gave no answer: {error.message} ({error.reason})", is_error=True)

    async def _answer(self, tools: LoopTools, child: StageRecord, task: str) -> Answer:
        brief = Brief(self._request.brief.question, task=task, has_documents=self._request.brief.has_documents)
        taint = self._request.taint | self._record.transcript.met()
        request = replace(self._request, brief=brief, transcript=child.transcript, taint=taint, tools_off=False)
        patience = tools.patience(self._share.patience)
        share = replace(self._share, patience=patience)
        try:
            return await patience.run(self._work(tools, request, child, share))
        except TimeIsUp as error:
            await child.cut_off("it was interrupted when the time of its delegate was over", error.reason)
            raise errors.StageFailed(f"it {error.words}", error.reason, 1, True) from error

    async def _work(self, tools: LoopTools, request: StageRequest, child: StageRecord, share: Share) -> Answer:
        """Until there is an answer; a delegate at its tool-call limit is not resumed, but gives one answer without tools."""
        loop = self._make_loop(tools, request, child, share)
        try:
            result = await loop.run()
        except errors.ToolCallLimitReached as limit:
            said = ev.RecoveryRetrying(failure="tool_call_limit", message=limit.message, attempt=1, of=1, delay_s=0.0)
            await child.commit(said)
            tell(tools.turn.counts, child.emitter, said)
            loop = self._make_loop(tools, replace(request, transcript=child.transcript, tools_off=True), child, share)
            result = await loop.run()
        if not result.text.strip():
            raise errors.StageFailed("the answer was empty", "output_invalid")
        words = PARTIAL.format(agent=tools.spec.name) if result.partial else ""
        return Answer(words + result.text, tuple(loop.citations()))
