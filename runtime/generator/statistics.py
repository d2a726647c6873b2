"""``GET /v1/statistics``: what an operator asks at three in the morning.

One request looks at a bounded number of runs, and one at a time works in this process: who asks meanwhile waits and then
finds most of it known.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp

from runtime.clock import Clock
from runtime.generator.accept import JSON
from runtime.generator.directory import Directories, FoundTools, seen_by
from runtime.generator.door import Door
from runtime.generator.facts import KnownFacts
from runtime.generator.operations import Answer, Operation, Parameter
from runtime.generator.principal import Principal, principal_of
from runtime.generator.query import hours_of
from runtime.generator.respond import as_json
from runtime.generator.snapshot import MICRO
from runtime.log.census import DAY_S, Census, DaySum
from runtime.log.log import Run
from runtime.statistics import DayCost, Report, RunUnderWay, Seen, Window, assemble

MAX_RUNS: Final = 2000
"""Runs looked at in one report."""
MAX_HOURS: Final = 168
DEFAULT_HOURS: Final = 24
LISTED: Final = 100
"""Runs under way that are described; all are counted."""


class StatisticsRoutes:
    """What can be asked about all runs together. Raises the errors of ``runtime.errors`` and ``Refusal``."""

    def __init__(
        self, door: Door, clock: Clock, directory: Directories, found: FoundTools, *, max_runs: int = MAX_RUNS
    ) -> None:
        self._door = door
        self._clock = clock
        self._directory = directory
        self._found = found
        self._max_runs = max_runs
        self._known = KnownFacts(door)
        self._one_at_a_time = asyncio.Lock()

    async def show(self, request: Request) -> ASGIApp:
        """``GET /v1/statistics``: of the own tenant; of all to the operator."""
        hours = hours_of(request, default=DEFAULT_HOURS, most=MAX_HOURS)
        principal = principal_of(request)
        listed = (await seen_by(request, self._directory)).tools.tools
        shown = frozenset(tool.name for tool in (*listed, *await self._found()))
        async with self._one_at_a_time:
            return as_json(await self._report(principal, hours, shown))

    async def _report(self, principal: Principal, hours: int, shown_tools: frozenset[str]) -> Report:
        everyone = principal.operator
        now = self._clock.now()
        window = Window(now - hours * 3600, now)
        tenant_id = None if everyone else principal.tenant_id
        census = await self._door.census(tenant_id=tenant_id, since=window.since, limit=self._max_runs + 1)
        seen = [
            Seen(run.tenant_id, facts)
            for run in census.newest[: self._max_runs]
            if (facts := await self._known.of(run)) is not None
        ]
        return assemble(
            seen,
            window,
            complete=len(census.newest) <= self._max_runs,
            everyone=everyone,
            under_way=[(one.tenant_id, one.status, one.runs) for one in census.under_way],
            unfinished=await self._unfinished(census, principal),
            days=[_day(one) for one in census.days],
            shown_tools=shown_tools,
        )

    async def _unfinished(self, census: Census, principal: Principal) -> list[RunUnderWay]:
        return [await self._under_way(run, principal) for run in census.unfinished[:LISTED]]

    async def _under_way(self, run: Run, principal: Principal) -> RunUnderWay:
        facts = await self._known.of(run)
        stages = facts.stages if facts is not None else ()
        return RunUnderWay(
            run_id=run.run_id,
            tenant_id=run.tenant_id,
            state=run.status,
            question=run.question if run.tenant_id == principal.tenant_id else None,
            conversation_id=run.conversation_id,
            created_at=run.created_at,
            deadline_at=run.deadline_at,
            last_event_at=await self._known.last_event_at(run),
            takeovers=run.takeovers,
            cancel_requested=run.cancel_requested,
            stages_begun=len(stages),
            stages_ended=sum(stage.end != "running" for stage in stages),
            cost_usd=run.spent / MICRO,
        )

    def operations(self) -> tuple[Operation, ...]:
        hours = Parameter(
            "hours", "query", "How far to look back.", {"type": "integer", "minimum": 1, "maximum": MAX_HOURS}
        )
        shown = Answer(200, "The report.", {JSON: Report})
        words = "Runs under way, outcomes, durations, recovery, cost"
        return (
            Operation(
                "GET", "/v1/statistics", "getStatistics", words, "runs:read", self.show, (shown,), (503,), (hours,)
            ),
        )


def _day(one: DaySum) -> DayCost:
    day = datetime.fromtimestamp(one.day * DAY_S, UTC).date().isoformat()
    return DayCost(tenant_id=one.tenant_id, day=day, spent_usd=one.spent / MICRO, reserved_usd=one.reserved / MICRO)
