"""The limits of one agent's stage: turns, tokens, money, time; each ends the stage with a reason a post-hook can act on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator

import pytest

from runtime import errors
from runtime.clock import ManualClock
from runtime.events import catalog as ev
from runtime.events.messages import TextBlock, Usage
from runtime.llm.client import Chunk, Completed, TextDelta
from runtime.tools.tool import tool
from tests.agents.bench import RUN, Bench, Lines, Member, call, says


@tool
def look() -> str:
    """Look."""
    return "seen"


def spending(usage: Usage, *, call_id: str | None = None) -> list[Chunk]:
    """A turn that uses that much, and calls a tool if it is given an id for it."""
    content = (TextBlock(text="Well."),) if call_id is None else (call(call_id, "look"),)
    return [Completed(content, "tool_use" if call_id else "end_turn", usage, "m")]


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        ({"max_turns": 2}, "turn_limit"),
        ({"max_stage_tokens": 200}, "token_limit"),
        ({"max_stage_cost_usd": 0.5}, "cost_limit"),
    ],
)
async def test_a_limit_ends_the_stage_with_its_reason_and_before_another_turn(
    bench: Bench, limit: dict[str, float], reason: str
) -> None:
    usage = Usage(input_tokens=60, cache_read_tokens=30, output_tokens=10, cost_usd=0.25)
    model = Lines(*(spending(usage, call_id=f"c{n}") for n in range(5)))
    with pytest.raises(errors.StageFailed) as caught:
        await bench.work(model, tools=[look], **limit)
    assert (caught.value.reason, len(model.asked)) == (reason, 2)
    assert len(await bench.events(ev.ToolCompleted)) == 2, "what was under way was answered"


async def test_an_answer_that_takes_the_stage_past_its_limit_is_an_answer(bench: Bench) -> None:
    result = await bench.work(Lines(spending(Usage(output_tokens=1000))), max_stage_tokens=10)
    assert result.text == "Well."


async def test_what_was_used_before_a_loss_and_by_delegates_counts(bench: Bench) -> None:
    helper = Member(
        "helper", [Lines(spending(Usage(output_tokens=60), call_id="c1"), spending(Usage(output_tokens=60)))], [look]
    )
    model = Lines(says(call("d1", "delegate", agent="helper", task="t"), stop="tool_use"), says("Never."))
    with pytest.raises(errors.StageFailed) as caught:
        await bench.work(model, team=[helper], max_stage_tokens=100)
    assert caught.value.message == "no answer after 121 of 100 tokens"
    with pytest.raises(errors.StageFailed):
        await bench.work(model, team=[helper], max_stage_tokens=100)
    assert len(model.asked) == 1, "the next dispatch begins no turn either"


async def test_a_stage_without_progress_ends_long_before_its_time_is_over(bench: Bench) -> None:
    async def silent() -> AsyncGenerator[Chunk, None]:
        await asyncio.Event().wait()
        yield TextDelta("")

    with pytest.raises(errors.StageFailed) as caught:
        await bench.work(Lines(silent), idle_timeout_s=0.05)
    assert (caught.value.reason, caught.value.can_retry) == ("stage_idle", True)
    assert caught.value.message == "worker made no progress for 0.05 s"
    assert len(await bench.events(ev.TurnSuperseded)) == 1, "the turn is not left open"
    assert not (await bench.folded()).open


async def test_progress_refreshes_the_idle_limit_and_never_the_hard_one(bench: Bench) -> None:
    async def dripping() -> AsyncGenerator[Chunk, None]:
        while True:
            await asyncio.sleep(0.02)
            yield TextDelta("drip ")

    with pytest.raises(errors.StageFailed) as caught:
        await bench.work(Lines(dripping), idle_timeout_s=0.2, timeout_s=0.5)
    assert caught.value.reason == "stage_timeout"
    assert len(await bench.events(ev.TurnDelta)) > 10, "it lasted longer than it may idle"


async def test_a_tool_that_may_take_longer_than_its_agent_may_idle_has_its_own_time(bench: Bench) -> None:
    @tool(timeout_s=5)
    async def nap() -> str:
        """Nap."""
        await asyncio.sleep(0.2)
        return "rested"

    model = Lines(says(call("c1", "nap"), stop="tool_use"), says("Done."))
    assert (await bench.work(model, tools=[nap], idle_timeout_s=0.05)).text == "Done."


async def test_a_pause_that_was_asked_for_is_not_idleness(bench: Bench) -> None:
    class RealPauses(ManualClock):
        async def sleep(self, seconds: float) -> None:
            await asyncio.sleep(0.1)

    bench.clock = RealPauses()
    limited = [errors.ModelRateLimited("later", 1.0, True)] * 3
    result = await bench.work(Lines(*limited, says("At last.")), idle_timeout_s=0.25)
    assert result.text == "At last."


async def test_every_step_of_recovery_is_an_event_a_line_and_a_counter(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    @tool
    def fail() -> str:
        """Fail."""
        raise errors.ToolFailed("no")

    first = Lines(errors.ModelOverloaded("full"), errors.ModelRequestRejected("too long"))
    fails = [says(call(f"c{n}", "fail"), stop="tool_use") for n in range(3)]
    agent = bench.agent(first, Lines(*fails, says("Done.")), tools=[fail])
    with caplog.at_level(logging.INFO, logger="headrace.recovery"):
        # the ladder begins at its first rung with every turn
        await agent.run_stage(await bench.dispatched())
    state = await bench.state()
    lines = [r.getMessage() for r in caplog.records if r.name == "headrace.recovery"]
    assert len(lines) == sum(state.recoveries.values())
    assert all(f"run {RUN} stage s agent worker: " in line for line in lines)
    counted = {k.removeprefix("recovery."): n for k, n in agent.statistics().items() if k.startswith("recovery.")}
    assert counted == {kind.replace(":", "."): n for kind, n in state.recoveries.items()}
    assert {"retrying.overloaded", "fell_back", "tool_switched_off"} == set(counted)
    assert state.stages["s"].recoveries == state.recoveries
