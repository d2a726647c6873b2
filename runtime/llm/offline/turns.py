"""One turn decided: from a request to words, tool calls or JSON. Pure; ``client`` streams it."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import Any

from runtime.errors import ModelRequestRejected
from runtime.events.brief import Brief, parse
from runtime.events.messages import Conversation
from runtime.llm.client import ModelRequest
from runtime.llm.offline import compose, followup, guardrail, planning, tasks, titling
from runtime.llm.offline.arrange import topic_query
from runtime.llm.offline.extract import Query, query_of
from runtime.llm.offline.passages import SEARCH, gather
from runtime.llm.offline.question import Question, understand
from runtime.llm.offline.research import chosen_units, next_step

_LIMIT_REACHED = re.compile(r"tool[- ]?call limit|limit (?:of|on) tool calls", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Turn:
    """What is said and called."""

    text: str
    calls: tuple[tuple[str, dict[str, Any]], ...] = ()
    is_json: bool = False
    """JSON of a planning agent: given whole and at once."""


def decide(request: ModelRequest) -> Turn:
    """The turn for ``request``. Raises ``ModelRequestRejected`` for an output schema of unknown shape only."""
    at, asked = _brief_in(request.messages)
    brief = followup.completed(asked)
    match _role(request):
        case "planner":
            return _json(planning.plan(brief).model_dump(mode="json"))
        case "titler":
            return _json({"title": titling.title(brief.question)})
        case "guardrail":
            verdict = guardrail.judge(asked.question)
            if verdict.allowed:  # harmless words may complete a harmful question
                verdict = guardrail.judge(brief.question)
            return _json({"allowed": verdict.allowed, "category": verdict.category, "reason": verdict.reason})
        case "research":
            return _research(request, brief, _is_over(request, at))
        case "analysis":
            return Turn(compose.analysis(brief))
    return Turn(_answer(brief, is_follow_up=brief is not asked))


def _answer(brief: Brief, *, is_follow_up: bool) -> str:
    """The answer; to a follow-up about which nothing was found, what was answered before says what it can."""
    earlier = followup.answered_before(brief) if is_follow_up and not compose.has_statements(brief) else None
    return compose.answer(brief if earlier is None else replace(brief, findings=(*brief.findings, earlier)))


def _role(request: ModelRequest) -> str:
    """Which of the six agents to act as; a user's own agent is taken by its output schema or its tools."""
    if request.agent in ("planner", "titler", "guardrail"):
        return request.agent
    if request.output_schema is not None:
        fields = request.output_schema.get("properties", {})
        for field, role in (("todos", "planner"), ("allowed", "guardrail"), ("title", "titler")):
            if field in fields:
                return role
        raise ModelRequestRejected(
            "The offline engine cannot fill this output schema; choose a language model for this agent."
        )
    if request.agent in ("research", "analysis", "writing"):
        return request.agent
    return "research" if any(tool.name == SEARCH for tool in request.tools) else "writing"


def _research(request: ModelRequest, brief: Brief, is_over: bool) -> Turn:
    topic = tasks.topic_of(brief.task, brief.question) if brief.task else understand(brief.question).text
    if not brief.has_documents and not any(tool.name == SEARCH for tool in request.tools):
        return Turn(compose.NO_DOCUMENTS)
    query = _query(topic, understand(brief.question))
    gathered = gather(request.messages)
    step = next_step(query, gathered, request.tools, may_call=not is_over)
    if step.calls:
        return Turn(step.words, step.calls)
    return Turn(compose.findings(query, chosen_units(query, gathered, compose.MOST_FOUND), gathered))


def _query(topic: str, asked: Question) -> Query:
    """A topic taken out of "What is X?" has lost its form; the question still has it."""
    if asked.form in ("compare", "several"):
        return topic_query(topic, asked)
    form = understand(topic).form
    return query_of(topic, asked.form if form == "plain" else form)


def _is_over(request: ModelRequest, brief_at: int) -> bool:
    """Whether no more tools may be called: by request, or because the executor said so after the brief."""
    if request.tool_choice == "none":
        return True
    users = [i for i, message in enumerate(request.messages) if message.role == "user"]
    last = users[-1] if users else brief_at
    return last != brief_at and bool(_LIMIT_REACHED.search(request.messages[last].text()))


def _brief_in(messages: Conversation) -> tuple[int, Brief]:
    """The place and content of the brief: the first message that is one, else the first of the user's, else empty."""
    users = [(i, message.text()) for i, message in enumerate(messages) if message.role == "user" and message.text()]
    tagged = [(i, text) for i, text in users if "<question>" in text]
    at, text = next(iter(tagged or users), (-1, ""))
    return at, parse(text)


def _json(value: dict[str, Any]) -> Turn:
    return Turn(json.dumps(value, ensure_ascii=False), is_json=True)
