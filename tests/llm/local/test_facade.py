"""The facade speaks the Messages API: examined through the real SDK over real HTTP, with a fake engine."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import anthropic
import httpx2
import pytest

from runtime.clock import SystemClock
from runtime.errors import ModelProtocolError, ModelRequestRejected
from runtime.events.messages import text_of, user
from runtime.llm.anthropic import AnthropicClient
from runtime.llm.client import Completed, ModelRequest, ToolSpec
from runtime.llm.local.address import LocalAddress
from runtime.llm.local.desk import WAITING
from runtime.llm.options import ModelOptions

SEARCH = {
    "name": "search_documents",
    "description": "Search.",
    "input_schema": {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]},
}
TITLE = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
ASK: dict[str, Any] = {"model": "fake", "max_tokens": 50, "messages": [{"role": "user", "content": "Hi"}]}


async def test_text_streams_in_the_protocols_order(sdk) -> None:
    stream = await sdk.messages.create(**ASK, stream=True)
    types = [event.type async for event in stream]
    assert types == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_final_message_is_the_same_streamed_or_not(sdk) -> None:
    whole = await sdk.messages.create(**ASK)
    async with sdk.messages.stream(**ASK) as stream:
        streamed = await stream.get_final_message()
    for message in (whole, streamed):
        assert message.content[0].text == "Hello"
        assert (message.stop_reason, message.usage.input_tokens, message.usage.output_tokens) == ("end_turn", 7, 2)


async def test_forced_tool_streams_its_arguments(sdk, engine) -> None:
    engine.tokens = ['{"que', 'ry":"bees"}']
    choice = {"type": "tool", "name": "search_documents"}
    async with sdk.messages.stream(**ASK, tools=[SEARCH], tool_choice=choice) as stream:
        parts = [event.partial_json async for event in stream if event.type == "input_json"]
        message = await stream.get_final_message()
    assert parts == engine.tokens
    assert (message.content[0].name, message.content[0].input, message.stop_reason) == (
        "search_documents",
        {"query": "bees"},
        "tool_use",
    )
    assert "%json" in engine.jobs[0].grammar


@pytest.mark.parametrize(
    "tokens", [["[ca", "ll search_doc", 'uments]{"query"', ':"x"}'], ['[call search_documents]{"query":"x"}']]
)
async def test_call_by_choice_is_told_from_text(sdk, engine, tokens: list[str]) -> None:
    engine.tokens = tokens
    message = await sdk.messages.create(**ASK, tools=[SEARCH])
    assert (message.content[0].input, message.stop_reason) == ({"query": "x"}, "tool_use")


async def test_text_by_choice_stays_text(sdk, engine) -> None:
    message = await sdk.messages.create(**ASK, tools=[SEARCH])
    assert (message.content[0].text, message.stop_reason) == ("Hello", "end_turn")


async def test_truncated_call_is_never_runnable(sdk, engine) -> None:
    engine.tokens, engine.reason = ['{"query":"be'], "length"
    message = await sdk.messages.create(**(ASK | {"max_tokens": 1}), tools=[SEARCH], tool_choice={"type": "any"})
    assert (message.content[0].type, message.stop_reason) == ("text", "max_tokens")


async def test_output_schema_becomes_a_grammar(sdk, engine) -> None:
    engine.tokens = ['{"title":"A"}']
    output = {"format": {"type": "json_schema", "schema": TITLE}}
    message = await sdk.messages.create(**ASK, output_config=output)
    assert message.content[0].text == '{"title":"A"}'
    assert '"title"' in engine.jobs[0].grammar


async def test_grammar_that_was_not_enforced_is_an_error(sdk) -> None:
    output = {"format": {"type": "json_schema", "schema": TITLE}}
    with pytest.raises(anthropic.BadRequestError, match="cannot enforce"):
        await sdk.messages.create(**ASK, output_config=output)


async def test_stop_sequence_over_two_tokens_ends_the_answer(sdk, engine) -> None:
    engine.tokens = ["one EN", "D two"]
    message = await sdk.messages.create(**ASK, stop_sequences=["END"])
    assert (message.content[0].text, message.stop_reason, message.stop_sequence) == ("one ", "stop_sequence", "END")


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (ModelRequestRejected("prompt is too long: 5000 tokens"), anthropic.BadRequestError),
        (ModelProtocolError("broken"), anthropic.InternalServerError),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_engine_errors_before_the_answer_are_statuses(sdk, engine, failure, error, stream: bool) -> None:
    engine.failure = failure
    with pytest.raises(error, match=str(failure.message)) as caught:
        await sdk.messages.create(**ASK, stream=stream)
    assert caught.value.body["type"] == "error"


async def test_wrong_key_is_401(address: LocalAddress) -> None:
    async with anthropic.AsyncAnthropic(base_url=address.base_url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(anthropic.AuthenticationError):
            await client.messages.create(**ASK)


async def test_other_model_path_or_body_is_refused_in_the_apis_shape(sdk, address: LocalAddress) -> None:
    with pytest.raises(anthropic.NotFoundError, match="not served here"):
        await sdk.messages.create(**(ASK | {"model": "other"}))
    headers = {"authorization": f"Bearer {address.api_key}"}
    async with httpx2.AsyncClient(base_url=address.base_url, headers=headers) as http:
        assert (await http.get("/v1/nothing")).json()["error"]["type"] == "not_found_error"
        wrong = await http.post("/v1/messages", content=b'{"model":"fake"}')
        assert (wrong.status_code, wrong.json()["error"]["type"]) == (400, "invalid_request_error")


async def test_disconnect_stops_the_engine(sdk, engine) -> None:
    engine.gate = threading.Event()
    stream = await sdk.messages.create(**ASK, stream=True)
    await anext(aiter(stream))
    await stream.close()
    assert await asyncio.to_thread(engine.stopped.wait, 5)


async def test_disconnect_without_streaming_stops_the_engine(sdk, engine) -> None:
    engine.gate = threading.Event()
    call = asyncio.ensure_future(sdk.messages.create(**ASK))
    assert await asyncio.to_thread(engine.started.wait, 5)
    call.cancel()
    assert await asyncio.to_thread(engine.stopped.wait, 5)


async def test_full_queue_is_529_and_those_that_wait_are_served(sdk, engine) -> None:
    engine.gate = threading.Event()
    calls = [asyncio.ensure_future(sdk.messages.create(**ASK)) for _ in range(WAITING + 2)]
    done, _ = await asyncio.wait(calls, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    error = done.pop().exception()
    assert isinstance(error, anthropic.APIStatusError)
    assert (error.status_code, error.body["error"]["type"]) == (529, "overloaded_error")
    engine.gate.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert sum(not isinstance(answer, Exception) for answer in answers) == WAITING + 1


@pytest.mark.parametrize("address", [True], indirect=True)
async def test_small_weights_search_first_and_then_only_quote(sdk, engine) -> None:
    engine.tokens = ['{"query":"bees"}']
    first = await sdk.messages.create(**ASK, tools=[SEARCH])
    assert first.stop_reason == "tool_use"
    sentence = "Bees find their way home by the position of the sun."
    engine.tokens = [sentence]
    call = {"type": "tool_use", "id": "t1", "name": "search_documents", "input": {"query": "bees"}}
    result = {"type": "tool_result", "tool_use_id": "t1", "content": f"[1] bees.md:3\n{sentence}"}
    talk = [*ASK["messages"], {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]
    second = await sdk.messages.create(**(ASK | {"messages": talk}), tools=[SEARCH])
    assert (second.content[0].text, second.stop_reason) == (sentence, "end_turn")
    assert sentence in engine.jobs[1].grammar
    assert "call0" not in engine.jobs[1].grammar


async def test_what_another_provider_did_by_itself_is_accepted_and_not_shown(sdk, engine) -> None:
    searched = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "q"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
    said = [searched, found, {"type": "text", "text": "Found."}]
    messages = [*ASK["messages"], {"role": "assistant", "content": said}, {"role": "user", "content": "And?"}]
    await sdk.messages.create(**ASK | {"messages": messages})
    assert [line.content for line in engine.jobs[0].lines if line.role == "assistant"] == ["Found."]


async def test_pictures_are_refused_and_not_ignored(sdk) -> None:
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}
    with pytest.raises(anthropic.BadRequestError):
        await sdk.messages.create(**ASK | {"messages": [{"role": "user", "content": [picture]}]})


async def test_our_adapter_works_against_it_with_every_option(address, engine) -> None:
    """Caching marks, thinking, stop sequences and further fields are read or harmless; tokens are not counted there."""
    client = AnthropicClient(address.api_key, address.base_url, SystemClock())
    options = ModelOptions(thinking="adaptive", stop_sequences=("END",), extra_body={"top_k": 3})
    tool = ToolSpec(SEARCH["name"], SEARCH["description"], SEARCH["input_schema"])  # type: ignore[arg-type]
    request = ModelRequest("fake", "Be brief.", (user("Hi"),), tools=(tool,), options=options)
    end = [chunk async for chunk in client.stream(request)][-1]
    assert isinstance(end, Completed)
    assert (text_of(end.content), await client.count(request)) == ("Hello", None)
    await client.aclose()
