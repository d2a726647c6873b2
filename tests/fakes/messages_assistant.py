"""What the fake server answers when no fault is asked for: a sensible assistant for our own agents.

It looks at the output schema, the tools and the tags of the brief in the request and at nothing else, and imports
nothing of ours, so that it stays an independent reader of what is sent.
"""

from __future__ import annotations

import json
import re
from typing import Any
from xml.sax.saxutils import unescape

from tests.fakes import messages_wire as wire

Json = dict[str, Any]


def answer(body: Json, words: int = 0, calls: int = 0) -> tuple[list[wire.Event], str]:
    """The events of the content blocks, and the stop reason. ``words`` over 0 asks for a text of that length.

    ``calls`` over 0 asks for the call with that number, whatever was called before.
    """
    schema = body.get("output_config", {}).get("format", {}).get("schema")
    if schema is not None:
        return wire.text_block(0, json.dumps(fitting(schema, body))), "end_turn"
    if calls and body.get("tools") and body.get("tool_choice", {}).get("type") != "none":
        name, given = body["tools"][0]["name"], json.dumps({"query": f"number {calls}"})
        return wire.tool_block(0, name, given, f"toolu_fake_{calls}"), "tool_use"
    if call := tool_call(body):
        say = wire.text_block(0, "Let me look that up.")
        return [*say, *wire.tool_block(1, call[0], json.dumps(call[1]), call_id(body))], "tool_use"
    return wire.text_block(0, paragraph(body, words)), "end_turn"


def question(body: Json) -> str:
    text = first_text(body)
    found = re.search(r"<question>(.*?)</question>", text, re.DOTALL)
    return unescape(found[1]) if found else text.strip()[:200]


def first_text(body: Json) -> str:
    texts = [t for message in body["messages"] if message["role"] == "user" for t in texts_of(message["content"])]
    return next((text for text in reversed(texts) if "<question>" in text), texts[0] if texts else "")


def texts_of(content: str | list[Json]) -> list[str]:
    if isinstance(content, str):
        return [content]
    return [block["text"] for block in content if block["type"] == "text"]


def tool_results(body: Json) -> list[Json]:
    blocks = [b for m in body["messages"] if not isinstance(m["content"], str) for b in m["content"]]
    return [block for block in blocks if block["type"] == "tool_result"]


def call_id(body: Json) -> str:
    return f"toolu_fake_{len(body['messages'])}"


def tool_call(body: Json) -> tuple[str, Json] | None:
    """The call to make: the tool that must be called, else one search as long as there is no result yet."""
    tools = {tool["name"]: tool for tool in body.get("tools", [])}
    choice = body.get("tool_choice", {"type": "auto"})
    if choice["type"] == "tool":
        return choice["name"], filled(tools[choice["name"]]["input_schema"], {}) or {}
    if choice["type"] == "none" or tool_results(body) or "search_documents" not in tools:
        return None
    return "search_documents", {"query": question(body)}


def paragraph(body: Json, words: int) -> str:
    found = len(tool_results(body))
    text = (
        f"You asked: {question(body)} Here is what I can say about it. "
        f"I looked at {found} results of tools and put the most important thing first. "
        "A stream is written down before it is shown, and so nobody ever sees what might be lost. "
        "That is all, and it comes from a fake model that was made for tests."
    )
    if not words:
        return text
    parts = text.split(" ")
    return " ".join(parts[place % len(parts)] for place in range(words))


def fitting(schema: Json, body: Json) -> Json:
    """An answer for our planner, titler or guardrail, told apart by what the schema asks for."""
    asked = question(body)
    given: Json = {"title": asked[:60] or "Untitled", "allowed": "[deny]" not in asked, "todos": plan(body)}
    given |= {"category": "none" if given["allowed"] else "test", "reason": "The fake model looked for [deny]."}
    properties = schema.get("properties", {})
    definitions = schema.get("$defs", {})
    return {name: given.get(name, filled(part, definitions)) for name, part in properties.items()}


def plan(body: Json) -> list[Json]:
    names = re.findall(r'<agent name="([^"]*)">', first_text(body)) or ["research", "writing"]
    first = "research" if "research" in names else names[0]
    last = "writing" if "writing" in names else names[-1]
    return [
        {"id": "find", "title": f"Find out: {question(body)[:200]}", "agent": first, "depends_on": []},
        {"id": "write", "title": "Write the answer", "agent": last, "depends_on": ["find"]},
    ]


def filled(schema: Json, definitions: Json) -> Any:
    """The plainest value that fits a schema."""
    if "$ref" in schema:
        return filled(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "const" in schema or schema.get("enum"):
        return schema.get("const", schema.get("enum", [None])[0])
    if schema.get("anyOf"):
        return filled(schema["anyOf"][0], definitions)
    match schema.get("type"):
        case "object":
            wanted = schema.get("required", [])
            return {name: filled(schema["properties"][name], definitions) for name in wanted}
        case "array":
            return [filled(schema["items"], definitions)] * int(schema.get("minItems", 0))
        case "string":
            return "text"
        case "integer" | "number":
            return int(schema.get("minimum", 1))
        case "boolean":
            return True
    return None
