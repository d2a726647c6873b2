"""The rules in the docstring of :mod:`runtime.llm.client`, examined on every adapter.

To add an adapter, write a :class:`Bench` for it and put it into ``BENCHES``; a bench that cannot bring about a fault
leaves that request None, and the test is skipped for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

import pytest

from runtime.clock import SystemClock
from runtime.errors import ModelError
from runtime.events.messages import ToolUseBlock, text_of, user
from runtime.llm.anthropic import AnthropicClient
from runtime.llm.client import Chunk, Completed, ModelClient, ModelRequest, TextDelta, ToolInputDelta, ToolSpec
from runtime.llm.script import parse_script
from runtime.llm.scripted import ScriptedClient
from tests.fakes.messages_server import MessagesServer
from tests.fakes.turns import play

SEARCH = ToolSpec("search_documents", "Searches", {"type": "object", "properties": {"query": {"type": "string"}}})


@dataclass
class Bench:
    """An adapter, and the requests that make it show each side."""

    client: ModelClient
    text: ModelRequest
    call: ModelRequest
    """Makes it call ``search_documents``."""
    long: ModelRequest
    """Goes on for longer than a test."""
    fails_midway: ModelRequest | None
    ends_early: ModelRequest | None
    bad_arguments: ModelRequest | None
    calls: Callable[[], int]
    """How many calls reached the provider; adapters without one count their own attempts as they can."""
    is_open: Callable[[], bool]
    """Whether a call to the provider is still open."""


def asking(model: str = "m", agent: str = "writer", tools: tuple[ToolSpec, ...] = ()) -> ModelRequest:
    return ModelRequest(model, "Be brief.", (user("<question>Why?</question>"),), agent=agent, tools=tools)


@asynccontextmanager
async def anthropic_bench() -> AsyncIterator[Bench]:
    async with MessagesServer() as server:
        client = AnthropicClient("key", server.base_url, SystemClock(), 5.0, 2.0, 2.0, 20.0)
        yield Bench(
            client,
            text=asking(),
            call=asking(tools=(SEARCH,)),
            long=asking("rate-50x4000"),
            fails_midway=asking("fault-error-event"),
            ends_early=asking("fault-clean-eof"),
            bad_arguments=asking("fault-cut-tool-json"),
            calls=lambda: len(server.calls),
            is_open=lambda: any(call.closed is None for call in server.calls),
        )
        await client.aclose()


SCRIPT = """
rate = 0
[[turn]]
agent = "writer"
text = "Because it is so."
[[turn]]
agent = "searcher"
tool_calls = [{ name = "search_documents", input = { query = "{question}" } }]
[[turn]]
agent = "talker"
rate = 50
text = "on "
repeat = 4000
[[turn]]
agent = "failing"
text = "This will not end well"
fault = { error = "ModelOverloaded", after = 3, times = 0 }
"""


@asynccontextmanager
async def scripted_bench() -> AsyncIterator[Bench]:
    client = ScriptedClient(parse_script(SCRIPT, "contract"), SystemClock())
    failing = asking(agent="failing")
    yield Bench(
        client,
        text=asking(),
        call=asking(agent="searcher", tools=(SEARCH,)),
        long=asking(agent="talker"),
        fails_midway=failing,
        ends_early=None,  # a script has no transport that could end
        bad_arguments=None,  # its arguments are tables and cannot be malformed
        calls=lambda: 1,
        is_open=lambda: False,
    )
    await client.aclose()


BENCHES: dict[str, Callable[[], AbstractAsyncContextManager[Bench]]] = {
    "anthropic": anthropic_bench,
    "scripted": scripted_bench,
    # "offline": offline_bench,  <- the next adapter goes here
}


@pytest.fixture(params=BENCHES)
async def bench(request: pytest.FixtureRequest) -> AsyncIterator[Bench]:
    async with BENCHES[request.param]() as made:
        yield made


async def shown(bench: Bench, request: ModelRequest | None) -> list[Chunk]:
    if request is None:
        pytest.skip("this adapter cannot show it")
    return await play(bench.client, request)


async def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 2.0
    while not condition():
        assert time.monotonic() < end, "not in time"
        await asyncio.sleep(0.002)


async def test_chunks_end_with_exactly_one_completed(bench: Bench) -> None:
    chunks = await shown(bench, bench.text)
    assert [isinstance(chunk, Completed) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]


async def test_the_pieces_are_the_canonical_text(bench: Bench) -> None:
    *pieces, end = await shown(bench, bench.text)
    assert isinstance(end, Completed)
    assert "".join(piece.text for piece in pieces if isinstance(piece, TextDelta)) == text_of(end.content) != ""
    assert (end.stop_reason, end.model) == ("end_turn", bench.text.model)
    assert end.usage.output_tokens > 0


async def test_a_tool_call_is_whole_and_its_pieces_carry_its_id(bench: Bench) -> None:
    *pieces, end = await shown(bench, bench.call)
    assert isinstance(end, Completed)
    (call,) = (block for block in end.content if isinstance(block, ToolUseBlock))
    assert (call.name, call.input, end.stop_reason) == ("search_documents", {"query": "Why?"}, "tool_use")
    assert {piece.call_id for piece in pieces if isinstance(piece, ToolInputDelta)} == {call.id}


async def test_bad_arguments_never_become_something_to_run(bench: Bench) -> None:
    end = (await shown(bench, bench.bad_arguments))[-1]
    assert isinstance(end, Completed)
    assert not [block for block in end.content if isinstance(block, ToolUseBlock)]
    (invalid,) = end.invalid_calls
    assert invalid.raw
    assert invalid.problem


async def test_a_fault_in_midstream_raises_and_never_looks_complete(bench: Bench) -> None:
    seen: list[Chunk] = []
    assert bench.fails_midway is not None
    with pytest.raises(ModelError):
        await play(bench.client, bench.fails_midway, seen)
    assert seen
    assert not [chunk for chunk in seen if isinstance(chunk, Completed)]
    assert bench.calls() == 1


async def test_a_stream_that_ends_early_raises(bench: Bench) -> None:
    with pytest.raises(ModelError):
        await shown(bench, bench.ends_early)
    assert bench.calls() == 1


async def test_closing_the_iterator_closes_the_call(bench: Bench) -> None:
    turn = bench.client.stream(bench.long)
    await anext(turn)
    await turn.aclose()
    await until(lambda: not bench.is_open())


async def test_cancelling_the_task_closes_the_call(bench: Bench) -> None:
    task = asyncio.create_task(shown(bench, bench.long))
    await asyncio.sleep(0.05)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: not bench.is_open())


async def test_one_client_makes_many_turns_at_once(bench: Bench) -> None:
    turns = await asyncio.gather(*(shown(bench, bench.text) for _ in range(20)))
    assert len({len(chunks) for chunks in turns}) == 1
