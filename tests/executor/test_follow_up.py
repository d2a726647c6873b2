"""A run with a conversation before it: who is told of it, and that a takeover tells the same."""

from __future__ import annotations

from runtime.events.brief import parse
from runtime.events.history import Exchange, History
from tests.rig import CHAIN, Rig, running
from tests.virtual_time import virtual_time

SLOW = CHAIN + '[[turn]]\nagent = "analysis"\nrate = 4\ntext = "one two three four five six"\n'
BEFORE = History(exchanges=(Exchange(run_id="r0", question="What is a lease?", answer="A right. [1]"),), left_out=2)


def told(rig: Rig) -> dict[str, set[tuple[str, str]]]:
    """By agent: what was said before, as each of its requests tells it."""
    found: dict[str, set[tuple[str, str]]] = {}
    for request in rig.model.requests:
        said = parse(request.messages[0].text()).history
        exchanges = [(one.question, one.answer) for one in said.exchanges]
        found.setdefault(request.agent, set()).add((str(exchanges), str(said.left_out)))
    return found


ALL = {(str([("What is a lease?", "A right. [1]")]), "2")}


@virtual_time
async def test_planner_guardrail_and_every_stage_are_told_what_was_said_before() -> None:
    async with running(CHAIN) as rig:
        await rig.ask(question="Why?", title="About leases", history=BEFORE)
        log = await rig.ended()
    assert log[-1].event.type == "run.completed"
    assert told(rig) == dict.fromkeys(("planner", "guardrail", "research", "analysis", "writing"), ALL)
    assert not any("lease" in request.system for request in rig.model.requests)


@virtual_time
async def test_a_titled_conversation_is_not_given_another_title() -> None:
    async with running(CHAIN) as rig:
        await rig.ask(title="About leases")
        titled = await rig.ended()
        await rig.ask("r2")
        untitled = await rig.ended("r2")
    assert "title.set" not in [e.event.type for e in titled]
    assert [e.event.type for e in untitled].count("title.set") == 1
    assert rig.model.begun["titler", 1] == 1


@virtual_time
async def test_after_a_takeover_the_same_is_known_of_the_conversation() -> None:
    async with running(SLOW) as rig:
        await rig.ask(title="About leases", history=BEFORE)
        await rig.when("r1", lambda seen: ("turn.delta", "weigh") in seen)
        before = len(rig.model.requests)
        await rig.lose_process(rig.executors[-1])
        await rig.put_process()
        log = await rig.ended("r1")
        after = rig.model.requests[before:]
    assert [e.event.type for e in log].count("run.started") == 2
    assert log[-1].event.type == "run.completed"
    assert {request.agent for request in after} == {"analysis", "writing"}
    assert told(rig) == dict.fromkeys(("planner", "guardrail", "research", "analysis", "writing"), ALL)
    assert rig.model.begun["titler", 1] == 0
