"""The agent loop: model turn -> tools -> model turn, until it answers or reaches its tool-call limit.

The conversation is never held apart from the log: the loop advances :class:`Transcript` with exactly the events it writes.
"""

from __future__ import annotations

import runtime.errors as errors
from runtime.agents.attachments import first_message, words_only
from runtime.agents.citations import citations_of, highest_in_words, highest_mark
from runtime.agents.compaction import Compaction, has_overflowed
from runtime.agents.delegate import Delegations
from runtime.agents.parts import LoopTools as LoopTools
from runtime.agents.parts import Share, limit_reached
from runtime.agents.provider_citations import provider_citations
from runtime.agents.record import StageRecord
from runtime.agents.request import PersonSaid, StageRequest, StageResult
from runtime.agents.tool_calls import ToolCalls
from runtime.agents.turn import Rung, take_turn
from runtime.events import catalog as ev
from runtime.events.messages import Conversation, Message, dump_conversation
from runtime.llm.client import ModelRequest, ToolSpec
from runtime.llm.options import ServerTool
from runtime.tools.containment import provider_tools

MAX_PAUSES = 8
"""Continuations of one ``pause_turn`` chain (JOURNAL.md 1.5)."""


class StageLoop:
    """One dispatch of one stage, or of one delegate's part in it."""

    def __init__(
        self,
        tools: LoopTools,
        request: StageRequest,
        record: StageRecord,
        share: Share,
        inbox: list[PersonSaid] | None = None,
    ) -> None:
        """``inbox``: what people say while the stage is worked on; others add to it. A delegate has none."""
        self._inbox = [] if inbox is None else inbox
        self._tools = tools
        self._spec = tools.spec
        self._request = request
        self._record = record
        self._share = share
        delegations = Delegations(tools, request, record, share, StageLoop)
        self._calls = ToolCalls(tools, request, record, share, delegations)
        self._compaction = Compaction(tools, record, self._model_request, share.patience.progress)

    async def run(self) -> StageResult:
        """Work until there is an answer. Raises StageFailed, ToolCallLimitReached and the log's refusals."""
        pauses, record = 0, self._record
        await self._go_on_or_stop()  # a lost process may have left such a turn behind
        await self._answer_open_calls()
        while await self._hear() or not record.transcript.finished():
            await self._turn()
            stands = await self._go_on_or_stop()
            pauses = pauses + 1 if record.transcript.stop_reason == "pause_turn" else 0
            if pauses > MAX_PAUSES:
                raise errors.StageFailed(f"the model paused {pauses} times in a row", "too_many_pauses")
            await self._answer_open_calls()
            if self._request.tools_off and stands:
                break  # one answer was granted, and this is it
        return await self._finish()

    async def _hear(self) -> bool:
        """Make what people have said part of the conversation; whether there was anything new."""
        known = self._record.transcript.delivered
        new = {said.input: said for said in self._inbox if said.input not in known}
        self._inbox.clear()
        if new:
            await self._record.commit(*(ev.InputDelivered(input=s.input, text=s.text) for s in new.values()))
        return bool(new)

    def citations(self) -> list[ev.CitationAdded]:
        """The sources of the answer: those of its marks, then those the provider cites."""
        transcript = self._record.transcript
        text, messages = transcript.text(), transcript.messages()
        highest = max(highest_mark(messages), highest_in_words(text))
        own = provider_citations(transcript.done[-1].content, highest)
        return [*citations_of(text, messages, self._request.sources), *own]

    def _first(self, *, shown: bool) -> Message:
        return first_message(self._request.brief, self._request.attachments, shown=shown, citing=True)

    async def _turn(self) -> None:
        attempts = 0
        self._stop_at_limit()
        await self._compaction.make_room()
        self._stop_at_limit()  # a summary is a turn as well

        def request_for(rung: Rung, messages: Conversation, turn: int) -> ModelRequest:
            nonlocal attempts
            attempts += 1
            return self._model_request(rung, messages, turn)

        progress = self._share.patience.progress
        try:
            await take_turn(self._tools.turn, self._record, request_for, show=True, progress=progress)
        except errors.ModelError as error:
            raise errors.StageFailed(error.message, error.code, attempts, error.retryable) from error

    def _stop_at_limit(self) -> None:
        if (failed := limit_reached(self._spec, self._record.transcript)) is not None:
            raise failed

    async def _go_on_or_stop(self) -> bool:
        """Whether the last turn stands; False: a full window cut it off, and it is to be made again with less.

        Raises StageFailed when it is no answer, whole as it is, and cannot lead to one.
        """
        if self._record.transcript.stop_reason == "refusal":
            raise errors.StageFailed("the model declined to answer", "refused")
        if not has_overflowed(self._record.transcript):
            return True
        await self._compaction.after_overflow()
        return False

    def _model_request(self, rung: Rung, messages: Conversation, turn: int) -> ModelRequest:
        offered = self._calls.offered()
        # The Messages API refuses a conversation with tool calls in it that names no tools.
        tools = offered or self._calls.known
        messages = words_only(messages) if rung.reads_words_only else messages
        return ModelRequest(
            model=rung.model,
            system=rung.instructions,
            messages=_merged((self._first(shown=not rung.reads_words_only), *messages)),
            tools=tuple(ToolSpec(tool.name, tool.description, tool.input_schema) for tool in tools),
            tool_choice=self._tool_choice(tools_off=bool(tools and not offered)),
            server_tools=self._server_tools(rung),
            options=self._spec.options,
            max_tokens=self._spec.max_tokens,
            agent=self._spec.name,
            turn=turn,
        )

    def _server_tools(self, rung: Rung) -> tuple[ServerTool, ...]:
        met = self._record.transcript.met() | self._request.taint
        return () if rung.reads_words_only else provider_tools(self._spec.server_tools, met)

    def _tool_choice(self, *, tools_off: bool) -> str | None:
        if self._request.tools_off or tools_off:
            return "none"
        # Only at first: a model that must call a tool can never answer.
        return None if self._record.transcript.done else self._spec.options.tool_choice

    async def _answer_open_calls(self) -> None:
        """Run the last turn's unanswered tool calls, as many as the limit allows. Raises ToolCallLimitReached."""
        if not await self._calls.answer() and not self._request.tools_off:
            raise self._limit_reached()

    def _limit_reached(self) -> errors.ToolCallLimitReached:
        transcript = self._record.transcript
        # Without the attachments: whoever resumes makes the first message anew, and exceptions should be small.
        # Not merged: a summary of earlier turns is a user's message too, and must not be dropped with the first.
        conversation = (self._first(shown=False), *_merged(transcript.messages()))
        return errors.ToolCallLimitReached(
            f"{self._spec.name} made {transcript.tool_calls} tool calls in this step",
            dump_conversation(conversation),
            transcript.turns_done + 1,
            transcript.tool_calls,
        )

    async def _finish(self) -> StageResult:
        transcript, emitter = self._record.transcript, self._record.emitter
        if emitter.call is None:  # a delegate's sources go back to its caller, who cites them in the stage's answer
            for citation in self.citations():
                await emitter.emit(citation)
        await emitter.drain()
        partial = self._request.tools_off or transcript.stop_reason == "max_tokens"
        return StageResult(transcript.text(), transcript.tool_calls, transcript.usage, partial)


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
