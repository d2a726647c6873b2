"""One stage under recovery: dispatch, the agent's call, the tool-call limit, the post-hooks, the outcome.

Every dispatch commits a higher number first, which shuts out whatever an earlier dispatch may still be doing somewhere.
Parallel siblings each have a driver of their own; one's recovery never holds up another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import runtime.errors as errors
from runtime import failpoints
from runtime.agents.request import STAGE_LEASE_S, AgentPort, StageRequest, StageResult
from runtime.agents.spec import AgentSpec
from runtime.clock import Clock
from runtime.events import catalog as ev
from runtime.events.fold import RunState, StageState
from runtime.events.messages import load_conversation
from runtime.events.transcript import Transcript, advance, from_conversation
from runtime.executor.book import RunBook
from runtime.executor.leases import StageLeases
from runtime.log.publisher import Lane, Publisher
from runtime.pipeline.builder import Stage, brief_of, sources_of
from runtime.pipeline.hooks import Continue, Decision, Failure, Finished, Hooks, Retry, Stop
from runtime.recovery.losses import Losses
from runtime.recovery.policy import LimitPolicy, LossPolicy
from runtime.stream.chain import Chain
from runtime.stream.emitter import Emitter
from runtime.telemetry import Counts, logger

_log = logger("executor")

SUMMARY_CHARACTERS = 200


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

    async def run(self) -> None:
        """Returns when the stage's outcome is durable.

        Raises the log's refusals, RunCancelled, LimitExceeded, StoreUnavailable, and Parked when there is nothing to do
        for a while: the stage then stands as the log has it, to be dispatched again.
        """
        try:
            await self._run()
        finally:
            for lane in self._lanes:
                self._tools.publisher.close(lane)

    async def _run(self) -> None:
        state = await self._book.refresh()
        known = state.stages[self._id]
        dispatch, transcript, tools_off = known.dispatch + 1, known.transcript, False
        emitter = await self._dispatch(dispatch, first=known.status == "pending")
        if dispatch > 1:  # an earlier dispatch of this very owner may have left a turn open
            transcript = await self._withdraw(emitter, "redispatched")
        result: StageResult | None = None
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
                losses.count(progress=(stands.turns_done, len(stands.results)), calling=stands.calling())
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

    async def _dispatch(self, dispatch: int, *, first: bool) -> Emitter:
        lane = self._tools.publisher.lane(self._book.state.run_id, self._epoch, stage=self._id, dispatch=dispatch)
        self._lanes.append(lane)
        emitter = Emitter(
            lane, self._tools.chain, self._tools.clock, lane.run_id, stage=self._id, agent=self._stage.todo.agent
        )
        events: list[ev.Event] = [ev.StageDispatched(dispatch=dispatch, lease_s=STAGE_LEASE_S)]
        if first:
            stage = self._stage
            events.append(ev.StageStarted(index=stage.index, of=stage.of, title=stage.todo.title, todo=self._id))
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
            tool_calls_left=max(0, accepted.limits.tool_calls - state.tool_calls),
            tools_off=tools_off,
            lease_s=STAGE_LEASE_S,
        )

    async def _pause(self, emitter: Emitter, losses: Losses, error: errors.AgentLost) -> None:
        """Say that the agent's process is gone, and give Ray the time to make another."""
        delay = losses.delay_s
        said = ev.RecoveryRetrying(
            failure=error.code, message=error.message, attempt=losses.total, of=losses.most, delay_s=delay
        )
        await emitter.commit(said)
        self._tools.counts.add("recovery.retrying.agent_lost")
        await self._tools.clock.sleep(delay)

    async def _withdraw(self, emitter: Emitter, reason: str) -> Transcript:
        """The conversation as the log has it, its open turn withdrawn; the dispatch before has shut its maker out."""
        transcript = (await self._book.refresh()).stages[self._id].transcript
        if not transcript.open:
            return transcript
        superseded = withdrawal(transcript, reason)
        await emitter.commit(superseded, turn=transcript.turn, attempt=transcript.attempt)
        return advance(transcript, superseded, transcript.turn, transcript.attempt)

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
        )
        if policy.may_resume(before.resumes):
            said: ev.Event = ev.RecoveryResumed(
                reason="tool_call_limit", attempt=before.resumes + 1, of=policy.resumes, tool_calls=limit.tool_calls
            )
        else:
            message = "no resume is left: one answer without tools"
            said = ev.RecoveryRetrying(failure="tool_call_limit", message=message, attempt=1, of=1, delay_s=0.0)
        self._tools.counts.add(f"tool_limit.{'resumed' if said.type == 'recovery.resumed' else 'tools_off'}")
        _log.info("run %s stage %s: %s; %s", emitter.run_id, self._id, limit.message, said)
        await emitter.commit(said)
        return advance(transcript, said, None, None), said.type != "recovery.resumed"

    async def _conclude(
        self, emitter: Emitter, state: RunState, result: StageResult | None, failure: Failure | None
    ) -> None:
        stage = state.stages[self._id]
        done = self._finished(state, stage, result, failure)
        decision = await self._decide(done)
        if isinstance(decision, Retry) and done.failure is None:
            done = replace(done, failure=Failure("output_invalid", decision.reason))
        event = self._outcome(done, decision, result)
        usage = ev.UsageUpdated(usage=state.usage)
        for unknown in unknown_outcomes(stage.transcript):
            await emitter.emit(unknown, turn=stage.transcript.turns_done)
        if stage.transcript.open:  # its agent was stopped in mid-turn
            await self._withdraw(emitter, event.code if isinstance(event, ev.StageFailed) else "stopped")
        await emitter.commit(event, usage)
        failpoints.hit("stage.completed")
        self._tools.counts.add(event.type)

    async def _decide(self, done: Finished) -> Decision:
        try:
            return await self._tools.hooks.decide(done)
        except Exception as error:  # a user's hook: its failure stops the run with words, never the executor
            _log.exception("a post-hook failed after stage %s", self._id)
            return Stop(f"a post-hook failed: {type(error).__name__}: {error}")

    def _finished(
        self, state: RunState, stage: StageState, result: StageResult | None, failure: Failure | None
    ) -> Finished:
        assert state.plan is not None  # stages exist only in planned runs
        assert state.accepted is not None  # the first event of every run
        return Finished(
            question=state.accepted.input.question,
            plan=state.plan,
            todo=self._stage.todo,
            index=self._stage.index,
            completed=frozenset(todo for todo, s in state.stages.items() if s.completed is not None),
            tries=stage.failures + 1,
            output=result.text if result else "",
            citations=stage.citations,
            failure=failure,
        )

    def _outcome(
        self, done: Finished, decision: Decision, result: StageResult | None
    ) -> ev.StageCompleted | ev.StageFailed:
        if done.failure is not None or result is None or (isinstance(decision, Stop) and not done.output.strip()):
            failure = done.failure or Failure("output_invalid", "the answer was empty")
            return ev.StageFailed(
                todo=self._id,
                title=self._stage.todo.title,
                code=failure.code,
                message=failure.message,
                attempts=done.tries,
                decision=_word(decision),
            )
        return ev.StageCompleted(
            index=self._stage.index,
            of=self._stage.of,
            title=self._stage.todo.title,
            todo=self._id,
            output=result.text,
            summary=_summary(result.text),
            context=decision.context if isinstance(decision, Continue) else result.text,
            tool_calls=result.tool_calls,
            partial=result.partial,
            stop=decision.reason if isinstance(decision, Stop) else None,
        )


def withdrawal(transcript: Transcript, reason: str) -> ev.TurnSuperseded:
    """The open turn of a lost process, withdrawn. All it held back counts as spent: nobody can say how far it came."""
    return ev.TurnSuperseded(
        reason=reason, released_cost_usd=transcript.reserved_usd, spent_cost_usd=transcript.reserved_usd
    )


def unknown_outcomes(transcript: Transcript) -> list[ev.ToolOutcomeUnknown]:
    """What must be said of tool calls that may have had an effect when nobody is left who could learn of it."""
    known = "it had begun, and the step ended before its outcome was known"
    return [ev.ToolOutcomeUnknown(call_id=use.id, name=use.name, known=known) for use in transcript.in_doubt()]


def _word(decision: Decision) -> Literal["continue", "retry", "stop"]:
    match decision:
        case Continue():
            return "continue"
        case Retry():
            return "retry"
        case Stop():
            return "stop"


def _summary(text: str) -> str:
    """The first line with words in it, for lists."""
    line = next((line.strip("#*- \t") for line in text.splitlines() if line.strip("#*- \t")), "")
    return line if len(line) <= SUMMARY_CHARACTERS else line[: SUMMARY_CHARACTERS - 1] + "…"
