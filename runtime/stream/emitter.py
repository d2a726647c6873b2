"""From an event to the log: the chain, redaction, the codec and a sink, bound to one place in one run.

Every event that an executor, the orchestrator or an agent writes passes here, and no secret does. What people write themselves
is written by the door, and is not redacted.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Protocol

from runtime.clock import Clock
from runtime.events.catalog import Event, TurnDelta
from runtime.events.codec import encode
from runtime.events.envelope import Draft, Record
from runtime.stream.chain import Chain
from runtime.stream.redact import redacted
from runtime.stream.said import Said

ESSENTIAL = frozenset(
    {
        "run.started",
        "run.completed",
        "run.failed",
        "run.cancelled",
        "run.expired",
        "run.waiting",
        "plan.committed",
        "plan.revised",
        "guardrail.verdict",
        "stage.dispatched",
        "stage.completed",
        "stage.failed",
        "stage.skipped",
        "turn.started",
        "turn.completed",
        "turn.superseded",
        "turn.failed",
        "tool.called",
        "tool.completed",
        "tool.outcome_unknown",
        "tool.arguments_invalid",
        "approval.requested",
        "approval.given",
        "input.received",
        "input.delivered",
        "recovery.compacted",
        "recovery.resumed",
        "recovery.retrying",
        "recovery.tool_switched_off",
    }
)
"""Types a run's state is folded from: a rule may change what they say, and cannot withhold them."""


class Sink(Protocol):
    """Where records go; ``runtime.log.publisher.Lane`` is one."""

    async def offer(self, *records: Record) -> None: ...
    async def commit(
        self, *records: Record, wake_at: float | None = None, unless_said_after: int | None = None
    ) -> int: ...
    async def drain(self) -> None: ...


class Emitter:
    """Writes the events of one stage, one planning agent, or the run itself."""

    def __init__(
        self,
        sink: Sink,
        chain: Chain,
        clock: Clock,
        run_id: str,
        *,
        stage: str | None = None,
        agent: str | None = None,
        call: str | None = None,
        said: Said | None = None,
    ) -> None:
        """``said``: the texts under way in this stage, which its delegates' writers share."""
        self._sink = sink
        self._chain = chain
        self._clock = clock
        self.run_id = run_id
        self.stage = stage
        self.agent = agent
        self.call = call
        self._said = said or Said(chain.redactor)

    def at(self, stage: str, agent: str) -> Emitter:
        """The same writer for a stage of the run: what both write stays in order."""
        return Emitter(self._sink, self._chain, self._clock, self.run_id, stage=stage, agent=agent)

    def of(self, call: str | None, agent: str | None) -> Emitter:
        """The same writer for what was delegated to ``agent`` by the call of that path; without one, this writer itself."""
        if call is None:
            return self
        sink, chain, clock = self._sink, self._chain, self._clock
        return Emitter(sink, chain, clock, self.run_id, stage=self.stage, agent=agent, call=call, said=self._said)

    def holds_secret(self, value: Any) -> bool:
        """Whether a JSON value would not be written as it is. Any: it is any JSON value."""
        return self._chain.redactor.holds(value)

    async def emit(self, event: Event, *, turn: int | None = None, attempt: int | None = None) -> Event:
        """Send without waiting for the commit; answers the event as it was written. Raises when the writer has been shut out.

        The end of a delta that may be the beginning of a secret waits for what follows it.
        """
        draft = await self._draft(event, turn, attempt)
        drafts = self._said.take(draft)
        if drafts:
            await self._sink.offer(*map(self._record, drafts))
        return draft.event

    async def commit(
        self,
        *events: Event,
        turn: int | None = None,
        attempt: int | None = None,
        wake_at: float | None = None,
        unless_said_after: int | None = None,
    ) -> tuple[Event, ...]:
        """Send and wait until all of them, in one transaction, are durable; answers them as they were written.

        ``wake_at``, with ``run.waiting`` as the last event: when the run may be claimed again. ``unless_said_after``:
        raises ``InputPending`` when a person has said something after that event.
        """
        drafts = [await self._draft(event, turn, attempt) for event in events]
        records = [self._record(each) for draft in drafts for each in self._said.take(draft)]
        await self._sink.commit(*records, wake_at=wake_at, unless_said_after=unless_said_after)
        return tuple(draft.event for draft in drafts)

    async def drain(self) -> None:
        """Wait until everything sent is durable."""
        if drafts := self._said.rest(self.call):
            await self._sink.offer(*map(self._record, drafts))
        await self._sink.drain()

    async def _draft(self, event: Event, turn: int | None, attempt: int | None) -> Draft:
        draft = Draft(event, self.stage, self.agent, turn, attempt, self.call)
        after = await self._chain.run(draft)
        if event.type in ESSENTIAL and after.event.type != event.type:
            after = draft
        if not isinstance(after.event, TurnDelta):
            clean = redacted(after.event, self._chain.redactor)
            after = after if clean is after.event else replace(after, event=clean)
        # A rule that knows nothing of delegates makes a draft without this; the conversation is folded by it.
        return after if after.call == self.call else replace(after, call=self.call)

    def _record(self, draft: Draft) -> Record:
        return encode(draft, self.run_id, self._clock.now())
