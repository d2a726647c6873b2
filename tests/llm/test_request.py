"""What the arguments of a call are made of: blocks as they came, options, the provider's own tools, cache marks."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from pydantic import ValidationError

from runtime import errors
from runtime.agents.spec import AgentSpec
from runtime.events import catalog as ev
from runtime.events.codec import decode, encode
from runtime.events.envelope import Draft, Stored
from runtime.events.messages import (
    ContentBlock,
    Conversation,
    DocumentBlock,
    ImageBlock,
    Message,
    OpaqueBlock,
    ServerToolUseBlock,
    TextBlock,
    ToolResultBlock,
    ToolUseBlock,
    Usage,
    user,
)
from runtime.llm.accumulate import Accumulator
from runtime.llm.client import Chunk, ModelRequest, ToolSpec
from runtime.llm.options import ModelOptions
from runtime.llm.request import render
from runtime.llm.request_size import IMAGE_TOKENS, is_countable, request_bytes, size_bound
from runtime.llm.sse_decode import ServerSentEvent
from runtime.telemetry import Counts
from tests.fakes import messages_wire as wire

READ = ToolSpec("read", "Reads", {"type": "object", "properties": {}})
SEARCHED = ServerToolUseBlock(id="srvtoolu_1", name="web_search", input={"query": "q"})


def sent(*messages: Message, model: str = "m", **more: Any) -> dict[str, Any]:
    return render(ModelRequest(model, "Be brief.", messages, **more), lambda schema: schema)


def said(*blocks: ContentBlock) -> Message:
    return Message(role="assistant", content=blocks)


def through_the_log(*content: ContentBlock) -> tuple[ContentBlock, ...]:
    turn = ev.TurnCompleted(content=content, stop_reason="end_turn", usage=Usage(), model="m")
    record = encode(Draft(turn), "run", 1.0)
    read = decode(Stored(1, 1, record.type, record.family, None, record.body)).event
    assert isinstance(read, ev.TurnCompleted)
    return read.content


def test_every_block_of_a_streamed_answer_goes_back_as_it_came_by_way_of_the_log() -> None:
    cited = {"type": "web_search_result_location", "url": "https://example.org", "encrypted_index": "RW8="}
    hologram = {"type": "hologram", "light": {"rays": [1, 2.5, None]}}
    events = [wire.start("m"), *wire.search_blocks(0, "é🌊"), *wire.cited_block(2, "So.", cited)]
    events += [wire.opened(3, hologram), wire.closed(3), *wire.finish("end_turn")]
    folded = Accumulator("m", Counts())
    for event in events:
        folded.feed(ServerSentEvent(event["type"], json.dumps(event).encode()))
    content = sent(user("Why?"), said(*through_the_log(*folded.completed().content)), user("More"))["messages"][1][
        "content"
    ]
    found = next(
        e["content_block"] for e in events if e.get("content_block", {}).get("type") == "web_search_tool_result"
    )
    assert content == [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "é🌊"}},
        found,
        {"type": "text", "text": "So.", "citations": [cited]},
        hologram,
    ]


def test_an_old_log_without_the_new_fields_still_decodes_and_writes_the_same_bytes() -> None:
    old = b'{"run_id":"run","family":"object","type":"turn.completed","at":1.0,"data":{"content":[{"type":"text","text":"x"},'
    old += b'{"type":"tool_use","id":"c","name":"t","input":{}},{"type":"tool_result","tool_use_id":"c","content":"r",'
    old += b'"is_error":false}],"stop_reason":"end_turn","usage":{"input_tokens":1,"output_tokens":2,"cache_read_tokens":0,'
    old += b'"cache_write_tokens":0,"cost_usd":0.0},"model":"m","truncated":false,"released_cost_usd":0.0}}'
    event = decode(Stored(1, 1, "turn.completed", "object", None, old)).event
    assert encode(Draft(event), "run", 1.0).body == old


def test_pictures_and_documents_are_sent_in_questions_and_in_results() -> None:
    picture = ImageBlock(source={"type": "base64", "media_type": "image/png", "data": "iVBO"})
    paper = DocumentBlock(source={"type": "url", "url": "https://example.org/a.pdf"}, title="A")
    result = ToolResultBlock(tool_use_id="c", content=(TextBlock(text="Look:"), picture))
    ask = Message(role="user", content=(picture, paper, TextBlock(text="Why?")))
    messages = sent(ask, said(ToolUseBlock(id="c", name="read", input={})), Message(role="user", content=(result,)))
    first, _, last = messages["messages"]
    assert first["content"][:2] == [
        {"type": "image", "source": picture.source},
        {"type": "document", "source": paper.source, "title": "A"},
    ]
    assert [part["type"] for part in last["content"][0]["content"]] == ["text", "image"]


def test_a_tool_of_the_providers_that_never_answered_goes_back_only_where_the_provider_goes_on() -> None:
    """After a pause it goes on with it; anywhere else the API refuses a use without its result."""
    paused = sent(user("Why?"), said(TextBlock(text="I search."), SEARCHED))["messages"][-1]["content"]
    assert [block["type"] for block in paused] == ["text", "server_tool_use"]
    cut = sent(user("Why?"), said(TextBlock(text="I search."), SEARCHED), user("Go on"))["messages"][1]["content"]
    assert [block["type"] for block in cut] == ["text"]
    answer = OpaqueBlock.model_validate({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": []})
    whole = sent(user("Why?"), said(SEARCHED, answer), user("Go on"))["messages"][1]["content"]
    assert [block["type"] for block in whole] == ["server_tool_use", "web_search_tool_result"]


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"thinking": "off"}, {"thinking": {"type": "disabled"}}),
        ({"thinking": "adaptive"}, {"thinking": {"type": "adaptive"}}),
        ({"thinking": 2048}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        ({"stop_sequences": ("END",)}, {"stop_sequences": ["END"]}),
        ({"extra_body": {"top_k": 5}}, {"extra_body": {"top_k": 5}}),
        ({"parallel_tool_calls": False}, {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}),
    ],
)
def test_options_are_sent_as_the_api_names_them(options: dict[str, Any], expected: dict[str, Any]) -> None:
    names = ("thinking", "stop_sequences", "extra_body", "tool_choice")
    arguments = sent(user("Why?"), tools=(READ,), options=ModelOptions(**options))
    assert {name: arguments[name] for name in names if name in arguments} == expected


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("any", {"type": "any", "disable_parallel_tool_use": True}),
        ("read", {"type": "tool", "name": "read", "disable_parallel_tool_use": True}),
        ("none", {"type": "none"}),
    ],
)
def test_a_choice_of_tools_is_sent_with_whether_calls_may_be_parallel(choice: str, expected: dict[str, Any]) -> None:
    arguments = sent(user("?"), tools=(READ,), tool_choice=choice, options=ModelOptions(parallel_tool_calls=False))
    assert arguments["tool_choice"] == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"thinking": 1000}, "1024"),
        ({"thinking": 4096}, "less than max_tokens"),
        ({"thinking": "adaptive", "tool_choice": "any"}, "cannot be made"),
        ({"extra_body": {"model": "dearer"}}, "may not name model"),
        ({"stop_sequences": (" ",)}, "pattern"),
        ({"temperature": 1}, "Extra inputs"),
    ],
)
def test_options_that_cannot_work_are_refused_where_the_agent_is_defined(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AgentSpec(name="a", description="d", instructions="i", options=options, max_tokens=4096)


def test_a_schema_goes_together_with_tools() -> None:
    schema = {"type": "object", "properties": {}}
    arguments = sent(user("?"), tools=(READ,), output_schema=schema)
    assert arguments["output_config"]["format"] == {"type": "json_schema", "schema": schema}
    assert arguments["tools"][0]["name"] == "read"


def test_the_providers_own_tools_stand_after_ours_with_a_bound_on_their_use() -> None:
    tools = sent(user("?"), tools=(READ,), server_tools=("web_search", "web_fetch", "code_execution"))["tools"]
    assert [tool["name"] for tool in tools] == ["read", "web_search", "web_fetch", "code_execution"]
    assert [tool.get("max_uses") for tool in tools] == [None, 3, 3, None]
    assert all(tool["type"].startswith(f"{tool['name']}_20") for tool in tools[1:])


# --- cache marks ------------------------------------------------------------------------------------------------------

CALL = said(ToolUseBlock(id="c", name="read", input={}))
RESULT = Message(role="user", content=(ToolResultBlock(tool_use_id="c", content="x" * 5000),))


def marks(arguments: dict[str, Any]) -> list[str]:
    """Where marks stand: ``s`` for the system prompt, and ``message.block``."""
    found = ["s" for block in arguments["system"] if "cache_control" in block]
    for at, message in enumerate(arguments["messages"]):
        found += [f"{at}.{n}" for n, block in enumerate(message["content"]) if "cache_control" in block]
    return found


def test_each_turn_marks_its_end_and_where_the_turn_before_ended() -> None:
    turns: list[Conversation] = [(user("?"),), (user("?"), CALL, RESULT), (user("?"), CALL, RESULT, CALL, RESULT)]
    assert [marks(sent(*turn, tools=(READ,))) for turn in turns] == [
        ["s", "0.0"],
        ["s", "0.0", "2.0"],
        ["s", "2.0", "4.0"],
    ]


def test_a_conversation_that_does_not_go_on_is_not_written_to_the_cache() -> None:
    assert marks(sent(user("?"))) == ["s"]
    assert marks(sent(user("?"), CALL, RESULT, tools=(READ,), tool_choice="none")) == ["s"]


def test_nothing_is_marked_below_the_length_that_a_model_caches() -> None:
    assert marks(sent(user("?"), tools=(READ,), model="claude-haiku-4-5")) == []
    assert marks(sent(user("?"), CALL, RESULT, tools=(READ,), model="claude-haiku-4-5")) == ["s", "0.0", "2.0"]


def test_marks_leave_the_schemas_and_the_conversation_as_they_are() -> None:
    conversation = (user("?"), CALL, RESULT)
    before = [message.model_dump_json() for message in conversation]
    sent(*conversation, tools=(READ,))
    assert [message.model_dump_json() for message in conversation] == before
    assert "cache_control" not in json.dumps(READ.input_schema)


# --- how large --------------------------------------------------------------------------------------------------------


def test_a_picture_counts_by_what_it_is_and_not_by_its_bytes() -> None:
    large = ImageBlock(source={"type": "base64", "media_type": "image/png", "data": "A" * 10**6})
    asked = Message(role="user", content=(large, TextBlock(text="?")))
    result = Message(role="user", content=(ToolResultBlock(tool_use_id="c", content=(large,)),))
    size = request_bytes(ModelRequest("m", "", (asked, CALL, result)))
    assert 2 * IMAGE_TOKENS < size < 2 * IMAGE_TOKENS + 1000


def test_only_the_provider_can_say_how_long_a_pdf_is() -> None:
    def countable(**source: str) -> bool:
        return is_countable(ModelRequest("m", "", (Message(role="user", content=(DocumentBlock(source=source),)),)))

    assert countable(type="text", media_type="text/plain", data="x")
    assert not countable(type="base64", media_type="application/pdf", data="JVBE")
    assert not countable(type="url", url="https://example.org/a.pdf")


class Counting:
    """A client that counts so many tokens, and makes no turns."""

    def __init__(self, tokens: int | None) -> None:
        self.tokens, self.asked = tokens, 0

    async def count(self, request: ModelRequest) -> int | None:
        self.asked += 1
        return self.tokens

    def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        raise NotImplementedError

    async def aclose(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize(
    ("model", "counted", "bound"),
    [("claude-haiku-4-5", 10_000, 11_000), ("claude-haiku-4-5", None, 200_000), ("unknown", 10_000, 11_000)],
)
async def test_for_a_pdf_the_provider_is_asked_and_else_its_whole_window_is_held(
    model: str, counted: int | None, bound: int
) -> None:
    paper = DocumentBlock(source={"type": "base64", "media_type": "application/pdf", "data": "JVBE"})
    client = Counting(counted)
    assert await size_bound(client, ModelRequest(model, "", (Message(role="user", content=(paper,)),))) == bound
    assert await size_bound(client, ModelRequest(model, "", (user("?"),))) < 1000
    assert client.asked == 1


def test_a_schema_that_cannot_be_put_is_refused_also_with_tools() -> None:
    def refusing(schema: dict[str, Any]) -> dict[str, Any]:
        raise ValueError("open type")

    with pytest.raises(errors.ModelRequestRejected, match="output schema"):
        render(ModelRequest("m", "", (user("?"),), tools=(READ,), output_schema={}), refusing)
