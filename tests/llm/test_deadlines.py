"""How long a model may keep us waiting, at the specified figures, in virtual time (JOURNAL.md 1.5)."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from runtime import errors
from runtime.llm.anthropic import AnthropicClient
from runtime.llm.deadlines import Deadlines, Limits
from tests.virtual_time import LoopClock, virtual_time

LIMITS = Limits(60.0, 30.0, 600.0)


def test_a_client_waits_five_seconds_to_connect_sixty_for_content_thirty_for_more_and_ten_minutes_in_all() -> None:
    defaults = {name: p.default for name, p in inspect.signature(AnthropicClient).parameters.items()}
    assert defaults["connect_timeout_s"] == 5.0
    assert defaults["first_content_timeout_s"] == LIMITS.first_content_s
    assert defaults["progress_timeout_s"] == LIMITS.progress_s
    assert defaults["turn_timeout_s"] == LIMITS.turn_s


async def silent(deadlines: Deadlines) -> float:
    """Wait for what never comes; answers how long it took to be given up."""
    begun = LoopClock().monotonic()
    with pytest.raises(errors.ModelTimeout):
        await deadlines.wait(asyncio.Event().wait())
    return LoopClock().monotonic() - begun


async def pings(deadlines: Deadlines, seconds: float) -> float:
    """Something comes every second, and it is no content; answers when that was given up."""
    begun = LoopClock().monotonic()

    async def pinged() -> None:
        while LoopClock().monotonic() < begun + seconds:
            await deadlines.wait(asyncio.sleep(1.0))

    with pytest.raises(errors.ModelTimeout):
        await pinged()
    return LoopClock().monotonic() - begun


@virtual_time
async def test_the_first_content_is_waited_for_a_minute_whatever_pings_come() -> None:
    assert await silent(Deadlines(LIMITS, LoopClock())) == pytest.approx(60.0)
    assert await pings(Deadlines(LIMITS, LoopClock()), 100.0) == pytest.approx(60.0)


@virtual_time
async def test_a_stall_ends_after_thirty_seconds_without_content_whatever_pings_come() -> None:
    for give_up in (silent, lambda deadlines: pings(deadlines, 100.0)):
        deadlines = Deadlines(LIMITS, LoopClock())
        await asyncio.sleep(10.0)
        deadlines.progressed()
        assert await give_up(deadlines) == pytest.approx(30.0)


@virtual_time
async def test_thinking_that_is_not_shown_may_take_as_long_as_the_first_content() -> None:
    deadlines = Deadlines(LIMITS, LoopClock())
    deadlines.progressed(thinks=True)
    assert await silent(deadlines) == pytest.approx(60.0)


@virtual_time
async def test_a_turn_ends_after_ten_minutes_however_steadily_it_speaks() -> None:
    deadlines, begun = Deadlines(LIMITS, LoopClock()), LoopClock().monotonic()

    async def spoken_to() -> None:
        while True:
            await deadlines.wait(asyncio.sleep(20.0))
            deadlines.progressed()

    with pytest.raises(errors.ModelTimeout, match="turn took more than 600 s"):
        await spoken_to()
    assert LoopClock().monotonic() - begun == pytest.approx(600.0)


@virtual_time
async def test_a_slow_reader_is_no_silent_model() -> None:
    deadlines = Deadlines(LIMITS, LoopClock())
    deadlines.progressed()
    await asyncio.sleep(29.0)  # busy with a chunk
    await deadlines.wait(asyncio.sleep(0.5))
