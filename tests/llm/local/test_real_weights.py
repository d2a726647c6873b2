"""The whole way with real weights: grammar, facade, SDK. Skipped without xllamacpp or the weights."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path

import anthropic
import pytest

from runtime.llm.local.server import LocalServer
from runtime.llm.weights import default_gguf

TOOL = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
TITLE = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}


@pytest.fixture
def gguf() -> Path:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip('xllamacpp is not installed: pip install "headrace[local]"')
    given = os.environ.get("HEADRACE_TEST_GGUF")
    path = Path(given) if given else default_gguf(Path(".headrace"))
    if path is None or not path.is_file():
        pytest.skip("no weights: headrace models fetch smollm2, or set HEADRACE_TEST_GGUF")
    return path


@pytest.mark.local_model
async def test_real_weights_title_search_and_quote(gguf: Path) -> None:
    server = LocalServer(gguf, guided=True)
    address = await server.start()
    try:
        async with anthropic.AsyncAnthropic(base_url=address.base_url, api_key=address.api_key, max_retries=0) as sdk:
            await _title_search_and_quote(sdk, address.model)
    finally:
        await server.stop()


async def _title_search_and_quote(sdk: anthropic.AsyncAnthropic, model: str) -> None:
    talk: list = [{"role": "user", "content": "<question>How does the log keep events in order?</question>"}]
    ask = {"model": model, "max_tokens": 200}
    output = {"format": {"type": "json_schema", "schema": TITLE}}
    title = await sdk.messages.create(**ask, messages=talk, output_config=output)
    assert json.loads(title.content[0].text)["title"]

    tools = [{"name": "search_documents", "description": "Search.", "input_schema": TOOL}]
    call = await sdk.messages.create(**ask, messages=talk, tools=tools)
    assert call.stop_reason == "tool_use"
    assert call.content[0].input["query"]

    text = "The log gives every event the next number of its run. Two writers can never take the same number."
    used = {"type": "tool_use", "id": "t1", "name": "search_documents", "input": call.content[0].input}
    talk += [
        {"role": "assistant", "content": [used]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": text}]},
    ]
    answer = await sdk.messages.create(**ask, messages=talk, tools=tools)
    assert answer.content[0].text in (text, *text.replace(". ", ".|").split("|"))
    assert answer.usage.input_tokens > 10
