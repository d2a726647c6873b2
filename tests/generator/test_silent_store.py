"""A store that swallows questions is away too: no stream is silent for longer than is promised, however many there are."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from itertools import pairwise

from runtime.generator.outage import LONGEST_SILENCE_S
from tests.generator.test_outage import Flaky
from tests.generator.test_tail import COMPLETED, House, a_house
from tests.virtual_time import virtual_time


class Silent(Flaky):
    """Answers nothing at all while it is away."""

    def _there(self) -> None:
        self.asked += 1

    async def get(self, run_id):  # type: ignore[no-untyped-def]
        await self._asked()
        return await super().get(run_id)

    async def recent(self, *, tenant_id, limit=50):  # type: ignore[no-untyped-def]
        await self._asked()
        return await super().recent(tenant_id=tenant_id, limit=limit)

    async def read(self, run_id, *, after, limit=512, deltas=True):  # type: ignore[no-untyped-def]
        await self._asked()
        return await super().read(run_id, after=after, limit=limit, deltas=deltas)

    async def _asked(self) -> None:
        if self.away:
            await asyncio.Event().wait()


@virtual_time
async def test_no_stream_is_silent_for_longer_than_promised_while_the_store_swallows_questions() -> None:
    async with a_house() as house:
        store = Silent(house)
        await house.run()
        signs: list[list[float]] = [[] for _ in range(20)]
        got: list[list[int]] = [[] for _ in range(20)]

        async def read(house: House, number: int) -> None:
            async with aclosing(house.door.follow("r1", after=0, idle_s=LONGEST_SILENCE_S)) as batches:
                async for batch in batches:
                    signs[number].append(house.clock.monotonic())
                    got[number] += [stored.seq for stored in batch or []]

        readers = [asyncio.create_task(read(house, number)) for number in range(20)]
        await asyncio.sleep(1.0)
        store.away = True
        await asyncio.sleep(120.0)
        store.away = False
        await house.write(COMPLETED)
        await asyncio.gather(*readers)
    assert got == [[1, 2]] * 20
    assert max(b - a for times in signs for a, b in pairwise(times)) <= LONGEST_SILENCE_S
