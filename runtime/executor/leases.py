"""The executor's half of the stage lease (JOURNAL.md 1.11, 3): whoever works on a stage is told again and again to go on.

One call per agent and round renews all its stages. An agent that misses three rounds counts as lost, whatever Ray says of
it: the stage is then dispatched anew. The other half is the agent's: it stops by itself when nobody renews.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from runtime.agents.request import AgentPort, StageLease
from runtime.clock import Clock
from runtime.errors import AgentLost
from runtime.telemetry import logger

_log = logger("executor")

T = TypeVar("T")

RENEW_EVERY_S = 3.0
"""Between rounds (JOURNAL.md 1.4: one renewal every 3 s)."""

MISSES = 3
"""Rounds in a row without a word of a stage before its agent counts as lost."""

ANSWER_WITHIN_S = 2.0
"""How long an agent may take to answer a round."""


@dataclass(slots=True, eq=False)
class _Held:
    lease: StageLease
    lost: asyncio.Future[None]
    missed: int = 0


class StageLeases:
    """All stages an executor has under way, by agent."""

    def __init__(self, agents: Mapping[str, AgentPort], clock: Clock) -> None:
        self._agents = agents
        self._clock = clock
        self._held: dict[str, list[_Held]] = {}

    async def hold(self, agent: str, lease: StageLease, call: Coroutine[Any, Any, T]) -> T:
        """Await the agent's call while its lease is renewed. Raises what it raises, and ``AgentLost``."""
        held = _Held(lease, asyncio.get_running_loop().create_future())
        task = asyncio.ensure_future(call)
        self._held.setdefault(agent, []).append(held)
        try:
            either: set[asyncio.Future[Any]] = {task, held.lost}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise AgentLost(f"{agent} has not answered for {MISSES * RENEW_EVERY_S:g} s")
            return await task
        finally:
            held.lost.cancel()
            self._held[agent].remove(held)
            if not self._held[agent]:
                del self._held[agent]
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def renew_forever(self) -> None:
        """Renew round after round, until cancelled."""
        while True:
            await self._clock.sleep(RENEW_EVERY_S)
            await asyncio.gather(*(self._renew(agent, list(held)) for agent, held in self._held.items()))

    async def _renew(self, agent: str, held: list[_Held]) -> None:
        known: frozenset[StageLease] = frozenset()
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                known = await self._agents[agent].renew([one.lease for one in held])
        except Exception as error:  # of whatever kind: without its rounds every stage of this executor would be lost
            _log.warning("%s was not reached to renew %d stages: %r", agent, len(held), error)
        for one in held:
            one.missed = 0 if one.lease in known else one.missed + 1
            if one.missed >= MISSES and not one.lost.done():
                one.lost.set_result(None)
