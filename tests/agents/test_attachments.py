"""What a person attached reaches the models that can see it, and the others are told what they do not see."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace

import pytest

from runtime import errors
from runtime.agents.attachments import first_message
from runtime.agents.request import PlanningRequest
from runtime.agents.turn import Rung
from runtime.events.attachments import Attachment, called, takes_attachments
from runtime.events.brief import parse, render
from runtime.events.catalog import TurnCompleted, TurnStarted
from runtime.events.history import Exchange, History
from runtime.events.messages import DocumentBlock, ImageBlock, Message, TextBlock, load_conversation
from tests.agents.bench import BRIEF, RUN, Bench, Lines, Member, call, says
from tests.agents.test_loop import look
from tests.faults.stage import stage

PICTURE = Attachment(type="image", media_type="image/png", data="iVBORw0KGgo=", name='a "map".png')
PAPER = Attachment(type="pdf", url="https://example.org/a.pdf")
TEXT = Attachment(type="text", media_type="text/plain", data=b64encode("Größe".encode()).decode(), name="notes.txt")
ALL = (PICTURE, PAPER, TEXT)


def test_a_model_that_sees_them_gets_them_before_the_brief() -> None:
    picture, paper, text, words = first_message(BRIEF, ALL, shown=True, citing=True).content
    assert picture == ImageBlock(source={"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="})
    address = {"type": "url", "url": "https://example.org/a.pdf"}
    assert paper == DocumentBlock(source=address, title="pdf 2", citations={"enabled": True})
    assert isinstance(text, DocumentBlock)
    assert text.source == {"type": "text", "media_type": "text/plain", "data": "Größe"}
    assert words.model_dump()["text"] == render(BRIEF)


def test_a_model_that_reads_words_only_is_told_their_names_and_still_finds_its_brief() -> None:
    message = first_message(BRIEF, ALL, shown=False)
    assert [block.type for block in message.content] == ["text"]
    assert all(name.replace('"', "&quot;") in message.text() or name in message.text() for name in called(ALL))
    assert "iVBO" not in message.text()
    assert parse(message.text()) == BRIEF


def test_without_attachments_the_message_is_the_brief_alone() -> None:
    assert first_message(BRIEF, (), shown=True).text() == render(BRIEF)


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("anthropic:claude-sonnet-5", True),
        ("offline:extractive", False),
        ("local:smollm2", False),
        ("scripted:x", False),
    ],
)
def test_only_some_adapters_take_them(model: str, takes: bool) -> None:
    assert takes_attachments(model) is takes


async def test_every_turn_of_a_stage_has_them_in_its_first_message_and_the_log_does_not_repeat_them(
    bench: Bench,
) -> None:
    model = Lines(says(call("c1", "look", at="sea"), stop="tool_use"), says("Blue."))
    request = replace(await bench.dispatched(), attachments=ALL)
    await bench.agent(model, tools=(look,)).run_stage(request)
    for asked in model.asked:
        assert [block.type for block in asked.messages[0].content] == ["image", "document", "document", "text"]
    assert not [block for turn in await bench.events(TurnCompleted) for block in turn.content if block.type == "image"]


async def test_a_delegate_is_shown_them_with_the_question_it_is_told(bench: Bench) -> None:
    helper = Lines(says("It is blue."))
    model = Lines(says(call("d1", "delegate", agent="helper", task="Look"), stop="tool_use"), says("Blue."))
    request = replace(await bench.dispatched(), attachments=(PICTURE,))
    await bench.agent(model, team=[Member("helper", [helper])]).run_stage(request)
    assert [block.type for block in helper.asked[0].messages[0].content] == ["image", "text"]


async def test_what_was_said_before_and_what_is_attached_stand_in_one_first_message(bench: Bench) -> None:
    model, before = Lines(says("Blue.")), History(exchanges=(Exchange(question="And the sea?", answer="Green."),))
    brief = replace(BRIEF, history=before)
    await bench.agent(model).run_stage(replace(await bench.dispatched(), brief=brief, attachments=(PICTURE,)))
    picture, words = model.asked[0].messages[0].content
    assert picture.type == "image"
    assert isinstance(words, TextBlock)
    assert parse(words.text) == brief


async def test_a_limits_exception_does_not_carry_them(bench: Bench) -> None:
    model = Lines(says(call("c1", "look", at="sea"), call("c2", "look", at="sky"), stop="tool_use"))
    request = replace(await bench.dispatched(), attachments=ALL)
    with pytest.raises(errors.ToolCallLimitReached) as caught:
        await bench.agent(model, tools=(look,), max_tool_calls=1).run_stage(request)
    assert [block.type for block in load_conversation(caught.value.conversation)[0].content] == ["text"]


@pytest.mark.parametrize(("shows", "kinds"), [(True, ["image", "text"]), (False, ["text"])])
async def test_a_planning_agent_sees_them_or_learns_their_names(bench: Bench, shows: bool, kinds: list[str]) -> None:
    model = Lines(says("{}"))
    await bench.agent(model).run_planning(
        PlanningRequest(RUN, 1, BRIEF, {"type": "object"}, attachments=(PICTURE,), shows_attachments=shows)
    )
    (asked,) = model.asked
    first: Message = asked.messages[0]
    assert [block.type for block in first.content] == kinds


async def test_a_picture_goes_through_the_real_adapter_to_the_server() -> None:
    async with stage() as on:
        request = replace(await on.dispatched(), attachments=(PICTURE, TEXT))
        await on.asking("claude-sonnet-5").run_stage(request)
        (called_with,) = on.server.calls
        image, document, _ = called_with.body["messages"][0]["content"]
        assert image["source"]["data"] == PICTURE.data
        assert (document["title"], document["citations"]) == ("notes.txt", {"enabled": True})
        await on.money_adds_up()


@pytest.mark.parametrize(("rung", "sees"), [("anthropic:m", True), ("local:m", False)])
async def test_a_stage_shows_each_rung_what_it_can_take(bench: Bench, rung: str, sees: bool) -> None:
    model = Lines(says("Blue."))
    agent = bench.agent(model, server_tools=("web_search",))
    tools = agent._tools
    agent._tools = replace(tools, turn=replace(tools.turn, ladder=(Rung(rung, "m", model, "Work."),)))
    await agent.run_stage(replace(await bench.dispatched(), attachments=(PICTURE,)))
    (asked,) = model.asked
    assert [block.type for block in asked.messages[0].content] == (["image", "text"] if sees else ["text"])
    assert asked.server_tools == (("web_search",) if sees else ())


async def test_what_the_provider_may_search_for_is_held_back_for() -> None:
    async with stage() as on:
        await on.ask("claude-sonnet-5", server_tools=("web_search",))
        (held,) = await on.events(TurnStarted)
        assert held.reserved_cost_usd > 3 * 0.01 + 4 * 75_000 * 2.5 / 1e6
        await on.money_adds_up()
