"""Ranks and groups the statements earlier stages handed on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from runtime.events.brief import Brief, Finding
from runtime.llm.offline import tasks
from runtime.llm.offline.extract import Query, choose, likeness, query_of
from runtime.llm.offline.question import Question, understand
from runtime.llm.offline.sentences import Unit
from runtime.llm.offline.statements import Report, Statement
from runtime.llm.offline.words import terms

_TWINS = 0.85


def path_of(statement: Statement) -> str:
    """The document a statement stands in."""
    return re.sub(r"(?::\d+|#page=\d+)$", "", statement.source.location)


def place_of(statement: Statement) -> tuple[str, int]:
    """Document and line or page, to put statements in the document's own order."""
    at = re.search(r"(?::|#page=)(\d+)$", statement.source.location)
    return path_of(statement), int(at[1]) if at else 0


def rank(statements: Sequence[Statement], query: Query, most: int) -> list[Statement]:
    """The statements most relevant to ``query``, best first, twins removed; as given when none fits."""
    candidates = [
        Unit(s.text, s.source, 1, f"{s.source.title} {s.group}", _section(s), (0, i), "paragraph")
        for i, s in enumerate(statements)
    ]
    picked = choose(candidates, query, most).picked
    if not picked:
        return list(statements[:most])
    return [statements[scored.unit.order[1]] for scored in picked]


def _section(statement: Statement) -> str:
    """The innermost heading of its title."""
    return statement.source.title.rpartition(" > ")[2]


def grouped(
    best_first: Sequence[Statement], label: Callable[[Statement], str], given: Sequence[Statement]
) -> list[Statement]:
    """Under their labels, the label of the best statement first; within a label in the order of documents and lines.

    ``given`` holds the statements in the order they were read, which parts those of the same line.
    """
    labels = list(dict.fromkeys(map(label, best_first)))
    paths = list(dict.fromkeys(map(path_of, best_first)))
    read = {one: i for i, one in reversed(list(enumerate(given)))}

    def place(one: Statement) -> tuple[int, int, int, int]:
        path, line = place_of(one)
        return labels.index(label(one)), paths.index(path), line, read.get(one, len(read))

    return [replace(one, group=label(one)) for one in sorted(best_first, key=place)]


def by_document(best_first: Sequence[Statement], given: Sequence[Statement]) -> list[Statement]:
    """Grouped as "From <title>"."""
    return grouped(best_first, lambda one: f"From {one.source.title or path_of(one)}", given)


def by_topic(brief: Brief, asked: Question, reports: Sequence[tuple[Finding, Report]], most: int) -> list[Statement]:
    """Grouped by what each stage searched for, in the question's order; nothing is said twice."""
    found: list[Statement] = []
    for finding, report in reports:
        topic = tasks.topic_of(finding.title, brief.question)
        ranked = rank(report.statements, topic_query(topic, asked), most)
        new = [one for one in ranked if not _said(one, found)]
        label = f"{topic[:1].upper()}{topic[1:]}?" if asked.form == "several" else f"On {topic}"
        found.extend(replace(one, group=label) for one in by_document(new, report.statements))
    return found


def topic_query(topic: str, asked: Question) -> Query:
    """The query for one topic of a question.

    A side of a comparison is looked up like a definition, if no aspect is named, and must itself be named.
    """
    if asked.form != "compare":
        return query_of(topic, understand(topic).form)
    query = query_of(topic, "plain" if asked.aspect else "definition")
    return replace(query, subject=_subject(topic, asked, query.language))


def _subject(topic: str, asked: Question, language: str) -> tuple[str, ...]:
    """The words that only this side of the comparison has: of two stations their names, not "station"."""
    own = max((side for side in asked.topics if topic.startswith(side)), key=len, default="")
    others = {word for side in asked.topics if side != own for word in terms(side, language)}
    return tuple(word for word in terms(own, language) if word not in others)


def _said(statement: Statement, before: Sequence[Statement]) -> bool:
    own = frozenset(terms(statement.text))
    return any(likeness(own, frozenset(terms(other.text))) >= _TWINS for other in before)
