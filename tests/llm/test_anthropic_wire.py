"""What the adapter sends, and that what it makes of an answer is what the SDK makes of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
from pydantic import TypeAdapter

from runtime import errors
from runtime.clock import SystemClock
from runtime.events.messages import ContentBlock, Message, TextBlock, ThinkingBlock, ToolResultBlock, ToolUseBlock, user
from runtime.events.plan import Plan
from runtime.llm.anthropic import AnthropicClient
from runtime.llm.client import ModelRequest, ToolSpec
from runtime.llm.options import ModelOptions
from tests.fakes import messages_wire as wire
from tests.fakes.messages_server import MessagesServer
from tests.fakes.turns import KEY, asking, completed, impatient, play

SEARCH = ToolSpec("search_documents", "Searches", {"type": "object", "properties": {"query": {"type": "string"}}})


@pytest.fixture
async def server() -> AsyncIterator[MessagesServer]:
    async with MessagesServer() as running:
        yield running


@pytest.fixture
async def client(server: MessagesServer) -> AsyncIterator[AnthropicClient]:
    made = impatient(server.base_url)
    yield made
    await made.aclose()


THINKING = [
    wire.opened(0, {"type": "thinking", "thinking": "", "signature": ""}),
    wire.delta(0, "thinking_delta", thinking="Höhe… "),
    wire.delta(0, "thinking_delta", thinking="🌊"),
    wire.delta(0, "signature_delta", signature="c2lnbmF0dXJl"),
    wire.closed(0),
]
REDACTED = [wire.opened(1, {"type": "redacted_thinking", "data": "ZGF0YQ=="}), wire.closed(1)]
CACHED = {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}}
CACHED |= {
    "usage": {"output_tokens": 42, "input_tokens": 7, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 1}
}
PAGE = {"type": "page_location", "cited_text": "Größe", "document_index": 0, "document_title": "Höhe.pdf"}
PAGE |= {"start_page_number": 2, "end_page_number": 3, "file_id": None}
WEB = {"type": "web_search_result_location", "url": "https://example.org/h", "title": "Höhe", "cited_text": "hoch"}
WEB |= {"encrypted_index": "RW8="}
RAN = {"type": "code_execution_tool_result", "tool_use_id": "srvtoolu_2", "caller": None}
RAN |= {"content": {"type": "code_execution_result", "stdout": "1\n", "stderr": "", "return_code": 0, "content": []}}
FETCHED = {"type": "web_fetch_tool_result", "tool_use_id": "srvtoolu_3"}
FETCHED |= {"content": {"type": "web_fetch_tool_result_error", "error_code": "url_not_accessible"}}
FROM_CODE = {"type": "tool_use", "id": "toolu_3", "name": "read", "input": {"path": "/"}}
FROM_CODE |= {"caller": {"type": "code_execution_20260120", "tool_id": "srvtoolu_2"}}
SONNET = wire.start("claude-sonnet-5")
RECORDINGS: dict[str, bytes] = {
    "text": wire.encode(
        SONNET, {"type": "ping"}, *wire.text_block(0, "Größe 日本 🌊 done\n"), *wire.finish("end_turn")
    ),
    "thinking": wire.encode(SONNET, *THINKING, *REDACTED, *wire.text_block(2, "So."), *wire.finish("stop_sequence")),
    "tools": wire.encode(
        SONNET,
        *wire.text_block(0, "Looking."),
        *wire.tool_block(1, "read", '{"path": "/höhe", "deep": {"n": [1, 2.5, null]}}', "toolu_1"),
        *wire.tool_block(2, "now", "", "toolu_2"),
        *wire.finish("tool_use"),
    ),
    "cached": wire.encode(SONNET, *wire.text_block(0, "x"), CACHED, {"type": "message_stop"}),
    "empty": wire.encode(SONNET, *wire.finish("refusal")),
    "cited": wire.encode(
        SONNET, *wire.cited_block(0, "Größe 🌊.", PAGE, WEB), *wire.text_block(1, "And."), *wire.finish("end_turn")
    ),
    "searched": wire.encode(
        SONNET,
        *wire.text_block(0, "I search."),
        *wire.search_blocks(1, "höhe 🌊"),
        *wire.cited_block(3, "Found.", WEB),
        *wire.finish("pause_turn", searches=1),
    ),
    "ran code": wire.encode(
        SONNET,
        wire.opened(
            0, {"type": "server_tool_use", "id": "srvtoolu_2", "name": "code_execution", "input": {"code": "1"}}
        ),
        wire.closed(0),
        wire.opened(1, RAN),
        wire.closed(1),
        *wire.finish("end_turn"),
    ),
    "fetched": wire.encode(SONNET, wire.opened(0, FETCHED), wire.closed(0), *wire.finish("end_turn")),
    "called from code": wire.encode(SONNET, wire.opened(0, FROM_CODE), wire.closed(0), *wire.finish("tool_use")),
}
_blocks: TypeAdapter[tuple[ContentBlock, ...]] = TypeAdapter(tuple[ContentBlock, ...])


@pytest.mark.parametrize("piece_bytes", [0, 1, 37])
@pytest.mark.parametrize("name", RECORDINGS)
async def test_the_result_is_the_sdks_own(
    server: MessagesServer, client: AnthropicClient, name: str, piece_bytes: int
) -> None:
    server.recordings, server.piece_bytes = RECORDINGS, piece_bytes
    async with anthropic.AsyncAnthropic(api_key=KEY, base_url=server.base_url, max_retries=0) as sdk:
        message: Any = {"role": "user", "content": "Why?"}
        async with sdk.messages.stream(model=name, max_tokens=99, messages=[message]) as stream:
            theirs = await stream.get_final_message()
    ours = await completed(client, asking(name))
    assert _plain(ours.content) == _plain(
        _blocks.validate_python([_without_nulls(b.to_dict()) for b in theirs.content])
    )
    assert (ours.stop_reason, ours.model) == (theirs.stop_reason, theirs.model)
    assert ours.usage.input_tokens == theirs.usage.input_tokens
    assert ours.usage.output_tokens == theirs.usage.output_tokens
    assert ours.usage.cache_read_tokens == (theirs.usage.cache_read_input_tokens or 0)
    assert ours.usage.cache_write_tokens == (theirs.usage.cache_creation_input_tokens or 0)
    assert ours.usage.web_searches == getattr(theirs.usage.server_tool_use, "web_search_requests", 0)
    assert ours.usage.cost_usd > 0


def _plain(content: tuple[ContentBlock, ...]) -> list[Any]:
    return [_without_nulls(block.model_dump()) for block in content]


def _without_nulls(value: Any) -> Any:
    """The SDK writes absent fields as null, and may leave out those that were."""
    if isinstance(value, dict):
        kept = {key: _without_nulls(item) for key, item in value.items() if item is not None}
        return {key: item for key, item in kept.items() if key != "parsed_output"}
    return [_without_nulls(item) for item in value] if isinstance(value, list | tuple) else value


async def test_the_request_says_what_was_asked(server: MessagesServer, client: AnthropicClient) -> None:
    history = (
        user("Why?"),
        Message(role="assistant", content=(ThinkingBlock(thinking="unsigned"), TextBlock(text=""))),
        Message(
            role="assistant",
            content=(ThinkingBlock(thinking="hm", signature="s"), ToolUseBlock(id="t", name="read", input={"a": 1})),
        ),
        Message(role="user", content=(ToolResultBlock(tool_use_id="t", content="no", is_error=True),)),
    )
    await play(
        client, ModelRequest("m", "Be brief.", history, tools=(SEARCH,), tool_choice="search_documents", max_tokens=9)
    )
    body = server.calls[0].body
    assert _unmarked(body["messages"]) == [
        {"role": "user", "content": [{"type": "text", "text": "Why?"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "tool_use", "id": "t", "name": "read", "input": {"a": 1}},
            ],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "no", "is_error": True}]},
    ]
    assert body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    assert body["tool_choice"] == {"type": "tool", "name": "search_documents"}
    assert (body["stream"], body["max_tokens"]) == (True, 9)
    assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"


def _unmarked(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    bare = [{k: v for k, v in block.items() if k != "cache_control"} for m in messages for block in m["content"]]
    return [m | {"content": [bare.pop(0) for _ in m["content"]]} for m in messages]


async def test_tools_off_keeps_the_tools_and_says_none(server: MessagesServer, client: AnthropicClient) -> None:
    await play(client, asking("m", tools=(SEARCH,), tool_choice="none"))
    assert server.calls[0].body["tool_choice"] == {"type": "none"}
    assert server.calls[0].body["tools"][0]["name"] == "search_documents"


async def test_a_schema_is_sent_closed_and_answered_with_json(server: MessagesServer, client: AnthropicClient) -> None:
    schema = Plan.model_json_schema()
    end = await completed(client, asking("m", output_schema=schema))
    sent = server.calls[0].body["output_config"]["format"]
    assert sent["type"] == "json_schema"
    assert sent["schema"]["additionalProperties"] is False
    assert sent["schema"]["$defs"]["Todo"]["additionalProperties"] is False
    assert schema == Plan.model_json_schema()
    assert [todo.agent for todo in Plan.model_validate_json(end.content[0].text).todos] == ["research", "writing"]  # type: ignore[union-attr]


async def test_a_schema_the_api_cannot_take_is_rejected_before_it_is_sent(
    server: MessagesServer, client: AnthropicClient
) -> None:
    with pytest.raises(errors.ModelRequestRejected, match="output schema"):
        await play(client, asking("m", output_schema={"properties": {}}))
    assert server.calls == []


async def test_the_fake_assistant_calls_its_tool_once(client: AnthropicClient) -> None:
    end = await completed(client, asking("m", tools=(SEARCH,)))
    call = end.content[-1]
    assert isinstance(call, ToolUseBlock)
    assert (end.stop_reason, call.input) == ("tool_use", {"query": "Why?"})


async def test_a_server_of_ones_own_needs_no_key(server: MessagesServer) -> None:
    keyless = AnthropicClient("", server.base_url, SystemClock())
    await play(keyless, asking("m"))
    await keyless.aclose()
    assert server.calls[0].headers["authorization"] == "Bearer none"


@pytest.mark.parametrize(
    ("key", "url", "words"),
    [
        ("", "", "ANTHROPIC_API_KEY"),
        ("sk-one\nsk-two", "", "ANTHROPIC_API_KEY"),
        ("k", "localhost:11434", "ANTHROPIC_BASE_URL"),
        ("k", "http://", "ANTHROPIC_BASE_URL"),
        ("k", "http://x:port", "ANTHROPIC_BASE_URL"),
    ],
)
def test_settings_that_cannot_work_are_named(key: str, url: str, words: str) -> None:
    with pytest.raises(errors.ConfigurationError, match=words) as caught:
        AnthropicClient(key, url, SystemClock())
    assert "sk-" not in caught.value.message


async def test_the_environment_is_not_read(server: MessagesServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("ANTHROPIC_AUTH_TOKEN", "other")
    client = AnthropicClient(KEY, server.base_url, SystemClock())
    await play(client, asking("m"))
    await client.aclose()
    assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"


async def test_the_provider_counts_what_it_would_read(server: MessagesServer, client: AnthropicClient) -> None:
    schema = {"type": "object", "properties": {}}
    options = ModelOptions(stop_sequences=("END",), thinking="adaptive", extra_body={"top_k": 5})
    counted = await client.count(asking("m", tools=(SEARCH,), output_schema=schema, options=options))
    (call,) = server.calls
    assert call.path == "/v1/messages/count_tokens"
    assert call.body.keys() == {"model", "messages", "system", "tools", "thinking", "output_config"}
    assert counted is not None
    assert 0 < counted < len(str(call.body))


@pytest.mark.parametrize("reason", ["no such path", "no server"])
async def test_a_count_that_does_not_come_is_no_error(
    server: MessagesServer, client: AnthropicClient, reason: str
) -> None:
    server.counts = False
    if reason == "no server":
        await server.__aexit__()
    assert await client.count(asking("m")) is None
    assert client.counts.snapshot() == {"llm.not_counted": 1}


async def test_options_and_server_tools_arrive_in_the_body(server: MessagesServer, client: AnthropicClient) -> None:
    options = ModelOptions(stop_sequences=("END",), thinking=1024, extra_body={"top_k": 5}, parallel_tool_calls=False)
    await play(client, asking("m", tools=(SEARCH,), server_tools=("web_search",), options=options))
    body = server.calls[0].body
    assert (body["stop_sequences"], body["top_k"]) == (["END"], 5)
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 1024}
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert body["tools"][1]["type"] == "web_search_20260318"
