"""Show a run until its end; Ctrl-C asks the server to cancel it, a second one leaves at once."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

from runtime.cli.screens import TICK_S, Screen
from runtime.client import HeadraceClient, RunEvent
from runtime.errors import Conflict, HeadraceError

COMPLETED, FAILED, CANCELLED, INTERRUPTED = 0, 1, 3, 130
"""Exit codes: 0 also when a guardrail stopped the run, since the verdict is then the result."""
CANCEL_WAIT_S = 10.0
"""How long the end of a cancelled run is waited for."""


class Interrupts:
    """Counts Ctrl-C. The first sets ``asked``; the second ends the process where it stands."""

    def __init__(self, screen: Screen) -> None:
        self.asked = asyncio.Event()
        self._screen = screen

    def __call__(self) -> None:
        if self.asked.is_set():
            self._screen.close()
            sys.stdout.flush()
            os._exit(INTERRUPTED)
        self.asked.set()


@asynccontextmanager
async def _interruptible(screen: Screen) -> AsyncIterator[Interrupts]:
    interrupts = Interrupts(screen)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, interrupts)
    try:
        yield interrupts
    finally:
        loop.remove_signal_handler(signal.SIGINT)


async def show(
    client: HeadraceClient, events: AsyncGenerator[RunEvent, None], screen: Screen, *, cancel_on_interrupt: bool = True
) -> int:
    """Draw ``events`` until they end; the exit code. Raises what the stream raises."""
    async with _interruptible(screen) as interrupts:
        reading = asyncio.create_task(_drain(events, screen))
        ticking = asyncio.create_task(_tick(screen))
        asked = asyncio.create_task(interrupts.asked.wait())
        try:
            await asyncio.wait({reading, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not interrupts.asked.is_set():
                await reading
                return _code(screen)
            if cancel_on_interrupt:
                await _cancel(client, reading, screen)
            return INTERRUPTED
        finally:
            for task in (reading, ticking, asked):
                task.cancel()
            await asyncio.gather(reading, ticking, asked, return_exceptions=True)
            screen.close()


async def _drain(events: AsyncGenerator[RunEvent, None], screen: Screen) -> None:
    async with aclosing(events):
        async for received in events:
            screen.take(received)


async def _tick(screen: Screen) -> None:
    while True:
        screen.tick()
        await asyncio.sleep(TICK_S)


async def _cancel(client: HeadraceClient, reading: asyncio.Task[None], screen: Screen) -> None:
    run_id = screen.state.run_id
    if not run_id:
        screen.say("interrupted before the run began")
        return
    screen.say(f"cancelling run {run_id} … (Ctrl-C again leaves at once)")
    try:
        await client.cancel(run_id)
        await asyncio.wait({reading}, timeout=CANCEL_WAIT_S)
    except Conflict:
        screen.say("the run had ended already")
        return
    except HeadraceError as error:
        screen.say(f"the run could not be cancelled: {error.message}")
        return
    screen.say("the run is cancelled" if screen.state.terminal else "the run is still being cancelled")


def _code(screen: Screen) -> int:
    match screen.state.status:
        case "failed" | "expired":
            return FAILED
        case "cancelled":
            return CANCELLED
        case _:  # an unfinished state ends only for a reader who had read everything before
            return COMPLETED
