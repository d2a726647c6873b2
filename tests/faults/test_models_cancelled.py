"""Cancelling spends nothing more (JOURNAL.md P8): wherever a turn is, its socket is closed within a second and none is opened."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable

import pytest

from runtime import errors
from runtime.clock import SystemClock
from runtime.events import catalog as ev
from tests.agents.bench import RUN
from tests.faults.stage import Stage, stage, until

REPEATS = int(os.environ.get("REPEATS", "3"))
CLOSED_WITHIN_S = 1.0


def headers_awaited(on: Stage) -> bool:
    return bool(on.server.calls) and on.server.calls[0].bytes_sent == 0


def first_byte_awaited(on: Stage) -> bool:
    return bool(on.server.calls) and on.server.calls[0].bytes_sent > 0


def in_midst(on: Stage) -> bool:
    return bool(on.server.calls) and on.server.calls[0].bytes_sent > 2000


def backing_off(on: Stage) -> bool:
    return bool(on.server.calls) and on.server.calls[0].closed is not None


MOMENTS: dict[str, tuple[str, Callable[[Stage], bool]]] = {
    "waiting for headers": ("fault-first-stall", headers_awaited),
    "waiting for the first content": ("fault-first-ping-stall", first_byte_awaited),
    "mid-delta": ("rate-50x4000", in_midst),
    "in backoff": ("fault-429-90", backing_off),
}


@pytest.mark.parametrize("again", range(REPEATS))
@pytest.mark.parametrize("moment", MOMENTS)
async def test_cancelling_closes_the_socket_and_opens_no_other(moment: str, again: int) -> None:
    model, reached = MOMENTS[moment]
    async with stage(SystemClock()) as on:
        agent = on.asking(model, "other")
        task = asyncio.ensure_future(agent.run_stage(await on.dispatched()))
        await until(lambda: reached(on))
        if moment == "in backoff":
            await on.until(ev.RecoveryRetrying)
        begun = time.monotonic()
        await on.hub.cancel(RUN, "user")
        await agent.cancel(RUN)
        with pytest.raises(errors.RunCancelled):
            await task
        await until(lambda: on.server.calls[0].closed is not None)
        assert time.monotonic() - begun < CLOSED_WITHIN_S
        assert on.server.calls[0].hung_up == (moment != "in backoff")
        await asyncio.sleep(0.05)
        assert len(on.server.calls) == 1, "a call was opened after the cancel"
        with pytest.raises(errors.RunCancelled):
            await agent.run_stage(await on.dispatched())
        assert len(on.server.calls) == 1


async def test_a_cancel_nobody_tells_the_agent_of_still_stops_the_next_attempt() -> None:
    async with stage() as on:
        agent = on.asking("flaky-1-stall")
        task = asyncio.ensure_future(agent.run_stage(await on.dispatched()))
        await until(lambda: on.server.calls)
        await on.hub.cancel(RUN, "user")
        with pytest.raises(errors.RunCancelled):
            await task
        assert len(on.server.calls) == 1
