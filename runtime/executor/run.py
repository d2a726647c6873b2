"""One run, driven: decide, perform, read the log again, until it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import runtime.errors as errors
from runtime.events import catalog as ev
from runtime.events.fold import RunState
from runtime.executor.book import RunBook
from runtime.executor.decide import Await, Done, Finish, MakePlan, RunStages, decide, failure
from runtime.executor.stage import StageDriver, StageTools
from runtime.log.log import LogReader, Run
from runtime.log.publisher import Lane
from runtime.orchestrator.orchestrator import OrchestratorPort, PlanRequest
from runtime.pipeline.builder import Stage
from runtime.stream.emitter import Emitter
from runtime.telemetry import logger

_log = logger("executor")

MAX_TAKEOVERS = 5
"""A run that has lost this many owners is failed as poison (JOURNAL.md P7)."""

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
        self._begun = False
        self._losses = 0
        self._cancelling = False

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
            await self._stop_stages()
            for lane in self._lanes:
                self._tools.stages.publisher.close(lane)
            self._lanes.clear()

    async def cancel(self) -> None:
        """A cancel request stands: stop what is under way; the end is then written by ``drive``."""
        if self._cancelling:
            return
        self._cancelling = True
        planning = self._tools.orchestrator.cancel(self._run.run_id)
        await asyncio.gather(self._cancel_agents(), planning, return_exceptions=True)

    async def _drive(self) -> None:
        await self._begin()
        while True:
            state = await self._book.refresh()
            now = self._tools.stages.clock.now()
            command = decide(
                state, frozenset(self._stages), now=now, max_parallel=self._tools.max_parallel, note=self._tools.note
            )
            match command:
                case Done():
                    return
                case MakePlan():
                    await self._plan(state)
                case RunStages(stages=stages):
                    for stage in stages:
                        self._start(stage)
                case Await():
                    await self._await_stage(state, now)
                case Finish(event=event):
                    await self._stop_stages()
                    if await self._finish(event):
                        return

    async def _begin(self) -> None:
        state = await self._book.refresh()
        emitter = self._emitter()
        started = ev.RunStarted(
            epoch=self._run.epoch,
            owner=self._run.owner or "",
            code_version=self._tools.code_version,
            models=dict(self._tools.models),
        )
        events: list[ev.Event] = [started]
        if self._run.takeovers and not self._begun:
            events.append(ev.RecoveryResumed(reason="takeover", attempt=self._run.takeovers, of=MAX_TAKEOVERS))
            self._tools.stages.counts.add("takeovers")
        if not self._begun:
            await emitter.commit(*events)
            self._begun = True
        await self._supersede(state)
        if self._run.takeovers >= MAX_TAKEOVERS and not state.terminal:
            words = f"The run lost its owner {self._run.takeovers} times and is not tried again."
            await self._finish(failure(state, "poison", words, "executor", retryable=False))

    async def _supersede(self, state: RunState, reason: str = "takeover") -> None:
        """Withdraw the turns an earlier owner left open, so that no reader mixes two attempts."""
        open_turns = [(s.todo.id, s.todo.agent, s.transcript) for s in state.stages.values() if s.transcript.open]
        planning = [(None, name, a.transcript) for name, a in state.agents.items() if a.transcript.open]
        for stage, agent, transcript in [*open_turns, *planning]:
            emitter = self._emitter(stage=stage, agent=agent)
            await emitter.commit(ev.TurnSuperseded(reason=reason), turn=transcript.turn, attempt=transcript.attempt)

    async def _plan(self, state: RunState) -> None:
        accepted = state.accepted
        assert accepted is not None  # the first event of every run
        request = PlanRequest(
            state.run_id,
            self._run.epoch,
            accepted.input.question,
            accepted.input.documents is not None,
            verdict=state.verdict,
            titled=state.title is not None,
            transcripts={name: agent.transcript for name, agent in state.agents.items()},
        )
        left = max(0.0, state.accepted_at + accepted.limits.deadline_s - self._tools.stages.clock.now())
        try:
            async with asyncio.timeout(left + 0.01):
                await self._tools.orchestrator.plan(request)
        except TimeoutError:  # the deadline: decide() ends the run
            await asyncio.gather(self._tools.orchestrator.cancel(state.run_id), return_exceptions=True)
        except errors.RunCancelled:
            return  # decide() sees the request in the log
        except errors.AgentLost as error:
            await self._planner_lost(error)
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
        await self._supersede(state, error.code)
        await self._tools.stages.clock.sleep(policy.delay_s(self._losses))

    def _start(self, stage: Stage) -> None:
        driver = StageDriver(self._tools.stages, self._book, stage, self._run.epoch)
        name = f"{self._run.run_id}:{stage.todo.id}"
        self._stages[stage.todo.id] = asyncio.create_task(driver.run(), name=name)

    async def _await_stage(self, state: RunState, now: float) -> None:
        """Until a stage ends or the deadline comes; what a stage raised is raised here."""
        limit = state.accepted.limits.deadline_s if state.accepted else 0.0
        left = max(0.0, state.accepted_at + limit - now) + 0.01
        done, _ = await asyncio.wait(self._stages.values(), timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del self._stages[next(s for s, t in self._stages.items() if t is task)]
            try:
                task.result()
            except errors.RunCancelled:
                continue  # decide() sees the request in the log

    async def _finish(self, event: ev.Event) -> bool:
        """Write the run's end. False when a cancel request came first: then that decides."""
        try:
            await self._emitter().commit(event)
        except errors.RunCancelled:
            return False
        self._tools.stages.counts.add(event.type)
        return True

    async def _stop_stages(self) -> None:
        """End the stages under way, here and in their agents."""
        if not self._stages:
            return
        await self._cancel_agents()
        for task in self._stages.values():
            task.cancel()
        await asyncio.gather(*self._stages.values(), return_exceptions=True)
        self._stages.clear()

    async def _cancel_agents(self) -> None:
        """Tell the agents of the stages under way; one that cannot be told is shut out by the log."""
        names = {self._book.state.stages[stage].todo.agent for stage in self._stages}
        stops = [self._tools.stages.agents[name].cancel(self._run.run_id) for name in names]
        await asyncio.gather(*stops, return_exceptions=True)

    def _emitter(self, stage: str | None = None, agent: str | None = None) -> Emitter:
        """A writer of its own for every word of the run itself: one refusal must not shut out the next."""
        lane = self._tools.stages.publisher.lane(self._run.run_id, self._run.epoch)
        self._lanes.append(lane)
        tools = self._tools.stages
        return Emitter(lane, tools.chain, tools.clock, self._run.run_id, stage=stage, agent=agent)
