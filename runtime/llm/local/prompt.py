"""What the model reads: the conversation as lines a chat template takes, with the tools on offer described in words.

Tools are described by us and not by the model's template: templates differ, some drop tools silently (issue 2).
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from runtime.llm.local.engine import Job, Line
from runtime.llm.local.grammar import MARK, Form, grammar_of
from runtime.llm.local.wire import Content, Foreign, MessagesRequest, Text, Thinking, ToolResult, ToolUse, WireTool


def job_of(request: MessagesRequest, form: Form) -> Job:
    """The job for ``request``, whose answer takes ``form``."""
    lines = [Line(message.role, _said(message.blocks())) for message in request.messages]
    system = "\n\n".join(part for part in (request.system_text(), _rules(form)) if part)
    if system:
        lines.insert(0, Line("system", system))
    job = Job(tuple(_joined(lines)), request.max_tokens, grammar_of(form))
    given: dict[str, Any] = {"temperature": request.temperature, "top_p": request.top_p, "top_k": request.top_k}
    return replace(job, **{name: value for name, value in given.items() if value is not None})


def _said(blocks: tuple[Content, ...]) -> str:
    return "\n\n".join(part for part in map(_words, blocks) if part)


def _words(block: Content) -> str:
    match block:
        case Text():
            return block.text
        case ToolUse():
            return f"{MARK}{block.name}]{json.dumps(block.input, ensure_ascii=False)}"
        case ToolResult():
            return f"{'Error' if block.is_error else 'Result'} of the call:\n{block.text()}"
        case Thinking() | Foreign():
            return ""


def _rules(form: Form) -> str:
    """The words that tell the model what the grammar will enforce; it writes better when it knows."""
    if tool := form.forced:
        return f"Write the JSON arguments of a call of {_described(tool)}"
    parts = []
    if form.calls:
        parts.append("You can call a tool by answering with one line and nothing else:")
        parts += [f"{MARK}{tool.name}]{{...}} with the JSON arguments of {_described(tool)}" for tool in form.calls]
    if form.schema is not None:
        parts.append(f"Answer with one JSON object that fits this JSON Schema: {json.dumps(form.schema)}")
    return "\n".join(parts)


def _described(tool: WireTool) -> str:
    schema = {key: value for key, value in tool.input_schema.items() if key in ("properties", "required", "$defs")}
    return f"{tool.name}: {tool.description} Arguments: {json.dumps(schema)}"


def _joined(lines: list[Line]) -> list[Line]:
    """Neighbouring lines of one role as one: many templates insist that roles alternate."""
    joined: list[Line] = []
    for line in lines:
        if joined and joined[-1].role == line.role:
            joined[-1] = Line(line.role, f"{joined[-1].content}\n\n{line.content}")
        else:
            joined.append(line)
    return joined
