"""The three texts: findings of research, the ranked groups of analysis, the answer. Statements and fixed words only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from runtime.events.brief import Brief, Finding
from runtime.llm.offline import tasks
from runtime.llm.offline.arrange import by_document, by_topic, path_of, rank, topic_query
from runtime.llm.offline.extract import Choice, Query, Scored, query_of
from runtime.llm.offline.passages import Gathered
from runtime.llm.offline.planning import ANALYSIS, RESEARCH
from runtime.llm.offline.question import Question, understand
from runtime.llm.offline.statements import Report, Source, Statement, numbering, parse, render, render_sources

MOST_FOUND = 9
"""Statements one research stage hands on."""
MOST_RANKED = 10
MOST_ANSWERED = 7
MOST_PER_TOPIC = 5
MOST_PER_TOPIC_ANSWERED = 4
_MOST_UNSOURCED = 5

NO_DOCUMENTS = (
    "There are no documents to quote from. The offline engine writes nothing of its own: it only quotes and condenses"
    " sentences of documents. Name a documents folder, or configure a language model."
)
LOOSE = "No sentence answers this directly; these are the closest."

Reports = Sequence[tuple[Finding, Report]]


def findings(query: Query, choice: Choice, gathered: Gathered) -> str:
    """The findings of a research stage: statements by document, sources numbered as the search numbered them."""
    failures = [f"A search failed: {problem}" for problem in gathered.problems]
    if not choice.picked:
        return "\n".join([nothing_found(query.text, gathered.queries), *failures])
    given: dict[Source, int] = {}
    for scored in choice.picked:
        if scored.unit.number:
            given[scored.unit.source] = scored.unit.number
    highest = max(passage.number for passage in gathered.passages)
    as_read = [_statement(scored) for scored in sorted(choice.picked, key=lambda one: one.unit.order)]
    ordered = by_document([_statement(scored) for scored in choice.picked], as_read)
    numbers = numbering(ordered, given, highest)
    remarks = failures if choice.is_close else [LOOSE, *failures]
    return _joined("\n".join(remarks), render(ordered, numbers), render_sources(numbers))


def _statement(scored: Scored) -> Statement:
    return Statement(scored.unit.text, scored.unit.source)


def nothing_found(topic: str, queries: Sequence[str]) -> str:
    """The honest line when a search came back empty."""
    about = tasks.shorten(" ".join(topic.split()), 120)
    searched = (
        f"Searched for: {'; '.join(f'“{query}”' for query in queries)}." if queries else "No search could be made."
    )
    return f"Nothing was found for “{about}”. {searched}" if about else f"Nothing was found. {searched}"


def analysis(brief: Brief) -> str:
    """What earlier stages found: ranked against the question, twins removed, grouped by topic or by document."""
    reports = [(finding, parse(finding.text)) for finding in brief.findings]
    ranked = _arranged(brief, reports)
    if not ranked:
        return _joined(_remarks(reports), _unsourced(reports)) or _empty(brief)
    numbers = numbering(ranked)
    size = f"{_count(len(ranked), 'statement')} from {_count(len(set(map(path_of, ranked))), 'document')}"
    return _joined(_remarks(reports), f"Ranked and grouped, {size}:", render(ranked, numbers), render_sources(numbers))


def answer(brief: Brief) -> str:
    """The answer: its best statement first, the others in groups, then the list of sources."""
    reports = [(finding, parse(finding.text)) for finding in brief.findings]
    ordered = _answered(brief, reports)
    if not ordered:
        return _joined(_remarks(reports), _unsourced(reports)) or _empty(brief)
    numbers = numbering(ordered)
    return _joined(_remarks(reports), render(ordered, numbers), render_sources(numbers))


def has_statements(brief: Brief) -> bool:
    """Whether earlier stages found anything that can be said."""
    return any(parse(finding.text).statements for finding in brief.findings)


def _arranged(brief: Brief, reports: Reports) -> list[Statement]:
    asked = understand(brief.question)
    searched = [(finding, report) for finding, report in reports if report.statements]
    if _has_topics(asked) and len(searched) > 1:
        return by_topic(brief, asked, searched, MOST_PER_TOPIC)
    given = [one for _, report in searched for one in report.statements]
    return by_document(rank(given, _query(brief, asked), MOST_RANKED), given)


def _answered(brief: Brief, reports: Reports) -> list[Statement]:
    """What analysis arranged, shortened; without an analysis the findings themselves, arranged here."""
    asked = understand(brief.question)
    # Analysis holds what is worth keeping of the searches; an agent of the user's may have added to it.
    analysed = [pair for pair in reports if pair[0].agent == ANALYSIS and pair[1].statements]
    others = [pair for pair in reports if pair[0].agent not in (ANALYSIS, RESEARCH)]
    chosen = [*analysed, *others] if analysed else reports
    if _has_topics(asked):
        topical = [s for _, r in analysed for s in r.statements] if analysed else _arranged(brief, chosen)
        if len({one.group for one in topical}) > 1:
            return _shortest(topical, asked)
    given = [one for _, report in chosen for one in report.statements]
    best = rank(given, _query(brief, asked), MOST_ANSWERED)
    return [*(replace(one, group="") for one in best[:1]), *by_document(best[1:], given)]


def _shortest(topical: Sequence[Statement], asked: Question) -> list[Statement]:
    """The best of each topic, in the order given."""
    kept: list[Statement] = []
    for group in dict.fromkeys(one.group for one in topical):
        own = [one for one in topical if one.group == group]
        best = set(rank(own, topic_query(group.removeprefix("On ").rstrip("?"), asked), MOST_PER_TOPIC_ANSWERED))
        kept.extend(one for one in own if one in best)
    return kept


def _has_topics(asked: Question) -> bool:
    return asked.form in ("compare", "several")


def _query(brief: Brief, asked: Question) -> Query:
    return query_of(brief.question if asked.form in ("compare", "several") else asked.topics[0], asked.form)


def _remarks(reports: Reports) -> str:
    return "\n".join(dict.fromkeys(remark for _, report in reports for remark in report.remarks))


def _unsourced(reports: Reports) -> str:
    """Another model's findings without citations are passed on as what they are."""
    parts: list[str] = []
    for finding, report in reports:
        lines = [f"- {line}" for line in report.unsourced[:_MOST_UNSOURCED]]
        parts.append("\n".join([f"From {finding.title or finding.stage}, without a source:", *lines]) if lines else "")
    return _joined(*parts)


def _empty(brief: Brief) -> str:
    return nothing_found(understand(brief.question).text, ()) if brief.has_documents else NO_DOCUMENTS


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _joined(*parts: str) -> str:
    return "\n\n".join(part for part in parts if part)
