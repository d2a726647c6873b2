"""One run, driven: decide, perform, read the log again, until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any

import runtime.errors as errors
from runtime import failpoints
from runtime.agents.request import STAGE_LEASE_S
from runtime.events import catalog as ev
from runtime.events.fold import RunState
from runtime.executor.book import RunBook
from runtime.executor.decide import (
    AskForPlan,
    Await,
    AwaitPeople,
    Command,
    Done,
    Finish,
    MakePlan,
    Revise,
    RunStages,
    Skip,
    decide,
    failure,
)
from runtime.executor.parking import Parking
from runtime.executor.people import Messenger, gives_up_at, plan_question, waiting
from runtime.executor.race import unless
from runtime.executor.stage import StageDriver, StageTools, say_unknown_outcomes, withdraw
from runtime.log.log import LogReader, Run
from runtime.log.publisher import Lane
from runtime.orchestrator.orchestrator import OrchestratorPort, PlanRequest
from runtime.pipeline.builder import Stage
from runtime.recovery.rate import names_of
from runtime.stream.emitter import Emitter
from runtime.telemetry import logger

_log = logger("executor")

MAX_TAKEOVERS = 5
"""A run that has lost this many owners without any progress between is failed as poison (JOURNAL.md P7)."""

STOP_WITHIN_S = 1.0
"""How long agents are waited for that are told to stop; the log shuts out the ones that do not hear it."""

SHUT_OUT = (errors.Fenced, errors.Superseded, errors.RunEnded)
"""Another owner has the run, or it is over: stop without a word."""


@dataclass(frozen=True, slots=True)
class RunTools:
    """What all runs of an executor share."""

    reader: LogReader
    orchestrator: OrchestratorPort
    stages: StageTools
    models: Mapping[str, str]
    note: str | None
    code_version: str
    max_parallel: int


class RunDriver:
    """Owns one claimed run until it ends or is lost."""

    def __init__(self, tools: RunTools, run: Run) -> None:
        self._tools = tools
        self._run = run
        self._book = RunBook(tools.reader, run.run_id)
        self._stages: dict[str, asyncio.Task[None]] = {}
        self._lanes: list[Lane] = []
        self._parked = Parking()
        self._begun = False
        self._planned = False
        self._losses = 0
        self._messenger = Messenger(tools.stages.agents)
        self.cancelled = asyncio.Event()
        """Set when a cancel request stands."""
        self.news = asyncio.Event()
        """Set when a person has said something."""

    async def drive(self) -> None:
        """Until the run has ended, or belongs to someone else. Raises StoreUnavailable: call again, it goes on from the log."""
        try:
            await self._drive()
        except SHUT_OUT as error:
            _log.info("run %s is no longer ours: %s", self._run.run_id, error.code)
        except errors.StoreUnavailable:
            await asyncio.gather(self._tools.orchestrator.cancel(self._run.run_id), return_exceptions=True)
            raise
        finally:
            await self._stop_stages(tell_agents=False)  # if the run has another owner, its agents work for that one
            for lane in self._lanes:
                self._tools.stages.publisher.close(lane)
            self._lanes.clear()

    async def cancel(self) -> None:
        """A cancel request stands: stop what is under way; the end is then written by ``drive``."""
        if self.cancelled.is_set():
            return
        self.cancelled.set()
        await asyncio.gather(self._cancel_agents(), self._cancel_planning())

    async def _drive(self) -> None:
        await self._begin()
        while True:
            state = await self._book.refresh()
            now = self._tools.stages.clock.now()
            self._parked.release(now)
            await self._messenger.pass_on(state, self._stages)
            command = self._decide(state, now)
            match command:
                case Done():
                    return
                case AwaitPeople() | Await() | MakePlan() if self._idle(command):
                    if await self._wait(state):
                        return
                case MakePlan():
                    await self._plan(state)
                case AskForPlan():
                    await self._emitter().commit(plan_question(state, now=now))
                case Revise(plan=plan, reason=reason):
                    await self._emitter().commit(ev.PlanRevised(plan=plan, reason=reason))
                case RunStages(stages=stages):
                    for stage in stages:
                        self._start(stage)
                case Skip(stages=stages, reason=reason):
                    for stage in stages:
                        await self._skip(stage, reason)
                case Await():
                    await self._await_stage(state, now)
                case Finish(event=event):
                    await self._stop_stages()
                    if await self._finish(event):
                        return

    def _decide(self, state: RunState, now: float) -> Command:
        """What is next; parked stages count as under way, but for a run that ends whatever they do."""
        under_way = frozenset(self._stages)
        for held in (under_way, under_way | self._parked.stages):
            command = decide(state, held, now=now, max_parallel=self._tools.max_parallel, note=self._tools.note)
            if isinstance(command, Finish):
                break
        return command

    async def _begin(self) -> None:
        """Announce the new owner, whose epoch has shut every earlier one out, and withdraw what that one left open."""
        if self._begun:
            return
        state = await self._book.refresh()
        if state.started_epoch < self._run.epoch:
            await self._announce()
            await self._supersede(state, "takeover")
        else:  # an earlier drive under this very epoch has; whoever it left at work is shut out by the next dispatch
            self._planned = True
        self._begun = True
        if self._run.takeovers >= MAX_TAKEOVERS and not state.terminal:
            words = f"The run lost its owner {self._run.takeovers} times and is not tried again."
            await self._finish(failure(state, "poison", words, "executor", retryable=False))

    async def _announce(self) -> None:
        started = ev.RunStarted(
            epoch=self._run.epoch,
            owner=self._run.owner or "",
            code_version=self._tools.code_version,
            models=dict(self._tools.models),
        )
        events: list[ev.Event] = [started]
        if self._run.takeovers:
            events.append(ev.RecoveryResumed(reason="takeover", attempt=self._run.takeovers, of=MAX_TAKEOVERS))
            self._tools.stages.counts.add("takeovers")
        await self._emitter().commit(*events)

    async def _supersede(self, state: RunState, reason: str) -> None:
        """Withdraw the turns that someone who has been shut out left open, so that no reader mixes two attempts."""
        stages = [(s.todo.id, s.todo.agent, s.transcript) for s in state.stages.values()]
        planning = [(None, name, a.transcript) for name, a in state.agents.items()]
        for stage, agent, transcript in [*stages, *planning]:
            await withdraw(self._emitter(stage=stage, agent=agent), transcript, reason)

    def _idle(self, command: Command) -> bool:
        """Whether nothing is under way and nothing can be begun before somebody has answered, or a pause is over."""
        return isinstance(command, AwaitPeople) or bool(self._parked and not self._stages)

    async def _wait(self, state: RunState) -> bool:
        """Give the run up until what is parked may go on, or a person has answered; whoever claims it then finds all in the log.

        False: a person has said something meanwhile.
        """
        until, reason = self._parked.next(gives_up_at(state))
        try:
            await self._emitter().commit(waiting(state, until, reason), wake_at=until, unless_said_after=state.last_seq)
        except errors.InputPending:
            return False
        self._tools.stages.counts.add("run.waiting")
        return True

    async def _skip(self, stage: Stage, reason: str) -> None:
        """End a stage that a person does not want: a higher dispatch shuts out whoever works on it."""
        todo = stage.todo
        if (task := self._stages.pop(todo.id, None)) is not None:
            await self._tell(todo.agent, self._tools.stages.agents[todo.agent].cancel(self._run.run_id, todo.id))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await self._tools.stages.publisher.settled(self._run.run_id)  # it may have ended in this very moment
        async with self._book.changing:
            known = (await self._book.refresh()).stages[todo.id]
            if known.ended:
                return
            emitter = self._emitter(stage=todo.id, agent=todo.agent, dispatch=known.dispatch + 1)
            if known.status != "pending":
                await emitter.commit(ev.StageDispatched(dispatch=known.dispatch + 1, lease_s=STAGE_LEASE_S))
                transcript = (await self._book.refresh()).stages[todo.id].transcript
                await say_unknown_outcomes(emitter, transcript)
                await withdraw(emitter, transcript, "cancelled")
            await emitter.commit(ev.StageSkipped(todo=todo.id, title=todo.title, reason=reason))
        self._tools.stages.counts.add("stage.skipped")

    async def _plan(self, state: RunState) -> None:
        accepted = state.accepted
        assert accepted is not None  # the first event of every run
        dispatch = state.planning_dispatch
        if self._planned:  # under this very epoch: whoever may still be at it is shut out
            dispatch += 1
            await self._emitter(dispatch=dispatch).commit(ev.StageDispatched(dispatch=dispatch, lease_s=STAGE_LEASE_S))
            state = await self._book.refresh()
            await self._supersede(state, "agent_lost")
        request = PlanRequest(
            state.run_id,
            self._run.epoch,
            accepted.input.question,
            accepted.input.documents is not None,
            verdict=state.verdict,
            titled=state.title is not None,
            history=accepted.history,
            dispatch=dispatch,
            attachments=accepted.input.attachments,
            transcripts={name: agent.transcript for name, agent in state.agents.items()},
        )
        self._planned = True
        left = max(0.0, state.deadline_at - self._tools.stages.clock.now())
        try:
            if not await unless(self.cancelled, self._tools.orchestrator.plan(request), left + 0.01):
                await self._cancel_planning()  # the deadline or a cancel request: decide() ends the run
        except errors.RunCancelled:
            return  # decide() sees the request in the log
        except errors.AgentLost as error:
            await self._planner_lost(error)
        except errors.Parked as parked:
            self._parked.park(None, parked, self._tools.stages.clock.now())
        except errors.LimitExceeded as error:
            await self._limit(error)
        except (errors.ModelError, errors.AgentError) as error:
            code = error.reason if isinstance(error, errors.StageFailed) else error.code
            retryable = error.retryable or (isinstance(error, errors.StageFailed) and error.can_retry)
            layer = "model" if isinstance(error, errors.ModelError) else "orchestrator"
            state = await self._book.refresh()
            if state.cancel_requested is None:
                await self._finish(
                    failure(state, code, f"Planning failed: {error.message}", layer, retryable=retryable)
                )

    async def _planner_lost(self, error: errors.AgentLost) -> None:
        """A planning agent's process is gone: plan on from the log when another is there, unless it keeps happening."""
        self._losses += 1
        policy = self._tools.stages.losses
        state = await self._book.refresh()
        if policy.give_up(self._losses):
            await self._finish(failure(state, error.code, error.message, "orchestrator", retryable=True))
            return
        await self._tools.stages.clock.sleep(policy.delay_s(self._losses))

    def _start(self, stage: Stage) -> None:
        driver = StageDriver(self._tools.stages, self._book, stage, self._run.epoch)
        name = f"{self._run.run_id}:{stage.todo.id}"
        self._stages[stage.todo.id] = asyncio.create_task(driver.run(), name=name)

    async def _await_stage(self, state: RunState, now: float) -> None:
        """Until a stage ends, somebody says something, or the deadline comes; what a stage raised is raised here."""
        wake, _ = self._parked.next(state.deadline_at)
        left = max(0.0, wake - now) + 0.01
        request = asyncio.ensure_future(self.cancelled.wait())  # an agent that cannot be told must not be waited for
        news = asyncio.ensure_future(self.news.wait())
        either: set[asyncio.Task[Any]] = {request, news, *self._stages.values()}
        try:
            done, _ = await asyncio.wait(either, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:  # also when the run is let go of meanwhile
            request.cancel()
            news.cancel()
        self.news.clear()
        for task in done - {request, news}:
            stage = next(s for s, t in self._stages.items() if t is task)
            del self._stages[stage]
            try:
                task.result()
            except (errors.RunCancelled, errors.Suspended):
                continue  # decide() sees the request, or what was asked, in the log
            except errors.Parked as parked:
                self._parked.park(stage, parked, self._tools.stages.clock.now())
            except errors.LimitExceeded as error:
                await self._limit(error)
                return

    async def _limit(self, error: errors.LimitExceeded) -> None:
        """End a run that may not go on as it is, with what it has."""
        await self._stop_stages()
        state = await self._book.refresh()
        if state.cancel_requested is None:
            await self._finish(failure(state, error.reason, error.message, "executor", retryable=True))

    async def _finish(self, event: ev.Event) -> bool:
        """Write the run's end. False when a cancel request came first: then that decides."""
        failpoints.hit("run.ending")
        state = await self._book.refresh()
        emitter = self._emitter()
        try:
            for stage in state.stages.values():
                if stage.status in ("dispatched", "running"):
                    at = emitter.at(stage.todo.id, stage.todo.agent)
                    await say_unknown_outcomes(at, stage.transcript)
            await emitter.commit(event)
        except errors.RunCancelled:
            return False
        counts = self._tools.stages.counts
        counts.add(event.type)
        counts.add_all(names_of("runs", state.recoveries, completed=event.type == "run.completed"))
        return True

    async def _stop_stages(self, *, tell_agents: bool = True) -> None:
        """End the stages under way, here and in their agents."""
        if not self._stages:
            return
        telling = [asyncio.ensure_future(self._cancel_agents())] if tell_agents else []
        for task in self._stages.values():
            task.cancel()
        await asyncio.gather(*telling, *self._stages.values(), return_exceptions=True)
        self._stages.clear()

    async def _cancel_planning(self) -> None:
        await self._tell("the orchestrator", self._tools.orchestrator.cancel(self._run.run_id))

    async def _cancel_agents(self) -> None:
        names = {self._book.state.stages[stage].todo.agent for stage in self._stages}
        stops = [self._tools.stages.agents[name].cancel(self._run.run_id) for name in names]
        await self._tell(", ".join(sorted(names)), *stops)

    async def _tell(self, whom: str, *stops: Coroutine[Any, Any, None]) -> None:
        """Tell others to stop; who cannot be told is shut out by the log."""
        try:
            async with asyncio.timeout(STOP_WITHIN_S):
                await asyncio.gather(*stops, return_exceptions=True)
        except TimeoutError:
            _log.warning("run %s: %s could not be told to stop", self._run.run_id, whom)

    def _emitter(self, stage: str | None = None, agent: str | None = None, dispatch: int | None = None) -> Emitter:
        """A writer of its own for every word of the run itself: one refusal must not shut out the next."""
        fenced_by = stage if dispatch is not None else None
        lane = self._tools.stages.publisher.lane(self._run.run_id, self._run.epoch, stage=fenced_by, dispatch=dispatch)
        self._lanes.append(lane)
        tools = self._tools.stages
        return Emitter(lane, tools.chain, tools.clock, self._run.run_id, stage=stage, agent=agent)
