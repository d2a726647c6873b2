"""Planning as actor fan-out: three agents at once, one validated outcome."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

import runtime.errors as errors
from runtime.agents.loop import MAX_PAUSES
from runtime.agents.request import AgentPort, PlanningRequest
from runtime.agents.spec import AgentSpec
from runtime.clock import Clock
from runtime.errors import HeadraceError, OutputInvalid
from runtime.events import catalog as ev
from runtime.events.attachments import Attachment
from runtime.events.brief import Brief
from runtime.events.history import NOTHING_SAID, History
from runtime.events.plan import Plan
from runtime.events.transcript import Transcript, advance
from runtime.log.publisher import Lane, Publisher
from runtime.orchestrator.validate import (
    PLAN_SCHEMA,
    TITLE_SCHEMA,
    VERDICT_SCHEMA,
    VerdictAnswer,
    plan_of,
    title_of,
    verdict_of,
)
from runtime.stream.chain import Chain
from runtime.stream.emitter import Emitter
from runtime.telemetry import logger

_log = logger("orchestrator")
T = TypeVar("T")

REPAIRS = 1
"""Times an agent is asked to mend a malformed planning answer (DESIGN.md 3)."""

PLANS_KEPT = 1000
"""Outcomes held for ``current_plan``; older ones are read from the log."""


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """A run to be planned."""

    run_id: str
    epoch: int
    question: str
    has_documents: bool
    verdict: ev.GuardrailVerdict | None = None
    """What the guardrail said before a takeover: it is not asked again."""
    titled: bool = False
    """The run, or its conversation, has a title: no other is asked for."""
    history: History = NOTHING_SAID
    """What was said in the conversation before."""
    dispatch: int = 1
    """A higher one shuts out whoever still plans under a lower one."""
    attachments: tuple[Attachment, ...] = ()
    """The guardrail sees them, the planner learns their names, the titler nothing."""
    transcripts: Mapping[str, Transcript] = field(default_factory=dict)
    """Planning agents' conversations as the log has them: a completed turn is never repeated."""


@dataclass(frozen=True, slots=True)
class PlanOutcome:
    """What planning came to; every event of it is durable. ``stop_reason`` set: nothing may be executed."""

    plan: Plan | None
    stop_reason: str | None = None


class OrchestratorPort(Protocol):
    """The orchestrator as the executor sees it."""

    async def plan(self, request: PlanRequest) -> PlanOutcome:
        """Plan a run.

        Raises ModelError, OutputInvalid, StageFailed (a timeout, a conversation too long), LimitExceeded, Parked,
        RunCancelled and the log's refusals.
        """
        ...

    async def current_plan(self, run_id: str) -> PlanOutcome | None:
        """The outcome of a run planned here; None when it was not (fold the log then)."""
        ...

    async def cancel(self, run_id: str) -> None:
        """Stop planning that run."""
        ...


class Orchestrator:
    """See :class:`OrchestratorPort`. ``agents`` maps names to ports; ``team`` are the specs a todo may name."""

    def __init__(
        self,
        agents: Mapping[str, AgentPort],
        planners: Mapping[str, AgentSpec],
        team: Sequence[AgentSpec],
        models: Mapping[str, str],
        publisher: Publisher,
        chain: Chain,
        clock: Clock,
        *,
        timeout_s: float,
        guardrail_failure: str,
    ) -> None:
        self._agents = agents
        self._planners = planners
        self._team = team
        self._models = models
        self._publisher = publisher
        self._chain = chain
        self._clock = clock
        self._timeout_s = timeout_s
        self._guardrail_failure = guardrail_failure
        self._outcomes: OrderedDict[str, PlanOutcome] = OrderedDict()
        self._working: dict[str, list[asyncio.Task[object]]] = {}
        self._late: set[asyncio.Task[object]] = set()

    async def plan(self, request: PlanRequest) -> PlanOutcome:
        """Ask the three agents at once; wait for plan and verdict, never for the title."""
        lane = self._publisher.lane(request.run_id, request.epoch, dispatch=request.dispatch, worker=True)
        late = self._publisher.lane(  # the titler may outlive this call
            request.run_id, request.epoch, dispatch=request.dispatch, worker=True
        )
        title = asyncio.ensure_future(self._title(request, late))
        verdict = asyncio.ensure_future(self._verdict(request, lane))
        plan = asyncio.ensure_future(self._plan(request, lane))
        self._working[request.run_id] = [title, verdict, plan]
        self._late.add(title)
        title.add_done_callback(lambda task: self._titled(task, late))
        try:
            outcome = await self._decide(request, lane, plan, verdict)
        except asyncio.CancelledError as error:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise
            raise errors.RunCancelled("cancelled by request") from error
        finally:
            for task in (plan, verdict):
                task.cancel()
            await asyncio.gather(plan, verdict, return_exceptions=True)
            self._working.pop(request.run_id, None)
            self._publisher.close(lane)
        self._remember(request.run_id, outcome)
        return outcome

    async def current_plan(self, run_id: str) -> PlanOutcome | None:
        """The outcome of a run planned here."""
        return self._outcomes.get(run_id)

    async def cancel(self, run_id: str) -> None:
        """Stop planning that run, here and in the agents."""
        for task in self._working.get(run_id, []):
            task.cancel()
        await asyncio.gather(*(self._agents[name].cancel(run_id) for name in self._planners), return_exceptions=True)

    async def _decide(
        self,
        request: PlanRequest,
        lane: Lane,
        plan: asyncio.Future[Plan],
        verdict: asyncio.Future[VerdictAnswer | None],
    ) -> PlanOutcome:
        """The verdict first: a refused request ends planning without waiting for a plan nobody will run."""
        judged = await verdict
        emitter = self._emitter(lane, None)
        if judged is not None and not judged.allowed:
            return PlanOutcome(None, f"{judged.category}: {judged.reason}")
        committed = await plan
        await emitter.commit(ev.PlanCommitted(plan=committed))
        return PlanOutcome(committed)

    async def _plan(self, request: PlanRequest, lane: Lane) -> Plan:
        names = {spec.name for spec in self._team}
        brief = Brief(
            question=request.question,
            agents=tuple((spec.name, spec.description) for spec in self._team),
            has_documents=request.has_documents,
            history=request.history,
        )
        emitter = self._emitter(lane, "planner")
        return await self._ask(
            "planner", request, brief, PLAN_SCHEMA, emitter, lambda text: plan_of(text, names), fatal=True
        )

    async def _verdict(self, request: PlanRequest, lane: Lane) -> VerdictAnswer | None:
        if request.verdict is not None:
            known = request.verdict
            return VerdictAnswer(allowed=known.allowed, category=known.category, reason=known.reason)
        emitter = self._emitter(lane, "guardrail")
        fatal = self._guardrail_failure == "stop"
        brief = Brief(question=request.question, history=request.history)
        try:
            answer = await self._ask("guardrail", request, brief, VERDICT_SCHEMA, emitter, verdict_of, fatal=fatal)
        except (errors.ModelError, errors.AgentError) as error:
            # a run that may spend no more is not let off its judge
            if fatal or isinstance(error, errors.LimitExceeded):
                raise
            return None
        verdict = ev.GuardrailVerdict(allowed=answer.allowed, category=answer.category, reason=answer.reason)
        await emitter.commit(verdict)
        return answer

    async def _title(self, request: PlanRequest, lane: Lane) -> None:
        if request.titled:
            return
        emitter = self._emitter(lane, "titler")
        brief = Brief(question=request.question, history=request.history)
        title = await self._ask("titler", request, brief, TITLE_SCHEMA, emitter, title_of, fatal=False)
        await emitter.commit(ev.TitleSet(title=title))

    def _titled(self, task: asyncio.Task[None], lane: Lane) -> None:
        self._late.discard(task)
        self._publisher.close(lane)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.info("run %s goes on without a title: %r", lane.run_id, error)

    async def _ask(
        self,
        name: str,
        request: PlanRequest,
        brief: Brief,
        schema: dict[str, object],
        emitter: Emitter,
        validate: Callable[[str], T],
        *,
        fatal: bool,
    ) -> T:
        """One planning agent's validated answer, with its status events; asks once for a repair."""
        begun = self._clock.monotonic()
        await emitter.commit(ev.AgentStarted(model=self._models.get(name, "")))  # before the agent's own first event
        limit = min(self._timeout_s, self._planners[name].timeout_s)
        try:
            async with asyncio.timeout(limit):
                before = request.transcripts.get(name, Transcript())
                attached = () if name == "titler" else request.attachments
                question = PlanningRequest(
                    request.run_id,
                    request.epoch,
                    brief,
                    schema,
                    request.dispatch,
                    before,
                    attachments=attached,
                    shows_attachments=name == "guardrail",
                )
                answer = await self._valid(self._agents[name], question, emitter, validate)
        except TimeoutError as error:
            failure: HeadraceError = errors.StageFailed(f"no answer within {limit:g} s", "planning_timeout", 1, True)
            await emitter.commit(_failed(failure, self._ms(begun), fatal))
            raise failure from error
        except (errors.ModelError, errors.AgentError) as error:
            # a lost process is asked again, from the log; a model that wants a long pause is asked after it
            if not (fatal and isinstance(error, errors.AgentLost | errors.Parked)):
                await emitter.commit(_failed(error, self._ms(begun), fatal))
            raise
        await emitter.emit(ev.AgentCompleted(ms=self._ms(begun)))
        return answer

    async def _valid(
        self, agent: AgentPort, question: PlanningRequest, emitter: Emitter, validate: Callable[[str], T]
    ) -> T:
        for attempt in range(question.transcript.repairs + 1, REPAIRS + 2):
            transcript = await self._answer(agent, question)
            try:
                return validate(transcript.text())
            except OutputInvalid as error:
                if attempt > REPAIRS:
                    raise
                said = ev.RecoveryRetrying(
                    failure=error.code, message=error.message, attempt=attempt, of=REPAIRS + 1, delay_s=0.0
                )
                await emitter.commit(said)
                question = replace(question, transcript=advance(transcript, said, None, None))
        raise AssertionError("unreachable: the last attempt returned or raised")

    async def _answer(self, agent: AgentPort, question: PlanningRequest) -> Transcript:
        """The conversation with the next answer; raises when the model declined, which asking again would not mend."""
        transcript, pauses = question.transcript, 0
        while pauses <= MAX_PAUSES and not transcript.finished():
            transcript = (await agent.run_planning(replace(question, transcript=transcript))).transcript
            if transcript.stop_reason != "pause_turn":
                break
            pauses += 1
        match transcript.stop_reason:
            case "refusal":
                raise errors.ModelRefused("the model declined to answer")
            case "model_context_window_exceeded":
                raise errors.StageFailed("the question no longer fits the model's window", "context_overflow")
            case "pause_turn":
                raise errors.StageFailed(f"the model paused {pauses} times in a row", "too_many_pauses")
        return transcript

    def _emitter(self, lane: Lane, agent: str | None) -> Emitter:
        return Emitter(lane, self._chain, self._clock, lane.run_id, agent=agent)

    def _ms(self, begun: float) -> int:
        return round((self._clock.monotonic() - begun) * 1000)

    def _remember(self, run_id: str, outcome: PlanOutcome) -> None:
        self._outcomes[run_id] = outcome
        while len(self._outcomes) > PLANS_KEPT:
            self._outcomes.popitem(last=False)


def _failed(error: HeadraceError, ms: int, fatal: bool) -> ev.AgentFailed:
    code = error.reason if isinstance(error, errors.StageFailed | errors.LimitExceeded) else error.code
    return ev.AgentFailed(ms=ms, code=code, message=error.message, fatal=fatal)
