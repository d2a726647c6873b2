"""From the form of a question to one to five todos over the agents that were offered.

========== ==============================================================
form       todos
========== ==============================================================
definition search → write
plain      search → rank → write
how, list  search → rank → write
why        search for the subject ∥ search for reasons → rank → write
compare    search each side, in parallel → side by side → write
several    search each question, in parallel → rank → write
========== ==============================================================

An agent the user added joins when the question speaks of it. Without documents there is one todo: to say so.
"""

from __future__ import annotations

from collections.abc import Iterator

from runtime.events.brief import Brief
from runtime.events.plan import Plan, Todo
from runtime.llm.offline import tasks
from runtime.llm.offline.question import Question, understand
from runtime.llm.offline.words import key_words, language_of, terms

RESEARCH, ANALYSIS, WRITING = "research", "analysis", "writing"
DEFAULT_AGENTS = ((RESEARCH, ""), (ANALYSIS, ""), (WRITING, ""))
MOST_TODOS = 5


def plan(brief: Brief) -> Plan:
    """The plan for the question in ``brief``; only agents named there are used."""
    agents = dict(brief.agents or DEFAULT_AGENTS)
    writer = WRITING if WRITING in agents else list(agents)[-1]
    asked = understand(brief.question)
    if not brief.has_documents or RESEARCH not in agents:
        title = tasks.WRITE if brief.has_documents else tasks.WRITE_WITHOUT
        return Plan(todos=(Todo(id="write", title=title, agent=writer),))
    todos = list(_searches(asked))
    last = tuple(todo.id for todo in todos)
    extra = _spoken_of(brief.question, agents)
    if extra:
        title = tasks.shorten(f"{extra}: {asked.text}", 200)
        todos.append(Todo(id="extra", title=title, agent=extra, depends_on=last))
    if ANALYSIS in agents and asked.form != "definition" and len(todos) < MOST_TODOS - 1:
        title = tasks.SIDE_BY_SIDE if asked.form == "compare" else tasks.ORDER
        todos.append(Todo(id="rank", title=title, agent=ANALYSIS, depends_on=last))
        last = (*last, "rank")
    last = (*last, "extra") if extra else last
    return Plan(todos=(*todos, Todo(id="write", title=tasks.WRITE, agent=writer, depends_on=last)))


def _searches(asked: Question) -> Iterator[Todo]:
    if asked.form == "why":
        subject = " ".join(key_words(asked.text, language_of(asked.text))) or asked.text
        yield _search("search-1", subject)
        yield _search("search-2", asked.text, reasons=True)
        return
    aspect = f" ({asked.aspect})" if asked.aspect else ""
    for i, topic in enumerate(asked.topics, 1):
        yield _search(f"search-{i}" if len(asked.topics) > 1 else "search", topic + aspect)


def _search(todo_id: str, topic: str, *, reasons: bool = False) -> Todo:
    return Todo(id=todo_id, title=tasks.search_title(topic or "the question", reasons=reasons), agent=RESEARCH)


def _spoken_of(question: str, agents: dict[str, str]) -> str:
    """The user's own agent whose name, or two words of whose description, the question contains; empty when none."""
    asked = set(terms(question))
    for name, description in agents.items():
        if name in (RESEARCH, ANALYSIS, WRITING):
            continue
        named = set(terms(name))
        if (named and named <= asked) or len(asked.intersection(terms(description))) >= 2:
            return name
    return ""
