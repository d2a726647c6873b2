"""Guidance for weights too small to follow instructions: SmolLM2-135M-Instruct, tried on two to eight questions each.

Found out with the real weights, and the reason for each rule:

- system prompts written for large models, tags and long tool descriptions make it ramble: it gets one line, two worked
  examples as earlier turns, and the question as ``Question: ...``;
- left to choose, it answered from its head instead of calling a tool (two of two tries): the first tool on offer is
  forced until a result is in the conversation, then none is offered;
- its own paragraphs on given passages were wrong or ran in circles in all of 18 tries (three prompts, with and without a
  repeat penalty, three questions): so after a search it may only choose whole sentences of the results, with their marks.
  It selects, and cannot invent.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace

from runtime.events import brief
from runtime.llm.local.engine import Job, Line
from runtime.llm.local.grammar import Form, form_of, grammar_of
from runtime.llm.local.prompt import job_of
from runtime.llm.local.wire import MessagesRequest, Text

TEMPERATURE = 0.1
"""The value the prompts here were tried with; higher ones were not compared. 0 would not be bit-stable either (issue 2)."""
EXAMPLES: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    "title": (
        "Write a short title for the question. At most six words.",
        (
            ("How do bees find their way home?", "How bees navigate"),
            ("What is the tax rate on cars?", "Car tax rate"),
        ),
    ),
    "query": (
        "Write key words to search for.",
        (
            ("How do bees find their way home?", "bees navigation home"),
            ("What is the tax rate on cars?", "car tax rate"),
        ),
    ),
}
"""Property to be written -> system prompt and worked examples."""
LONGEST_PHRASE = 64
"""Characters of a title or query: it seldom stops by itself."""
NOTHING = "The search found no sentence that could be quoted."
PASSAGE_CHARACTERS = 2400
"""Of results shown to the model: about 600 tokens, six seconds of prefill on one core."""
SENTENCES = 12
"""Offered for quoting, from the best results down."""
_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'`(])")
_HEADER = re.compile(r"\[(\d+)\] .+ \| ")
"""What a passage of a search result begins with."""
_MARKUP = re.compile(r"^\s*(<|\[\d|#|\||```|[-*] *$|\{|\})")


def guided_form(request: MessagesRequest) -> Form:
    """The shapes an answer may take, narrower than the request allows (the module's rules)."""
    form = form_of(request)
    if not form.calls:
        return form
    if request.tool_choice.type == "auto" and request.results():
        return Form(quotes=sentences_of(request) or (NOTHING,))
    return Form(calls=form.calls[:1])


def guided_job(request: MessagesRequest, form: Form) -> Job:
    """The job for ``request`` in words the model can follow; as :func:`prompt.job_of` where there is no better way."""
    if form.quotes:
        passages = "\n".join(form.quotes)
        words = f"Text:\n{passages}\n\nQuestion: {_question(request)}\nQuote the sentences that answer the question."
        return Job(
            (Line("system", "Use only the text."), Line("user", words)),
            request.max_tokens,
            grammar_of(form),
            TEMPERATURE,
        )
    key = _phrase(form)
    if key is None:
        return job_of(request, form)
    system, examples = EXAMPLES[key]
    lines = (Line("system", system), *_worked(key, examples), Line("user", f"Question: {_question(request)}"))
    return Job(lines, request.max_tokens, grammar_of(_shortened(form, key)), TEMPERATURE)


def sentences_of(request: MessagesRequest) -> tuple[str, ...]:
    """Whole sentences of the tool results, without headings and markup, each once, from the last result back."""
    found: dict[str, None] = {}
    room = PASSAGE_CHARACTERS
    for result in reversed(request.results()):
        for sentence in () if result.is_error else _sentences(result.text()):
            room -= len(sentence)
            if room < 0 or len(found) == SENTENCES:
                return tuple(found)
            found.setdefault(sentence)
    return tuple(found)


def _sentences(text: str) -> list[str]:
    """The sentences of a tool's result, each with the mark of its passage, so that what is quoted stays cited."""
    found: list[str] = []
    for passage in text.split("\n\n"):
        header = _HEADER.match(passage)
        mark = f" [{header[1]}]" if header else ""
        prose = " ".join("" if _MARKUP.match(line) else line.strip() for line in passage.splitlines())
        sentences = _END.split(" ".join(prose.split()))
        found += [s + mark for s in sentences if 30 <= len(s) <= 320 and s[-1] in ".!?"]
    return found


def _question(request: MessagesRequest) -> str:
    """The task or question in the first user message, without the brief's tags."""
    told = "\n".join(b.text for m in request.messages[:1] for b in m.blocks() if isinstance(b, Text))
    assignment = brief.parse(told)
    return assignment.task or assignment.question


def _phrase(form: Form) -> str | None:
    """The one phrase to be written, when it is one there are examples for."""
    schema = form.forced.input_schema if form.forced else form.schema
    required = (schema or {}).get("required", [])
    known = [key for key in (schema or {}).get("properties", {}) if key in EXAMPLES and key in required]
    return known[0] if len(known) == 1 and len(required) == 1 else None


def _worked(key: str, examples: tuple[tuple[str, str], ...]) -> tuple[Line, ...]:
    pairs = (
        (Line("user", f"Question: {q}"), Line("assistant", json.dumps({key: a}, separators=(",", ":"))))
        for q, a in examples
    )
    return tuple(line for pair in pairs for line in pair)


def _shortened(form: Form, key: str) -> Form:
    """The form with that phrase only, and a length the model will not exceed."""
    phrase = {"type": "string", "minLength": 3, "maxLength": LONGEST_PHRASE}
    schema = {"type": "object", "properties": {key: phrase}, "required": [key], "additionalProperties": False}
    if form.forced:
        return Form(calls=(form.forced.model_copy(update={"input_schema": schema}),))
    return replace(form, schema=schema)
