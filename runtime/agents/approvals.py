"""What a conversation asks people: requested once, its answer read from the log, the stage suspended in between."""

from __future__ import annotations

from runtime.agents.record import StageRecord
from runtime.clock import Clock
from runtime.events import catalog as ev
from runtime.events.calls import call_path
from runtime.events.fingerprint import fingerprint
from runtime.events.messages import ToolUseBlock
from runtime.events.people_events import ANSWER_WITHIN_S
from runtime.events.transcript import Transcript
from runtime.tools.tool import Tool


class Approvals:
    """Of one dispatch of one conversation."""

    def __init__(self, stage: str, record: StageRecord, clock: Clock) -> None:
        self._stage = stage
        self._record = record
        self._clock = clock

    async def of_call(self, use: ToolUseBlock, tool: Tool, reason: str) -> ev.ApprovalGiven | None:
        """What a person says to exactly this call; None: asked, and not answered yet."""
        what = f"Run {tool.title} ({tool.name})?"
        asked = ev.ApprovalRequested(
            **self._place(use),
            kind="tool",
            what=what,
            arguments_hash=fingerprint([tool.name, use.input]),
            name=tool.name,
            arguments=use.input,
            reason=reason,
        )
        return await self._answer(asked)

    async def of_question(self, use: ToolUseBlock, question: str, options: tuple[str, ...]) -> ev.ApprovalGiven | None:
        """What a person answers to an agent's question; None: asked, and not answered yet."""
        asked = ev.ApprovalRequested(
            **self._place(use),
            kind="question",
            what=question,
            arguments_hash=fingerprint(question),
            options=options,
            reason="its agent asks",
        )
        return await self._answer(asked)

    def _place(self, use: ToolUseBlock) -> dict[str, object]:
        path = call_path(self._record.emitter.call, self._record.transcript.turns_done, use.id)
        expires_at = self._clock.now() + ANSWER_WITHIN_S
        return {"approval": f"{self._stage}:{path}", "call_id": use.id, "expires_at": expires_at}

    async def _answer(self, asked: ev.ApprovalRequested) -> ev.ApprovalGiven | None:
        transcript = self._record.transcript
        if all(known.approval != asked.approval for known in transcript.asked):
            await self._record.commit(asked)
            return None
        return _given(transcript, asked)


def _given(transcript: Transcript, asked: ev.ApprovalRequested) -> ev.ApprovalGiven | None:
    """The first answer to exactly this."""
    place = asked.approval, asked.arguments_hash
    return next((given for given in transcript.answers if (given.approval, given.arguments_hash) == place), None)
