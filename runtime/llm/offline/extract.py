"""Chooses among units: relevance by BM25 with headings and the question's form, redundancy removed by MMR."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol, cast

import bm25s  # type: ignore[import-untyped]  # the library has no types

from runtime.llm.offline.question import Form
from runtime.llm.offline.sentences import Unit, condense
from runtime.llm.offline.words import key_words, language_of, related, related_as_written, stem, terms

_HEADING_WEIGHT = 0.4
_RELATED_WEIGHT = 0.35
_UNDER = 0.3
"""For what stands under headings that name the whole topic: there it need not be named again."""
_FLOOR = 0.5
"""A unit scoring less than this share of the best one is not said."""
_VARIETY = 0.3
"""How much likeness to what is already chosen costs, 0 to 1."""
_TWINS = 0.72
"""Share of common stems from which two units say the same."""
_TOO_LONG = 90
"""Words from which a sentence is none, even condensed: a listing, a log, a page without punctuation."""
_DANGLING = re.compile(
    r"^(?:this|that|these|those|it|its|they|their|them|he|she|such|both|the (?:latter|former)|otherwise|here|there|one"
    r"|also|instead|see|dies\w*|ces?|cette|esto?|questo)\b",
    re.IGNORECASE,
)
_CAUSE = re.compile(
    r"\b(?:because|since|so that|therefore|otherwise|reason|why|in order to|else|hence|avoid|prevents?|⇒|weil"
    r"|damit|car)\b",
    re.IGNORECASE,
)
_MEANS = re.compile(
    r"\b(?:by|through|with|first|then|after|before|must|until|every|each|use|run|set|when)\b", re.IGNORECASE
)


_DEFINES = re.compile(r"^\S+(?:[:–—]|\s+(?:[–—→=]|-|is|are|means?|was|were|ist|sind|est|sont|es|son|è|é)(?:\s|$))")


class _Index(Protocol):
    """The part of ``bm25s.BM25`` used here; the library has no types."""

    def index(self, corpus: list[list[str]], show_progress: bool) -> None: ...

    def get_scores(self, query_tokens_single: list[str]) -> Sequence[float]: ...


@dataclass(frozen=True, slots=True)
class Query:
    """What is looked for."""

    text: str
    form: Form
    language: str
    stems: tuple[str, ...]
    related: tuple[str, ...]
    subject: tuple[str, ...] = ()
    """Stems of which a unit, a heading above it, or its path must have one; empty: it may be about anything."""


@dataclass(frozen=True, slots=True)
class Scored:
    """A unit with its relevance and its stems."""

    unit: Unit
    score: float
    stems: frozenset[str]


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, best first."""

    picked: tuple[Scored, ...]
    is_close: bool
    """False when no unit has enough of the question's words to be an answer to it."""


def query_of(text: str, form: Form) -> Query:
    """The query for a question or topic, in the language it is written in."""
    language = language_of(text)
    stems = list(dict.fromkeys(stem(word, language) for word in key_words(text, language, most=24)))
    return Query(text, form, language, tuple(stems), tuple(related(stems)) if language == "en" else ())


def choose(candidates: Sequence[Unit], query: Query, most: int) -> Choice:
    """At most ``most`` units, condensed where they are long, the most relevant first, none saying what another says."""
    short = [_condensed(unit, query) for unit in candidates]
    scored = _scored([unit for unit in short if len(unit.text.split()) <= _TOO_LONG], query)
    if not scored:
        return Choice((), is_close=False)
    worth = [one for one in scored if one.score >= _FLOOR * scored[0].score or _is_named_above(one.unit, query)]
    return Choice(tuple(_varied(worth, most)), is_close=_covers(scored[:5], query))


def _is_named_above(unit: Unit, query: Query) -> bool:
    """Whether its heading, or all headings above it, say the topic and nothing else: its section is the answer."""
    topic = set(query.stems)
    return topic in (
        set(terms(unit.section, query.language)),
        set(terms(f"{unit.source.title} {unit.section}", query.language)),
    )


def _condensed(unit: Unit, query: Query) -> Unit:
    wanted = {*query.stems, *query.related}
    if unit.kind == "code":
        return unit
    return replace(unit, text=condense(unit.text, lambda part: len(wanted.intersection(terms(part, query.language)))))


def _scored(candidates: Sequence[Unit], query: Query) -> list[Scored]:
    texts = [terms(unit.text, query.language) for unit in candidates]
    contexts = [terms(unit.context, query.language) for unit in candidates]
    if not any(texts) or not query.stems:
        return []
    own, near = _bm25(texts, query), _bm25(contexts, query)
    found = [
        Scored(
            unit, own[i] + _HEADING_WEIGHT * near[i] + _merits(unit, texts[i], contexts[i], query), frozenset(texts[i])
        )
        for i, unit in enumerate(candidates)
        if _is_about(texts[i], contexts[i], query) and _is_of(unit, texts[i], contexts[i], query)
    ]
    return sorted(found, key=lambda one: (-one.score, one.unit.order))


def _is_about(own: list[str], near: list[str], query: Query) -> bool:
    """One of the question's words in the text, and of three or more two in text and headings together."""
    said = {*query.stems, *query.related}.intersection(own)
    both = said | set(query.stems).intersection(near)
    return (bool(said) and len(both) >= min(2, len(query.stems) - 1)) or set(query.stems) <= set(near)


def _is_of(unit: Unit, own: list[str], near: list[str], query: Query) -> bool:
    """Whether the subject is named: by the unit, above it, or by its document's path."""
    if not query.subject:
        return True
    return not set(query.subject).isdisjoint([*own, *near, *terms(unit.source.location, query.language)])


def _bm25(texts: list[list[str]], query: Query) -> list[float]:
    """BM25 of each text, the best being 1; related words count less."""
    if not any(texts):
        return [0.0] * len(texts)
    index = cast(_Index, bm25s.BM25(method="lucene", k1=1.2, b=0.3))
    index.index(texts, show_progress=False)
    known = {word for text in texts for word in text}
    exact = [word for word in query.stems if word in known]
    loose = [word for word in query.related if word in known]
    scores = [0.0] * len(texts)
    for words_, weight in ((exact, 1.0), (loose, _RELATED_WEIGHT)):
        if words_:
            scores = [s + weight * float(more) for s, more in zip(scores, index.get_scores(words_), strict=True)]
    best = max(scores)
    return [score / best for score in scores] if best > 0 else scores


def _merits(unit: Unit, stems: list[str], near: list[str], query: Query) -> float:
    """What BM25 does not see: how much of the question is covered, place, form, and whether it reads well alone."""
    covered = sum(_covered(one, stems, near) for one in query.stems) / len(query.stems)
    under = _UNDER * set(query.stems).issubset(near)
    pairs = set(pairwise(query.stems))
    phrases = len(pairs.intersection(pairwise(stems))) / max(1, len(pairs))
    first_passages = 0.15 / (1 + unit.order[0])
    length = len(unit.text.split())
    unreadable = (
        0.3 * bool(_DANGLING.match(unit.text)) + 0.15 * (length < 6) + 0.2 * (length > 60) + 0.1 * (length > 40)
    )
    return 0.9 * covered + 0.5 * phrases + under + first_passages + _form_merit(unit, stems, query) - unreadable


def _covered(word: str, stems: list[str], near: list[str]) -> float:
    """A word of the question counts in full when it is said, less when a heading above says it, or a related one is said."""
    if word in stems:
        return 1.0
    if word in near:
        return 0.75
    return 0.5 * any(other in stems for other in related([word]))


def _form_merit(unit: Unit, stems: list[str], query: Query) -> float:
    if query.form == "definition":
        return _defines(unit, stems, query)
    if query.form == "why":
        return 0.3 if _CAUSE.search(unit.text) or _CAUSE.search(unit.section) else 0.0
    if query.form == "how":
        return (
            0.1 * bool(_MEANS.search(unit.text)) + 0.1 * (unit.kind in ("bullet", "code")) - 0.1 * (unit.kind == "row")
        )
    if query.form == "list":
        return 0.1 * (unit.kind in ("bullet", "row"))
    return -0.1 * (unit.kind == "row")


def _defines(unit: Unit, stems: list[str], query: Query) -> float:
    """High for "X is …", "X: …", the higher the sooner X is said, and for what opens the section named X."""
    topic = set(query.stems)
    under = topic.issubset(terms(unit.section, query.language)) and unit.order[1] == 0
    if not topic.issubset(stems[: len(topic) + 3]):
        return 0.4 * under
    spoken = unit.text.split()
    at = next(
        (i for i in range(1, len(spoken)) if topic.issubset(terms(" ".join(spoken[:i]), query.language))), len(spoken)
    )
    says = _DEFINES.search(" ".join(spoken[at - 1 : at + 1]))
    return 0.4 * under + (1.0 - 0.15 * min(at, 4) if says else 0.2)


def _covers(best: Sequence[Scored], query: Query) -> bool:
    """Whether one of the best units, with its headings, holds at least half of the question's words: is it about that?"""
    return any(2 * _held(one, query) >= len(query.stems) for one in best)


def _held(one: Scored, query: Query) -> int:
    near = terms(one.unit.context, query.language)
    return sum(_covered(word, list(one.stems), near) > 0 for word in query.stems)


def _varied(worth: list[Scored], most: int) -> list[Scored]:
    """Maximal marginal relevance; twins of what is chosen are dropped."""
    chosen: list[Scored] = []
    rest = list(worth)
    while rest and len(chosen) < most:
        gains = [
            one.score - _VARIETY * max((likeness(one.stems, c.stems) for c in chosen), default=0.0) for one in rest
        ]
        one = rest.pop(gains.index(max(gains)))
        if all(likeness(one.stems, c.stems) < _TWINS for c in chosen):
            chosen.append(one)
    return chosen


def likeness(one: frozenset[str], other: frozenset[str]) -> float:
    """The share of the smaller one's stems that the larger has too."""
    smaller = min(len(one), len(other))
    return len(one & other) / smaller if smaller else 1.0


def related_words(query: Query, keys: Sequence[str]) -> list[str]:
    """``keys`` with each word that has relatives replaced by them; empty when none has (English only)."""
    if query.language != "en":
        return []
    found: list[str] = []
    for key in keys:
        found.extend(related_as_written(key) or [key])
    return list(dict.fromkeys(found))[:10] if set(found) != set(keys) else []
