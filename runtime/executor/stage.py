"""One stage under recovery: dispatch, the agent's call, the tool-call limit, the post-hooks, the outcome.

Every dispatch commits a higher number first, which shuts out whatever an earlier dispatch may still be doing somewhere.
Parallel siblings each have a driver of their own; one's recovery never holds up another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import runtime.errors as errors
from runtime import failpoints
from runtime.agents.request import STAGE_LEASE_S, AgentPort, PersonSaid, StageRequest, StageResult
from runtime.agents.spec import AgentSpec
from runtime.agents.telling import tell
from runtime.clock import Clock
from runtime.events import catalog as ev
from runtime.events.conversations import conversations, unknown_outcomes, withdrawal
from runtime.events.fingerprint import fingerprint
from runtime.events.fold import RunState
from runtime.events.messages import load_conversation
from runtime.events.people_events import ANSWER_WITHIN_S
from runtime.events.recovery_events import Recovery
from runtime.events.transcript import Transcript, advance, from_conversation
from runtime.executor.book import RunBook
from runtime.executor.emitted import Emitted
from runtime.executor.leases import StageLeases
from runtime.executor.outcome import answered_result, finished, joined, outcome
from runtime.log.publisher import Lane, Publisher
from runtime.pipeline.builder import Stage, brief_of, sources_of, taint_of
from runtime.pipeline.hooks import (
    Ask,
    Continue,
    Decision,
    Failure,
    Finished,
    Hooks,
    Joining,
    LeaveOut,
    Retry,
    Revise,
    Skip,
    Stop,
    Together,
)
from runtime.pipeline.revise import revised
from runtime.recovery.losses import Losses
from runtime.recovery.policy import LimitPolicy, LossPolicy
from runtime.recovery.rate import names_of
from runtime.stream.chain import Chain
from runtime.stream.emitter import Emitter
from runtime.telemetry import Counts, logger

_log = logger("executor")

MAX_QUESTIONS: Final = 10
"""A hook may ask about one stage."""


@dataclass(frozen=True, slots=True)
class StageTools:
    """What all stages of an executor share."""

    agents: Mapping[str, AgentPort]
    leases: StageLeases
    specs: Mapping[str, AgentSpec]
    hooks: Hooks
    limits: LimitPolicy
    losses: LossPolicy
    publisher: Publisher
    chain: Chain
    clock: Clock
    counts: Counts


class StageDriver:
    """Runs one stage of one run to its end: completed, failed, or waiting to be retried."""

    def __init__(self, tools: StageTools, book: RunBook, stage: Stage, epoch: int) -> None:
        self._tools = tools
        self._book = book
        self._stage = stage
        self._epoch = epoch
        self._id = stage.todo.id
        self._lanes: list[Lane] = []
        self._emitted = Emitted()

    async def run(self) -> None:
        """Returns when the stage's outcome is durable.

        Raises the log's refusals, RunCancelled, LimitExceeded, StoreUnavailable, and Parked or Suspended when there is
        nothing to do for a while: the stage then stands as the log has it, to be dispatched again.
        """
        try:
            await self._run()
        finally:
            for lane in self._lanes:
                self._tools.publisher.close(lane)

    async def _run(self) -> None:
        state = await self._book.refresh()
        known = state.stages[self._id]
        joining = await self._join(state) if known.status == "pending" else Together(known.context)
        dispatch, transcript, tools_off = known.dispatch + 1, known.transcript, False
        emitter = await self._begin(joining, dispatch, first=known.status == "pending")
        if emitter is None:
            return
        state = await self._book.refresh()
        result = answered_result(state, self._id)  # its agent was done before a hook asked a person
        if result is None and dispatch > 1:  # an earlier dispatch of this very owner may have left a turn open
            transcript = await self._withdraw(emitter, "redispatched")
        failure: Failure | None = None
        losses = Losses(self._tools.losses)
        while result is None and failure is None:
            request = self._request(state, dispatch, transcript, tools_off)
            try:
                agent = self._stage.todo.agent
                call = self._tools.agents[agent].run_stage(request)
                result = await self._tools.leases.hold(agent, request.lease, call)
            except errors.ToolCallLimitReached as limit:
                transcript, tools_off = await self._resume(emitter, transcript, limit)
                dispatch += 1
                emitter = await self._dispatch(dispatch, first=False)
            except errors.AgentLost as error:
                dispatch += 1
                stands = (await self._book.refresh()).stages[self._id].transcript
                losses.count(progress=stands.progress(), calling=stands.calling())
                if losses.too_many:
                    failure = Failure(error.code, error.message, losses.total)
                else:
                    await self._pause(emitter, losses, error)
                emitter = await self._dispatch(dispatch, first=False)
                transcript = await self._withdraw(emitter, error.code)
            except errors.StageFailed as error:
                failure = Failure(error.reason, error.message, error.attempts)
            state = await self._book.refresh()
        await self._conclude(emitter, state, result, failure)

    async def _begin(self, joining: Joining, dispatch: int, *, first: bool) -> Emitter | None:
        """Dispatch the stage, or leave it out; None when there is nothing to be done."""
        async with self._book.changing:
            stage = (await self._book.refresh()).stages.get(self._id)
            if stage is None or stage.ended:  # a hook, or a person, has just taken it out
                return None
            if isinstance(joining, Together):
                return await self._dispatch(dispatch, first=first, context=joining.context)
            await self._leave_out(joining)
            return None

    def _emitter(self, dispatch: int | None) -> Emitter:
        lane = self._tools.publisher.lane(self._book.state.run_id, self._epoch, stage=self._id, dispatch=dispatch)
        self._lanes.append(lane)
        agent = self._stage.todo.agent
        return Emitter(lane, self._tools.chain, self._tools.clock, lane.run_id, stage=self._id, agent=agent)

    async def _dispatch(self, dispatch: int, *, first: bool, context: str | None = None) -> Emitter:
        emitter = self._emitter(dispatch)
        events: list[ev.Event] = [ev.StageDispatched(dispatch=dispatch, lease_s=STAGE_LEASE_S)]
        events += self._emitted.take()
        if first:
            stage = self._stage
            begun = ev.StageStarted(
                index=stage.index, of=stage.of, title=stage.todo.title, todo=self._id, context=context
            )
            events.append(begun)
        await emitter.commit(*events)
        return emitter

    def _request(self, state: RunState, dispatch: int, transcript: Transcript, tools_off: bool) -> StageRequest:
        accepted = state.accepted
        assert accepted is not None  # the first event of every run
        return StageRequest(
            run_id=state.run_id,
            epoch=self._epoch,
            stage=self._id,
            dispatch=dispatch,
            brief=brief_of(self._stage, state),
            transcript=transcript,
            sources=sources_of(self._stage, state),
            documents=accepted.input.documents,
            attachments=accepted.input.attachments,
            said=tuple(PersonSaid(said.input, said.text) for said in state.messages_for(self._id)),
            tool_calls_left=max(0, accepted.limits.tool_calls - state.tool_calls),
            tools_off=tools_off,
            lease_s=STAGE_LEASE_S,
            taint=taint_of(self._stage, state),
        )

    async def _pause(self, emitter: Emitter, losses: Losses, error: errors.AgentLost) -> None:
        """Say that the agent's process is gone, and give Ray the time to make another."""
        delay = losses.delay_s
        said = ev.RecoveryRetrying(
            failure=error.code, message=error.message, attempt=losses.total, of=losses.most, delay_s=delay
        )
        await emitter.commit(said)
        tell(self._tools.counts, emitter, said)
        await self._tools.clock.sleep(delay)

    async def _withdraw(self, emitter: Emitter, reason: str) -> Transcript:
        """The conversation as the log has it, its open turn withdrawn; the dispatch before has shut its maker out."""
        return await withdraw(emitter, (await self._book.refresh()).stages[self._id].transcript, reason)

    async def _resume(
        self, emitter: Emitter, before: Transcript, limit: errors.ToolCallLimitReached
    ) -> tuple[Transcript, bool]:
        """The conversation out of the exception, with the note that tells the agent to go on; and whether tools are off."""
        policy = self._tools.limits
        known = (await self._book.refresh()).stages[self._id].transcript
        transcript = from_conversation(
            load_conversation(limit.conversation),
            next_turn=limit.next_turn,
            tool_calls=limit.tool_calls,
            resumes=before.resumes,
            failing=known.failing,
            switched_off=known.switched_off,
            delivered=known.delivered,
            usage=known.usage,
            taint=known.taint,
        )
        if policy.may_resume(before.resumes):
            said: Recovery = ev.RecoveryResumed(
                reason="tool_call_limit", attempt=before.resumes + 1, of=policy.resumes, tool_calls=limit.tool_calls
            )
        else:
            message = "no resume is left: one answer without tools"
            said = ev.RecoveryRetrying(failure="tool_call_limit", message=message, attempt=1, of=1, delay_s=0.0)
        await emitter.commit(said)
        tell(self._tools.counts, emitter, said)
        return advance(transcript, said, None, None), said.type != "recovery.resumed"

    async def _conclude(
        self, emitter: Emitter, state: RunState, result: StageResult | None, failure: Failure | None
    ) -> None:
        """Let the post-hooks decide what the stage's end means, and write it. Raises Suspended when they ask a person."""
        stage = state.stages[self._id]
        done = replace(finished(self._stage, state, result, failure), emit=self._emitted.emit)
        decision = await self._decide(done)
        if isinstance(decision, Ask):
            decision = await self._ask(emitter, done, decision)
        if isinstance(decision, Retry) and done.failure is None:
            done = replace(done, failure=Failure("output_invalid", decision.reason))
        async with self._book.changing:
            decision = await self._change_plan(emitter, decision)
            taint = stage.transcript.met() | taint_of(self._stage, state)
            event = outcome(self._stage, done, decision, result, taint)
            await say_unknown_outcomes(emitter, stage.transcript)
            if any(each.open for _, each in conversations(stage.transcript)):  # its agent was stopped in mid-turn
                await self._withdraw(emitter, event.code if isinstance(event, ev.StageFailed) else "stopped")
            await emitter.commit(*self._emitted.take(), event, ev.UsageUpdated(usage=state.usage))
        failpoints.hit("stage.completed")
        self._tools.counts.add(event.type)
        if isinstance(event, ev.StageCompleted) or event.decision != "retry":
            done_well = isinstance(event, ev.StageCompleted)
            self._tools.counts.add_all(names_of("stages", stage.recoveries, completed=done_well))

    async def _decide(self, done: Finished) -> Decision:
        try:
            return await self._tools.hooks.decide(done)
        except Exception as error:  # a user's hook: its failure stops the run with words, never the executor
            _log.exception("a post-hook failed after stage %s", self._id)
            return Stop(f"a post-hook failed: {type(error).__name__}: {error}")

    async def _ask(self, emitter: Emitter, done: Finished, question: Ask) -> Stop:
        """Ask a person what a hook wants to know: raises Suspended once the question stands. Stops who asks too often."""
        asked = len(done.answers) + 1
        if asked > MAX_QUESTIONS:
            return Stop(f"a post-hook asked more than {MAX_QUESTIONS} times about one step")
        await emitter.commit(
            *self._emitted.take(),
            ev.ApprovalRequested(
                approval=f"{self._id}.{asked}",
                kind="question",
                what=question.question,
                arguments_hash=fingerprint(question.question),
                expires_at=self._tools.clock.now() + ANSWER_WITHIN_S,
                options=question.options,
                reason=f"asked after step {self._stage.todo.title!r}",
            ),
        )
        raise errors.Suspended(f"stage {self._id} waits for an answer")

    async def _change_plan(self, emitter: Emitter, decision: Decision) -> Decision:
        """Write what a hook changes of the plan, before the stage's end: should we be lost in between, the hook runs again."""
        if not isinstance(decision, Skip | Revise):
            return decision
        state = await self._book.refresh()
        if isinstance(decision, Revise):
            try:
                plan = revised(state, decision, self._tools.specs)
            except ValueError as error:
                return Stop(f"a post-hook's change of the plan cannot be used: {error}")
            if plan != state.plan:
                await emitter.commit(ev.PlanRevised(plan=plan, reason=decision.reason))
        else:
            for name in decision.todos:
                if name in state.stages and state.stages[name].status == "pending":
                    todo = state.stages[name].todo
                    skipped = ev.StageSkipped(todo=name, title=todo.title, reason=decision.reason)
                    await emitter.at(name, todo.agent).commit(skipped)
        return Continue(decision.context)

    async def _join(self, state: RunState) -> Joining:
        """What the stage is told of the several stages it builds on."""
        if len(self._stage.todo.depends_on) < 2:
            return Together()
        try:
            return await self._tools.hooks.join(replace(joined(self._stage, state), emit=self._emitted.emit))
        except Exception as error:  # a user's hook: as in _decide
            _log.exception("a join hook failed before stage %s", self._id)
            return Stop(f"a join hook failed: {type(error).__name__}: {error}")

    async def _leave_out(self, joining: LeaveOut | Stop) -> None:
        stop = joining.reason if isinstance(joining, Stop) else None
        todo = self._stage.todo
        skipped = ev.StageSkipped(todo=todo.id, title=todo.title, reason=joining.reason, stop=stop)
        await self._emitter(dispatch=None).commit(*self._emitted.take(), skipped)
        self._tools.counts.add(skipped.type)


async def say_unknown_outcomes(emitter: Emitter, transcript: Transcript) -> None:
    """Write of every call of a stage, delegates' included, whose outcome nobody will learn that it is unknown."""
    for call, each in conversations(transcript):
        for unknown in unknown_outcomes(each):
            await emitter.of(call, each.agent).emit(unknown, turn=each.turns_done)


async def withdraw(emitter: Emitter, transcript: Transcript, reason: str) -> Transcript:
    """``transcript`` with its open turns, delegates' included, withdrawn; whoever made them has been shut out."""
    after = transcript
    for call, open_one in conversations(transcript):
        if open_one.open:
            superseded, at = withdrawal(open_one, reason), (open_one.turn, open_one.attempt)
            await emitter.of(call, open_one.agent).commit(superseded, turn=at[0], attempt=at[1])
            after = advance(after, superseded, *at, call)
    return after
