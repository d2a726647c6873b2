"""One turn: what is held back for it, what a breaker does to it, who is told of a key that does not work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest

from runtime import errors
from runtime.agents.request import PlanningRequest
from runtime.events import catalog as ev
from runtime.events.transcript import Transcript
from runtime.recovery.policy import RetryPolicy
from tests.agents.bench import BRIEF, RUN
from tests.checker import check_run
from tests.fakes import messages_wire as wire
from tests.faults.stage import PRICES, Stage, stage, until

HASTY = RetryPolicy(base_s=0.01, cap_s=0.01)
"""Ten failures within the breaker's window."""
OPEN = ("recovery.retrying",)
FAILED = ("turn.started", "turn.failed")


@pytest.fixture
async def on() -> AsyncIterator[Stage]:
    async with stage() as made:
        yield made


def break_down(on: Stage, model: str) -> None:
    """Ten calls of others failed."""
    breaker = on.breakers.of("anthropic", model)
    for _ in range(10):
        now = on.clock.monotonic()
        breaker.end(breaker.begin(now), now, failed=True)
    assert breaker.state == "open"


async def types(on: Stage) -> tuple[str, ...]:
    check_run(await on.hub.read(RUN, after=0), ended=False)
    return tuple(await on.types("turn.delta"))


# --- the breaker -----------------------------------------------------------------------------------------------------


async def test_ten_failures_open_the_breaker_for_every_agent_and_stage_of_the_process(on: Stage) -> None:
    for _ in range(3):
        with pytest.raises(errors.StageFailed):
            await on.ask("fault-529", policy=HASTY)
    assert len(on.server.calls) == 10 + 1, "ten open it; the twelfth try, after its pause, is the probe"
    assert on.counts.snapshot()["breaker.opened"] == 2, "the probe failed as well"
    said = [e.failure for e in await on.events(ev.RecoveryRetrying)]
    assert said == ["overloaded"] * 8 + ["breaker_open"]


async def test_with_an_open_breaker_no_call_is_made_and_the_next_model_answers_at_once(on: Stage) -> None:
    break_down(on, "broken")
    await on.ask("broken", "other")
    assert [c.model for c in on.server.calls] == ["other"]
    assert await types(on) == ("recovery.fell_back", "turn.started", "turn.completed")
    (fell,) = await on.events(ev.RecoveryFellBack)
    assert (fell.from_model, fell.to_model, fell.failure) == ("anthropic:broken", "anthropic:other", "breaker_open")
    assert on.clock.slept == []


async def test_without_another_model_the_probe_is_waited_for_and_closes_the_breaker(on: Stage) -> None:
    break_down(on, "back-again")
    await on.ask("back-again")
    assert (on.clock.slept, len(on.server.calls)) == ([15.0], 1)
    assert await types(on) == ("recovery.retrying", "turn.started", "turn.completed")
    (said,) = await on.events(ev.RecoveryRetrying)
    assert (said.failure, said.attempt, said.of, said.delay_s) == ("breaker_open", 1, 4, 15.0)
    assert on.breakers.of("anthropic", "back-again").state == "closed"


async def test_a_breaker_that_stays_open_is_not_waited_for_for_ever(on: Stage) -> None:
    break_down(on, "fault-529")
    with pytest.raises(errors.StageFailed) as caught:
        await on.ask("fault-529")
    assert (caught.value.reason, len(on.server.calls)) == ("overloaded", 2), "two probes in four tries"
    withdrawn = ("turn.started", "turn.superseded", "recovery.retrying")
    assert await types(on) == OPEN + withdrawn + OPEN + FAILED


async def test_while_another_probes_nobody_else_calls_and_the_stage_fails_in_the_end(on: Stage) -> None:
    break_down(on, "busy")
    on.clock.advance(15.0)
    on.breakers.of("anthropic", "busy").begin(on.clock.monotonic())
    with pytest.raises(errors.StageFailed) as caught:
        await on.ask("busy")
    assert (caught.value.reason, caught.value.can_retry, on.server.calls) == ("breaker_open", True, [])
    assert await types(on) == OPEN * 3
    assert on.clock.slept == [15.0] * 3


async def test_a_probe_that_is_cancelled_leaves_its_place(on: Stage) -> None:
    break_down(on, "rate-50x4000")
    on.clock.advance(15.0)
    agent = on.asking("rate-50x4000")
    task = asyncio.ensure_future(agent.run_stage(await on.dispatched()))
    await until(lambda: on.server.calls)
    await agent.cancel(RUN)
    with pytest.raises(errors.RunCancelled):
        await task
    assert on.breakers.of("anthropic", "rate-50x4000").wait_s(on.clock.monotonic()) == 0.0


@pytest.mark.parametrize("fault", ["refusal", "400", "401", "429-0.2", "unknown-stop"])
async def test_what_does_not_say_that_a_model_is_down_opens_nothing(on: Stage, fault: str) -> None:
    agent = on.asking(f"fault-{fault}", policy=HASTY)
    for _ in range(12):
        with pytest.raises(errors.StageFailed):
            await agent.run_stage(await on.dispatched(transcript=(await on.folded()).restarted()))
    assert "breaker.opened" not in on.counts.snapshot()


@pytest.mark.parametrize("fault", ["529", "500", "rst", "stall", "malformed-sse"])
async def test_what_says_that_a_model_is_down_opens_it(on: Stage, fault: str) -> None:
    with pytest.raises(errors.StageFailed):
        await on.ask(f"fault-{fault}", policy=RetryPolicy(attempts=10, base_s=0.01, cap_s=0.01))
    assert on.counts.snapshot()["breaker.opened"] == 1


# --- operators -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["401", "403"])
async def test_a_key_that_does_not_work_is_an_alarm_once_a_minute_for_each_model(
    on: Stage, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    agent = on.asking(f"fault-{fault}")
    for _ in range(3):
        with pytest.raises(errors.StageFailed) as caught:
            await agent.run_stage(await on.dispatched())
        assert caught.value.reason == "model_unauthorized"
    alarms = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert [r.name for r in alarms] == ["headrace.agents"]
    assert f"anthropic:fault-{fault}" in alarms[0].getMessage()
    assert "sk-ant" not in caplog.text
    on.clock.advance(60.0)
    with pytest.raises(errors.StageFailed):
        await agent.run_stage(await on.dispatched())
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 2
    assert on.counts.snapshot()["alarm.model_unauthorized"] == 4
    assert (await types(on), len(on.server.calls)) == (FAILED * 4, 4)


# --- money -----------------------------------------------------------------------------------------------------------


async def test_the_worst_case_is_held_back_before_the_call_and_given_back_after(on: Stage) -> None:
    task = asyncio.ensure_future(on.ask("rate-50x20", max_tokens=1000))
    await until(lambda: on.server.calls)
    held = (await on.folded()).reserved_usd
    assert held == pytest.approx((await on.run()).reserved / 1e6, abs=1e-6)
    body = on.server.calls[0].body
    least = PRICES.cost_usd("m", input_tokens=0, cache_write_tokens=len(str(body["messages"])), output_tokens=1000)
    assert held > least
    await task
    assert (await on.folded()).reserved_usd == 0.0
    await on.money_adds_up()


async def test_a_turn_that_costs_more_than_was_held_back_is_reported_with_its_figures(
    on: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    greedy = wire.encode(wire.start("greedy", 10**6), *wire.text_block(0, "Much."), *wire.finish("end_turn"))
    on.server.recordings["greedy"] = greedy
    assert (await on.ask("greedy")).text == "Much."
    (said,) = [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]
    assert "anthropic:greedy" in said
    assert "2.0001" in said
    run = await on.run()
    assert (run.reserved, run.spent) == (0, 2_000_100), "what was really spent counts"


async def test_a_planning_call_that_does_not_fit_the_budget_says_so_as_itself() -> None:
    async with stage(budget=1000) as on:
        request = PlanningRequest(RUN, 1, BRIEF, {"type": "object"}, transcript=Transcript())
        with pytest.raises(errors.LimitExceeded):
            await on.asking("plain").run_planning(request)
        assert on.server.calls == []


async def test_a_lower_price_of_an_operators_own_lets_the_same_call_through() -> None:
    async with stage(budget=60_000) as on:
        await on.ask("plain")
    async with stage(budget=30_000) as on:
        with pytest.raises(errors.LimitExceeded):
            await on.ask("plain")
        await on.ask("plain", max_tokens=100)
