"""Two questions to the configured model: does it obey a forced tool call, and does it keep to an output schema?

Servers that are merely compatible with the Messages API may ignore both without a word; a run would then fail late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import jsonschema
import orjson

from runtime.cli.check import Check
from runtime.errors import HeadraceError, ModelError, ModelUnauthorized, ModelUnreachable
from runtime.events.messages import text_of, tool_uses, user
from runtime.llm.client import Completed, ModelClient, ModelRequest, ToolSpec

TIMEOUT_S = 60.0
SYSTEM = "You are being tested. Do exactly what you are asked."
TOOL = ToolSpec(
    name="search_documents",
    description="Search the documents.",
    input_schema={
        "type": "object",
        "properties": {"query": {"type": "string", "description": "What to look for"}},
        "required": ["query"],
    },
)
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}},
    "required": ["title"],
    "additionalProperties": False,
}


async def probe(client: ModelClient, model: str) -> list[Check]:
    """The two checks; never raises for what the model does. Closes the client."""
    try:
        return [await _timed("tool call", _tool_call, client, model), await _timed("schema", _schema, client, model)]
    finally:
        await client.aclose()


async def _timed(
    name: str, ask: Callable[[ModelClient, str], Awaitable[str | None]], client: ModelClient, model: str
) -> Check:
    began = time.monotonic()
    try:
        problem = await asyncio.wait_for(ask(client, model), TIMEOUT_S)
    except TimeoutError:
        return Check(name, "fail", f"{model} did not answer within {TIMEOUT_S:.0f} s", "is the server overloaded?")
    except HeadraceError as error:
        return Check(name, "fail", f"{model}: {error.message}", _mend(error))
    if problem:
        return Check(name, "fail", f"{model}: {problem}", "choose a model or a server that supports it")
    return Check(name, "ok", f"{model} answered in {time.monotonic() - began:.1f} s")


async def _tool_call(client: ModelClient, model: str) -> str | None:
    """What is wrong with the answer to a forced tool call; None when all is well."""
    ask = "Search the documents for the word lease."
    request = ModelRequest(
        model, SYSTEM, (user(ask),), tools=(TOOL,), tool_choice=TOOL.name, max_tokens=256, agent="research"
    )
    done = await _last(client, request)
    if done.invalid_calls:
        return f"the tool call's arguments are no JSON: {done.invalid_calls[0].problem}"
    calls = tool_uses(done.content)
    if not calls:
        return "it answered in words although a tool call was demanded (tool_choice is ignored)"
    return _misfit(calls[0].input, TOOL.input_schema)


async def _schema(client: ModelClient, model: str) -> str | None:
    """What is wrong with the answer to an output schema; None when all is well."""
    ask = "Give a title for this question: How does a river cross a road?"
    request = ModelRequest(model, SYSTEM, (user(ask),), output_schema=SCHEMA, max_tokens=256, agent="titler")
    done = await _last(client, request)
    try:
        return _misfit(orjson.loads(text_of(done.content)), SCHEMA)
    except orjson.JSONDecodeError:
        return "it answered in words although a schema was given (output schemas are ignored)"


async def _last(client: ModelClient, request: ModelRequest) -> Completed:
    async with aclosing(client.stream(request)) as chunks:
        async for chunk in chunks:
            if isinstance(chunk, Completed):
                return chunk
    raise ModelError("the stream ended without a complete message")


def _misfit(value: object, schema: dict[str, object]) -> str | None:
    try:
        jsonschema.validate(value, schema)
    except jsonschema.ValidationError as error:
        return f"the answer does not fit its schema: {error.message}"
    return None


def _mend(error: HeadraceError) -> str:
    if isinstance(error, ModelUnauthorized):
        return "set ANTHROPIC_API_KEY to a valid key"
    if isinstance(error, ModelUnreachable):
        return "check the network and ANTHROPIC_BASE_URL, or use --model offline"
    return "trying again may help" if error.retryable else "check the model's name and settings"
