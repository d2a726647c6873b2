"""What an answer may look like: tool choice and output schema, made into a grammar llama.cpp enforces token by token.

The grammars are llguidance's (Lark with ``%json``). llama.cpp ignores one it cannot compile and says so only on stderr,
so :mod:`runtime.llm.local.turn` checks the first character of what must be an object. Keywords llguidance does not
know are left out (``lenient``): the shape is enforced here, the rest by whoever validates the answer. Free white space
is not allowed between tokens, because small models fill it until their tokens run out.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runtime.errors import ModelRequestRejected
from runtime.llm.local.wire import MessagesRequest, WireTool

MARK = "[call "
"""How a call begins where text is possible as well: ``[call search]{"query":"bees"}``."""


@dataclass(frozen=True, slots=True)
class Form:
    """The shapes an answer may take. At least one of calls, text, schema and quotes is possible."""

    calls: tuple[WireTool, ...] = ()
    """Tools that may be called."""
    text: bool = False
    """Whether free text is possible."""
    schema: dict[str, Any] | None = None
    """A JSON object of this schema is possible."""
    quotes: tuple[str, ...] = ()
    """One to three of these sentences, in their order, are possible."""

    @property
    def forced(self) -> WireTool | None:
        """The one tool that must be called: then the whole answer is its arguments, without a mark."""
        only_call = len(self.calls) == 1 and not (self.text or self.schema or self.quotes)
        return self.calls[0] if only_call else None


def form_of(request: MessagesRequest) -> Form:
    """The shapes ``request`` asks for. Raises :class:`ModelRequestRejected` when it asks for the impossible."""
    choice = request.tool_choice
    schema = request.output_config.format.schema_ if request.output_config.format else None
    if choice.type in ("any", "tool"):
        calls = tuple(tool for tool in request.tools if choice.type == "any" or tool.name == choice.name)
        if not calls:
            raise ModelRequestRejected(f"tool_choice: no tool named {choice.name!r} is on offer")
        return Form(calls=calls)
    calls = () if choice.type == "none" else request.tools
    return Form(calls=calls, text=schema is None, schema=schema)


def grammar_of(form: Form) -> str | None:
    """The grammar for ``form``; None when nothing needs enforcing."""
    if form.text and not form.calls:
        return None
    rules: list[str] = []
    starts: list[str] = []
    mark = form.forced is None
    for number, tool in enumerate(form.calls):
        prefix = f"{_literal(f'{MARK}{tool.name}]')} " if mark else ""
        rules += [f"call{number}: {prefix}args{number}", f"args{number}: {_json(tool.input_schema)}"]
        starts.append(f"call{number}")
    if form.schema is not None:
        rules.append(f"object: {_json(form.schema)}")
        starts.append("object")
    if form.quotes:
        rules += _quotes(form.quotes)
        starts.append("quotes")
    if form.text:
        rules.append(r"text: /[^\[](.|\n)*/")
        starts.append("text")
    return "\n".join(["%llguidance {}", f"start: {' | '.join(starts)}", *rules, ""])


QUOTED = 3
"""Sentences in one answer of quotes: what a person reads at a glance."""


def _quotes(sentences: Sequence[str]) -> list[str]:
    """Rules for one to three of ``sentences``: each rule ``q<i>_<j>`` is sentence i with up to j more after it."""
    rules = [f"s{i}: {_literal(text)}" for i, text in enumerate(sentences)]
    last = len(sentences) - 1
    for i in range(len(sentences)):
        for more in range(QUOTED):
            later = " | ".join(f"q{k}_{more - 1}" for k in range(i + 1, last + 1)) if more else ""
            rules.append(f'q{i}_{more}: s{i} ("\\n" ({later}))?' if later else f"q{i}_{more}: s{i}")
    return [f"quotes: {' | '.join(f'q{i}_{QUOTED - 1}' for i in range(last + 1))}", *rules]


def _literal(text: str) -> str:
    """A Lark string: JSON's escapes are a subset of its own."""
    return json.dumps(text, ensure_ascii=False)


def _json(schema: dict[str, Any]) -> str:
    return "%json " + json.dumps(schema | {"x-guidance": {"whitespace_flexible": False, "lenient": True}})
