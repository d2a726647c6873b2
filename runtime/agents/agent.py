"""One specialized agent: takes stages or planning calls, any number at once, each under its own writer of the log."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import runtime.errors as errors
from runtime.agents.attachments import first_message
from runtime.agents.loop import LoopTools, StageLoop
from runtime.agents.parts import CallsLeft, Share
from runtime.agents.patience import TimeIsUp
from runtime.agents.record import StageRecord
from runtime.agents.request import (
    STAGE_LEASE_S,
    OfferedTool,
    PersonSaid,
    PlanningRequest,
    PlanningResult,
    StageLease,
    StageRequest,
    StageResult,
)
from runtime.agents.spec import AgentSpec
from runtime.agents.turn import Rung, take_turn
from runtime.events.messages import Conversation
from runtime.llm.client import ModelRequest
from runtime.log.publisher import Lane, Publisher
from runtime.stream.chain import Chain
from runtime.stream.emitter import Emitter
from runtime.tools.registry import Registry

T = TypeVar("T")


class Agent:
    """See :class:`runtime.agents.request.AgentPort` for what its methods promise."""

    def __init__(self, tools: LoopTools, publisher: Publisher, chain: Chain) -> None:
        self._tools = tools
        self._publisher = publisher
        self._chain = chain
        self._working: dict[str, set[asyncio.Task[Any]]] = {}
        self._cancelled: set[asyncio.Task[Any]] = set()
        self._inboxes: dict[tuple[str, str], list[PersonSaid]] = {}
        """What people say to each stage while it is worked on."""
        self._leases: dict[StageLease, float] = {}
        """Until when each stage may be worked on, on this process's own clock."""

    @property
    def name(self) -> str:
        return self._tools.spec.name

    @property
    def model(self) -> str:
        """The first model of the ladder, as people read it."""
        return self._tools.turn.ladder[0].name

    def equip(self, spec: AgentSpec, registry: Registry, chain: Chain) -> None:
        """From now on stages begin with these tools; those under way go on with what they began with."""
        self._tools = replace(self._tools, spec=spec, registry=registry)
        self._chain = chain

    async def offered(self) -> tuple[OfferedTool, ...]:
        """The tools it may call just now."""
        tools = self._tools.registry.find(self._tools.spec.tools)
        return tuple(OfferedTool(t.name, t.title, t.description, t.icon, t.kind, t.input_schema) for t in tools)

    async def run_stage(self, request: StageRequest) -> StageResult:
        """Do one stage."""
        lane = self._publisher.lane(
            request.run_id, request.epoch, stage=request.stage, dispatch=request.dispatch, worker=True
        )
        emitter = self._emitter(lane, request.stage)
        return await self._tracked(request.run_id, lane, self._leased(request, emitter))

    async def run_planning(self, request: PlanningRequest) -> PlanningResult:
        """Answer one planning question. Raises ModelError when the model failed for good."""
        lane = self._publisher.lane(request.run_id, request.epoch, dispatch=request.dispatch, worker=True)
        emitter = self._emitter(lane, None)
        return await self._tracked(request.run_id, lane, self._planning(request, emitter))

    async def renew(self, leases: Sequence[StageLease]) -> frozenset[StageLease]:
        """Go on with those stages; answers the ones that are worked on here."""
        until = self._tools.turn.clock.monotonic() + STAGE_LEASE_S
        known = frozenset(lease for lease in leases if lease in self._leases)
        self._leases.update(dict.fromkeys(known, until))
        return known

    async def say(self, run_id: str, stage: str, said: Sequence[PersonSaid]) -> None:
        """Put it before the stage's next turn, if the stage is worked on here."""
        if (inbox := self._inboxes.get((run_id, stage))) is not None:
            inbox.extend(said)

    async def cancel(self, run_id: str, stage: str | None = None) -> None:
        """Stop everything done for that run, or that stage of it."""
        for task in list(self._working.get(run_id, ())):
            if stage is None or task.get_name() == stage:
                self._cancelled.add(task)
                task.cancel()

    def statistics(self) -> dict[str, int]:
        """Runs under way, and counts since the start."""
        return {"runs": len(self._working), **self._tools.turn.counts.snapshot(), **self._publisher.counts.snapshot()}

    def _emitter(self, lane: Lane, stage: str | None) -> Emitter:
        return Emitter(lane, self._chain, self._tools.turn.clock, lane.run_id, stage=stage, agent=self.name)

    async def _leased(self, request: StageRequest, emitter: Emitter) -> StageResult:
        """Work on the stage as long as its lease is renewed. Raises ``AgentLost`` when it runs out."""
        work = self._stage(request, emitter)
        if request.lease_s is None:
            return await work
        clock, lease = self._tools.turn.clock, request.lease
        self._leases[lease] = clock.monotonic() + request.lease_s
        task = asyncio.ensure_future(work)
        try:
            while not task.done():
                left = self._leases[lease] - clock.monotonic()
                if left <= 0:
                    raise errors.AgentLost(f"nobody has renewed the lease on stage {request.stage}")
                expiry = asyncio.ensure_future(clock.sleep(left))
                try:
                    await asyncio.wait({task, expiry}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    expiry.cancel()
            return await task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            del self._leases[lease]

    async def _stage(self, request: StageRequest, emitter: Emitter) -> StageResult:
        record, patience = StageRecord(request.transcript, emitter), self._tools.patience()
        share = Share(CallsLeft(request.tool_calls_left), patience)
        inbox = self._inboxes[request.run_id, request.stage] = list(request.said)
        try:
            return await patience.run(StageLoop(self._tools, request, record, share, inbox).run())
        except TimeIsUp as error:
            await record.cut_off("it was interrupted when the time of its step was over", error.reason)
            raise errors.StageFailed(f"{self.name} {error.words}", error.reason, 1, True) from error
        finally:
            if self._inboxes.get((request.run_id, request.stage)) is inbox:
                del self._inboxes[request.run_id, request.stage]

    async def _planning(self, request: PlanningRequest, emitter: Emitter) -> PlanningResult:
        def request_for(rung: Rung, messages: Conversation, turn: int) -> ModelRequest:
            shown = request.shows_attachments and not rung.reads_words_only
            return ModelRequest(
                model=rung.model,
                system=rung.instructions,
                messages=(first_message(request.brief, request.attachments, shown=shown), *messages),
                output_schema=request.schema,
                options=self._tools.spec.options,
                max_tokens=self._tools.spec.max_tokens,
                agent=self.name,
                turn=turn,
            )

        record = StageRecord(request.transcript, emitter)
        await take_turn(self._tools.turn, record, request_for, show=False)
        return PlanningResult(record.transcript)

    async def _tracked(self, run_id: str, lane: Lane, work: Coroutine[Any, Any, T]) -> T:
        """Run ``work`` so that ``cancel`` reaches it, and end only when its events are durable or refused."""
        task: asyncio.Task[T] = asyncio.create_task(work, name=lane.stage)
        self._working.setdefault(run_id, set()).add(task)
        try:
            result = await task
            await lane.drain()
            return result
        except asyncio.CancelledError as error:
            if task in self._cancelled:
                raise errors.RunCancelled("cancelled by request") from error
            task.cancel()
            raise
        except Exception:  # of whatever kind: what was said before it is durable when the caller learns of it
            if lane.failure is None:
                await lane.drain()
            raise
        finally:
            self._cancelled.discard(task)
            self._forget(run_id, task)
            self._publisher.close(lane)

    def _forget(self, run_id: str, task: asyncio.Task[Any]) -> None:
        tasks = self._working.get(run_id, set())
        tasks.discard(task)
        if not tasks:
            self._working.pop(run_id, None)
