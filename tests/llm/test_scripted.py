"""The scripted model keeps its rate, its faults and its word."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from runtime import errors
from runtime.clock import ManualClock
from runtime.events import brief
from runtime.events.messages import user
from runtime.events.plan import Plan
from runtime.llm.client import Chunk, Completed, ModelRequest, TextDelta, ThinkingDelta, ToolSpec
from runtime.llm.script import default_script, load_script, parse_script
from runtime.llm.scripted import ScriptedClient
from tests.fakes.turns import play

SEARCH = ToolSpec("search_documents", "", {"type": "object"})


def asking(agent: str, turn: int = 1, question: str = "Why {this}?", **more: object) -> ModelRequest:
    message = user(brief.render(brief.Brief(question, task="Do it")))
    return ModelRequest("scripted", "system", (message,), agent=agent, turn=turn, **more)  # type: ignore[arg-type]


def scripted(text: str, clock: ManualClock | None = None) -> ScriptedClient:
    return ScriptedClient(parse_script(text, "test"), clock or ManualClock())


def texts(chunks: list[Chunk]) -> list[str]:
    return [chunk.text for chunk in chunks if isinstance(chunk, TextDelta)]


async def test_each_token_is_one_delta_at_its_own_time() -> None:
    clock = ManualClock(0.0)
    client = scripted('rate = 10\n[[turn]]\ntext = "a b c d"\ndelay_s = 2', clock)
    times = [
        (chunk.text, clock.monotonic()) async for chunk in client.stream(asking("x")) if isinstance(chunk, TextDelta)
    ]
    assert times == [("a ", 2.1), ("b ", 2.2), ("c ", 2.3), ("d", 2.4)]


async def test_a_late_wake_up_does_not_slow_the_rate() -> None:
    clock = ManualClock(0.0)
    client = scripted('rate = 10\n[[turn]]\ntext = "a b c d"', clock)
    async for chunk in client.stream(asking("x")):
        if isinstance(chunk, TextDelta):
            clock.advance(0.05)
    assert clock.monotonic() == pytest.approx(0.45)


async def test_as_fast_as_possible_never_sleeps_but_lets_others_run() -> None:
    clock, turns = ManualClock(), 0

    async def neighbour() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(neighbour())
    chunks = await play(scripted('rate = 0\n[[turn]]\ntext = "word "\nrepeat = 6400', clock), asking("x"))
    task.cancel()
    assert len(chunks) == 6401
    assert clock.slept == []
    assert 90 <= turns <= 110


async def test_placeholders_are_filled_and_other_braces_left_alone() -> None:
    chunks = await play(scripted('[[turn]]\ntext = "{question}|{task}|{agent}|{turn}|{else}"'), asking("me", 3))
    assert "".join(texts(chunks)) == "Why {this}?|Do it|me|3|{else}"


async def test_thinking_comes_first() -> None:
    chunks = await play(scripted('[[turn]]\nthinking = "hm "\ntext = "yes"'), asking("x"))
    assert chunks[:2] == [ThinkingDelta("hm "), TextDelta("yes")]


@pytest.mark.parametrize("times", [1, 2])
async def test_a_fault_comes_after_its_tokens_and_so_many_times(times: int) -> None:
    fault = f"""[[turn]]\ntext = "a b c"\nfault = {{ error = "ModelOverloaded", after = 2, times = {times},
    retry_after_s = 0.2 }}""".replace("\n    ", " ")
    client = scripted(fault)
    for _ in range(2):  # the same conversation, asked once more, fails again
        for _ in range(times):
            seen: list[Chunk] = []
            with pytest.raises(errors.ModelOverloaded) as caught:
                await play(client, asking("x"), seen)
            assert texts(seen) == ["a ", "b "]
            assert caught.value.retry_after_s == 0.2
        assert texts(await play(client, asking("x"))) == ["a ", "b ", "c"]


async def test_faults_of_two_conversations_are_counted_apart() -> None:
    client = scripted('[[turn]]\ntext = "a"\nfault = { error = "ModelRefused" }')
    for question in ("one", "two"):
        with pytest.raises(errors.ModelRefused):
            await play(client, asking("x", question=question))
    assert texts(await play(client, asking("x", question="one"))) == ["a"]


async def test_the_most_particular_turn_wins() -> None:
    client = scripted(
        '[[turn]]\ntext = "any"\n[[turn]]\nturn = 2\ntext = "second"\n[[turn]]\nagent = "a"\ntext = "a"\n'
        '[[turn]]\nagent = "a"\nturn = 2\ntext = "a2"'
    )
    said = [texts(await play(client, asking(agent, turn)))[0] for agent in "ab" for turn in (1, 2)]
    assert said == ["a", "a2", "any", "second"]


async def test_a_turn_for_certain_words_is_played_only_where_they_stand() -> None:
    client = scripted('[[turn]]\nagent = "a"\nturn = 1\ntext = "usual"\n[[turn]]\nwhen = "Tide"\ntext = "wet"')
    assert texts(await play(client, asking("a", question="Why is there a tide?"))) == ["wet"]
    assert texts(await play(client, asking("a", question="Why is it dry?"))) == ["usual"]


async def test_a_turn_with_tool_calls_is_played_only_where_they_are_offered() -> None:
    client = ScriptedClient(default_script(), ManualClock())
    for request in (asking("research"), asking("research", tools=(SEARCH,), tool_choice="none")):
        assert (await play(client, request))[-1].stop_reason == "end_turn"  # type: ignore[union-attr]
    end = (await play(client, asking("research", tools=(SEARCH,))))[-1]
    assert isinstance(end, Completed)
    assert (end.stop_reason, end.content[-1].input) == ("tool_use", {"query": "Why {this}?"})  # type: ignore[union-attr]


async def test_an_agent_without_lines_is_refused() -> None:
    with pytest.raises(errors.ModelRequestRejected, match="'b'"):
        await play(scripted('[[turn]]\nagent = "a"\ntext = "x"'), asking("b"))


async def test_the_default_script_is_a_run_of_about_ten_seconds() -> None:
    clock = ManualClock(0.0)
    client = ScriptedClient(default_script(), clock)
    plan = Plan.model_validate_json("".join(texts(await play(client, asking("planner", question="why? " * 500)))))
    assert [todo.agent for todo in plan.todos] == ["research", "analysis", "writing"]
    assert set(json.loads("".join(texts(await play(client, asking("guardrail")))))) == {"allowed", "category", "reason"}
    assert len(json.loads("".join(texts(await play(client, asking("titler", question="why? " * 500)))))["title"]) <= 60
    begun = clock.monotonic()
    for agent, turn in (("research", 1), ("research", 2), ("analysis", 1), ("writing", 1)):
        await play(client, asking(agent, turn, tools=(SEARCH,)))
    assert 8 <= clock.monotonic() - begun <= 12


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[turn]\n", "not TOML"),
        ("rate = 3", "turn: Field required"),
        ('[[turn]]\ntext = "a"\n[[turn]]\ntxt = "b"', r"turn\[2\]\.txt"),
        ('[[turn]]\nfault = { error = "SystemExit" }', r"turn\[1\]\.fault\.error: no such error; choose one of Model"),
        ('[[turn]]\ntext = "a"\noutput = { a = 1 }', r"turn\[1\]: has both"),
        ("rate = -1\n[[turn]]", "rate: "),
    ],
)
def test_a_bad_script_is_named_with_file_and_field(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(errors.ConfigurationError, match=words) as caught:
        load_script(path)
    assert "bad.toml" in caught.value.message


def test_a_script_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"none\.toml"):
        load_script(tmp_path / "none.toml")
