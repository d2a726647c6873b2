"""A commit whose reply is lost, and whose sender dies too, is still shown to whoever reads the run (JOURNAL.md 1.11, 8)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

from runtime.errors import StoreUnavailable
from runtime.events.envelope import Record
from runtime.generator.tail import LogDoor
from runtime.log.hub import Hub
from runtime.log.log import NewRun
from runtime.log.memory import MemoryLog
from runtime.log.wire import Append
from tests.portal import HubPortal
from tests.virtual_time import LoopClock, virtual_time

ACCEPTED = Record("run.accepted", "status", None, b'{"type":"run.accepted"}')
COMPLETED = Record("run.completed", "status", None, b'{"type":"run.completed"}')


class LosesReply(MemoryLog):
    """Commits the first append and loses its reply; is then away for a while."""

    lost = False
    away = 0

    async def append(self, writes):  # type: ignore[no-untyped-def]
        written = await super().append(writes)
        if not self.lost:
            self.lost, self.away = True, 3
            raise StoreUnavailable("the reply was lost")
        return written

    async def get(self, run_id):  # type: ignore[no-untyped-def]
        if self.away:
            self.away -= 1
            raise StoreUnavailable("away")
        return await super().get(run_id)


@virtual_time
async def test_readers_get_the_end_of_a_run_whose_commit_was_not_answered_and_not_repeated() -> None:
    clock = LoopClock()
    log = LosesReply(clock)
    portal = HubPortal()
    portal.hub = Hub(log, clock)
    await portal.hub.start()
    door = LogDoor("door", portal, log, (), clock, max_readers_per_run=5)
    await door.start()
    await portal.create(NewRun("r1", "default", None, "why?", 1e6, "continue", 30.0, (ACCEPTED,)))
    await portal.renew("e1", ttl_s=1e6)
    await portal.claim("r1", executor="e1")

    async def read() -> list[int]:
        async with aclosing(door.follow("r1", after=0, idle_s=5.0)) as batches:
            return [stored.seq async for batch in batches for stored in batch]

    reading = asyncio.create_task(read())
    await clock.sleep(1.0)
    try:
        await portal.append([Append("r1", "e1.1", 1, 1, (COMPLETED,))])
    except StoreUnavailable:
        pass  # and whoever sent it dies here
    else:
        raise AssertionError("the reply was not lost")
    async with asyncio.timeout(10.0):
        assert await reading == [1, 2]
    await door.stop()
    await portal.hub.stop()
