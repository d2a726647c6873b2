"""What is held back is worked out from the request; here it is held to the bytes that really leave."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from runtime.events.messages import Message, TextBlock, ToolResultBlock, ToolUseBlock, user
from runtime.events.plan import Plan
from runtime.llm.anthropic import AnthropicClient
from runtime.llm.client import ModelRequest, ToolSpec
from runtime.llm.request_size import request_bytes
from runtime.orchestrator.validate import PLAN_SCHEMA, TITLE_SCHEMA, VERDICT_SCHEMA
from tests.fakes.messages_server import MessagesServer
from tests.fakes.turns import asking, impatient, play

SEARCH = ToolSpec(
    "search_documents", "Sucht Größe 日本 🌊", {"type": "object", "properties": {"query": {"type": "string"}}}
)
SCHEMAS = (PLAN_SCHEMA, TITLE_SCHEMA, VERDICT_SCHEMA, Plan.model_json_schema())
HISTORY = (
    user('Größe 日本 🌊 "quoted" \\ \n' * 50),
    Message(
        role="assistant",
        content=(TextBlock(text="I look."), ToolUseBlock(id="t", name="search_documents", input={"é": "🌊"})),
    ),
    Message(role="user", content=(ToolResultBlock(tool_use_id="t", content="words " * 500, is_error=True),)),
)
REQUESTS = {
    "plain": asking("m"),
    "tools": asking("m", tools=(SEARCH,) * 3),
    "history": replace(asking("m", tools=(SEARCH,)), messages=HISTORY),
    **{f"schema {n}": asking("m", output_schema=schema) for n, schema in enumerate(SCHEMAS)},
}


@pytest.fixture
async def server() -> AsyncIterator[MessagesServer]:
    async with MessagesServer() as running:
        yield running


@pytest.fixture
async def client(server: MessagesServer) -> AsyncIterator[AnthropicClient]:
    made = impatient(server.base_url)
    yield made
    await made.aclose()


@pytest.mark.parametrize("name", REQUESTS)
async def test_the_bound_is_never_less_than_the_text_that_is_sent(
    server: MessagesServer, client: AnthropicClient, name: str
) -> None:
    await play(client, REQUESTS[name])
    (call,) = server.calls
    sent = {key: value for key, value in call.body.items() if key != "stream"}
    size = len(json.dumps(sent, ensure_ascii=False, separators=(",", ":")).encode())
    assert size <= request_bytes(REQUESTS[name]) <= 4 * size


async def test_text_no_encoding_can_hold_is_sent_as_the_log_writes_it(
    server: MessagesServer, client: AnthropicClient
) -> None:
    bad = ModelRequest("m", "s \udfff", (user("a \ud800 b"), *HISTORY[1:]))
    await play(client, bad)
    (call,) = server.calls
    assert call.body["messages"][0]["content"][0]["text"] == "a \ufffd b"
    assert call.body["system"][0]["text"] == "s \ufffd"
    assert request_bytes(bad) > 0
