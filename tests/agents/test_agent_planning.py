"""A planning agent answers one question with JSON, unseen until it is whole; a repair goes on with the same conversation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from runtime import errors
from runtime.agents.request import PlanningRequest
from runtime.events import catalog as ev
from runtime.events.brief import Brief, render
from runtime.events.messages import user
from runtime.events.notes import repair_note
from runtime.events.transcript import Transcript, advance
from runtime.llm.client import Chunk, TextDelta
from tests.agents.bench import RUN, Bench, Lines, Played, says

SCHEMA = {"type": "object"}
BRIEF = Brief("Why?", agents=(("research", "Searches."),))


def asking(transcript: Transcript | None = None) -> PlanningRequest:
    return PlanningRequest(RUN, 1, BRIEF, SCHEMA, transcript=transcript or Transcript())


async def test_the_answer_comes_back_whole_and_its_events_are_durable_at_no_stage(bench: Bench) -> None:
    model = Played('[[turn]]\nagent = "planner"\n[turn.output]\ntitle = "Sky"')
    result = await bench.agent(model, name="planner", role="planning", max_tokens=50).run_planning(asking())
    assert result.text == '{"title":"Sky"}'
    (asked,) = model.asked
    assert (asked.messages, asked.output_schema) == ((user(render(BRIEF)),), SCHEMA)
    assert (asked.tools, asked.max_tokens, asked.agent, asked.turn) == ((), 50, "planner", 1)
    own = [e for e in await bench.log() if e.agent == "planner"]
    assert [(e.event.type, e.stage, e.turn, e.attempt) for e in own] == [
        ("turn.started", None, 1, 1),
        ("turn.completed", None, 1, 1),
    ]


async def test_half_a_plan_is_never_shown(bench: Bench) -> None:
    await bench.agent(Played('[[turn]]\ntext = "a long answer of many words"'), name="planner").run_planning(asking())
    assert await bench.events(ev.TurnDelta) == []


async def test_the_transcript_that_comes_back_is_the_one_the_log_folds_to(bench: Bench) -> None:
    await bench.write(ev.UsageUpdated(usage=(await bench.state()).usage))
    agent = bench.agent(Lines(says("x")), name="planner")
    result = await agent.run_planning(asking())
    folded = Transcript()
    for one in await bench.log():
        if one.agent == "planner":
            folded = advance(folded, one.event, one.turn, one.attempt)
    assert result.transcript == folded


async def test_a_repair_shows_the_agent_its_answer_and_what_was_wrong(bench: Bench) -> None:
    model = Lines(says("not json"), says("{}"))
    agent = bench.agent(model, name="planner")
    first = await agent.run_planning(asking())
    said = ev.RecoveryRetrying(failure="output_invalid", message="answer: Invalid JSON", attempt=1, of=2, delay_s=0)
    second = await agent.run_planning(asking(advance(first.transcript, said, None, None)))
    assert second.text == "{}"
    brief, answer, note = model.asked[1].messages
    assert (brief, answer.role, answer.text()) == (user(render(BRIEF)), "assistant", "not json")
    assert note == user(repair_note("answer: Invalid JSON"))
    turns = [(e.turn, e.attempt) for e in await bench.log() if isinstance(e.event, ev.TurnCompleted)]
    assert turns == [(1, 1), (2, 1)]


async def test_a_rate_limit_is_waited_out(bench: Bench) -> None:
    model = Lines(errors.ModelRateLimited("slow down", 3.0), says("{}"))
    assert (await bench.agent(model, name="planner").run_planning(asking())).text == "{}"
    assert bench.clock.slept == [3.0]
    assert [e.failure for e in await bench.events(ev.RecoveryRetrying)] == ["rate_limited"]


async def test_a_model_that_fails_for_good_raises_its_own_error_with_turn_failed_in_the_log(bench: Bench) -> None:
    agent = bench.agent(Lines(errors.ModelUnauthorized("no key")), name="planner")
    with pytest.raises(errors.ModelUnauthorized):
        await agent.run_planning(asking())
    assert [e.code for e in await bench.events(ev.TurnFailed)] == ["model_unauthorized"]


async def test_planning_is_cancelled_with_its_run(bench: Bench) -> None:
    async def endless() -> AsyncGenerator[Chunk, None]:
        yield TextDelta("{")
        await asyncio.Event().wait()

    agent = bench.agent(Lines(endless), name="planner")
    task = asyncio.ensure_future(agent.run_planning(asking()))
    await bench.until(ev.TurnStarted)
    await agent.cancel(RUN)
    with pytest.raises(errors.RunCancelled):
        await task


async def test_a_planner_of_a_run_somebody_else_owns_now_is_shut_out(bench: Bench) -> None:
    await bench.hub.release("executor")
    await bench.hub.renew("other", ttl_s=1e9)
    await bench.hub.claim(RUN, executor="other")
    model = Lines(says("{}"))
    with pytest.raises(errors.Fenced):
        await bench.agent(model, name="planner").run_planning(asking())
    assert model.asked == []
