"""Every event goes through transform, enrich and process, in this order, and each phase fails in its own way."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from runtime.events import catalog as ev
from runtime.events.envelope import Draft
from runtime.stream.chain import ALL, Chain, ChainFunction, enrich, process, transform

PLACE = {"stage": "s", "agent": "a", "turn": 2, "attempt": 3}


def draft(text: str = "") -> Draft:
    return Draft(ev.TurnDelta(text=text), **PLACE)


def said(text: str) -> Any:
    """A step that adds to a token's text."""

    def step(one: Draft) -> Draft:
        assert isinstance(one.event, ev.TurnDelta)
        return Draft(ev.TurnDelta(text=one.event.text + text), one.stage, one.agent, one.turn, one.attempt)

    return step


def text_of(one: Draft) -> str:
    assert isinstance(one.event, ev.TurnDelta)
    return one.event.text


def fails(one: Draft) -> Draft:
    raise OSError("the database is away")


async def test_the_phases_come_in_order_however_their_functions_were_given() -> None:
    functions = (process()(said("P")), enrich()(said("E")), transform()(said("T")), process()(said("Q")))
    assert text_of(await Chain(functions).run(draft())) == "TEPQ"


async def test_an_event_without_functions_passes_untouched() -> None:
    one = draft("x")
    assert await Chain().run(one) is one


async def test_async_steps_are_waited_for_and_mix_with_plain_ones() -> None:
    async def slow(one: Draft) -> Draft:
        await asyncio.sleep(0)
        result: Draft = said("slow ")(one)
        return result

    assert text_of(await Chain((enrich("token")(slow), process("token")(said("P")))).run(draft())) == "slow P"


async def test_a_function_sees_only_the_families_it_asked_for() -> None:
    seen: list[str] = []

    @process("error", "status")
    def watch(one: Draft) -> Draft:
        seen.append(one.event.type)
        return one

    chain = Chain((watch,))
    events: tuple[ev.Event, ...] = (
        ev.TurnDelta(text="x"),
        ev.RunWaiting(reason="r"),
        ev.TurnFailed(code="c", message="m", attempts=1),
        ev.TitleSet(title="t"),
        ev.InputReceived(text="t"),
    )
    for event in events:
        await chain.run(Draft(event))
    assert seen == ["run.waiting", "turn.failed"]


def test_a_mark_without_families_is_for_all_and_leaves_the_function_callable() -> None:
    marked = transform()(said("T"))
    assert (marked.phase, marked.families) == ("transform", ALL)
    after = marked(draft("x"))
    assert isinstance(after, Draft)
    assert text_of(after) == "xT"


@pytest.mark.parametrize("phase", [transform, enrich, process])
async def test_a_step_that_gives_none_withholds_and_the_rest_is_not_asked(phase: Any) -> None:
    asked: list[str] = []

    def never(one: Draft) -> Draft:
        asked.append("x")
        return one

    after = await Chain((phase()(lambda one: None), process()(never))).run(draft("secret"))
    assert after == Draft(ev.Custom(name="withheld", value={"type": "turn.delta"}), **PLACE)
    assert asked == []


async def test_a_failing_enrichment_lets_the_event_pass_as_it_was_and_is_counted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chain = Chain((transform()(said("T")), enrich()(fails), enrich()(said("E")), process()(said("P"))))
    with caplog.at_level(logging.ERROR):
        assert text_of(await chain.run(draft())) == "TEP"
    assert chain.counts.snapshot() == {"enrich_failures": 1}
    assert "enrich fails failed on turn.delta" in caplog.text


async def test_a_failing_rule_withholds_the_event_rather_than_show_what_it_might_have_hidden() -> None:
    chain = Chain((process()(fails), process()(said("P"))))
    after = await chain.run(draft("secret"))
    assert after.event == ev.Custom(name="withheld", value={"type": "turn.delta"})
    assert chain.counts.snapshot() == {"process_failures": 1}


async def test_a_failing_transform_is_a_bug_and_raises() -> None:
    with pytest.raises(OSError, match="away"):
        await Chain((transform()(fails),)).run(draft())


async def test_an_async_step_fails_like_a_plain_one() -> None:
    async def late(one: Draft) -> Draft:
        await asyncio.sleep(0)
        raise OSError("the database is away")

    assert text_of(await Chain((enrich()(late),)).run(draft("x"))) == "x"
    assert (await Chain((process()(late),)).run(draft("x"))).event.type == "custom"
    with pytest.raises(OSError, match="away"):
        await Chain((transform()(late),)).run(draft("x"))


async def test_cancelling_gets_through_every_phase() -> None:
    async def hangs(one: Draft) -> Draft:
        await asyncio.Event().wait()
        return one

    for phase in (transform, enrich, process):
        task = asyncio.ensure_future(Chain((phase()(hangs),)).run(draft()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_withheld_stub_says_nothing_of_the_contents() -> None:
    hide = ChainFunction("process", ALL, lambda one: None)
    after = await Chain((hide,)).run(Draft(ev.ToolCompleted(call_id="c", name="n", result="sk-canary")))
    assert "canary" not in after.event.model_dump_json()
