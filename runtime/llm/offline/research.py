"""What the research stage does next: search, search wider, read the best documents, or write down what was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.llm.client import ToolSpec
from runtime.llm.offline.extract import Choice, Query, choose, related_words
from runtime.llm.offline.passages import READ, SEARCH, Gathered, Passage
from runtime.llm.offline.sentences import Unit, units
from runtime.llm.offline.words import key_words

PASSAGES_WANTED = 8
"""Passages asked of one search."""
_LINES_BEFORE, _LINES_READ = 4, 40
_MOST_READ = 2


@dataclass(frozen=True, slots=True)
class Step:
    """Tool calls to make; none means: write the findings."""

    words: str = ""
    calls: tuple[tuple[str, dict[str, Any]], ...] = field(default=())


def next_step(query: Query, gathered: Gathered, tools: Sequence[ToolSpec], *, may_call: bool) -> Step:
    """The next step of a research stage, given what its tools have answered so far."""
    names = {tool.name for tool in tools}
    if not may_call or SEARCH not in names:
        return Step()
    fresh = [text for text in _queries(query, gathered) if text not in gathered.queries]
    if fresh:
        said = ", ".join(f"“{text}”" for text in fresh)
        return Step(
            f"Searching the documents for {said}.\n\n",
            tuple((SEARCH, {"query": text, "limit": PASSAGES_WANTED}) for text in fresh),
        )
    if READ in names and not gathered.has_read:
        return _read(_best_passages(query, gathered.passages))
    return Step()


def _queries(query: Query, gathered: Gathered) -> list[str]:
    """The key words, and beside them the words documents may use instead; if nothing came, single words."""
    keys = key_words(query.text, query.language)
    if not keys:
        return [] if gathered.rounds else [query.text[:200].strip() or "overview"]
    if gathered.rounds == 0:
        # A document about dying processes may only ever say "crash": the second query asks in its words.
        other = related_words(query, keys)
        return [" ".join(keys)] + ([" ".join(other)] if other else [])
    if gathered.rounds == 1 and not gathered.passages and len(keys) > 1:
        return sorted(keys, key=lambda word: (-len(word), word))[:3]
    return []


def _best_passages(query: Query, passages: Sequence[Passage]) -> list[Passage]:
    chosen = choose(all_units(passages, query.language), query, most=6).picked
    by_location = {passage.location: passage for passage in passages}
    best: dict[str, Passage] = {}
    for scored in chosen:
        passage = by_location.get(scored.unit.source.location)
        if passage and passage.line() is not None:
            best.setdefault(passage.path(), passage)
    return list(best.values())[:_MOST_READ]


def _read(best: Sequence[Passage]) -> Step:
    if not best:
        return Step()
    titles = " and ".join(passage.title or passage.path() for passage in best)
    calls = tuple(
        (READ, {"document": p.path(), "start_line": max(1, (p.line() or 1) - _LINES_BEFORE), "lines": _LINES_READ})
        for p in best
    )
    return Step(f"Reading on in {titles}.\n\n", calls)


def all_units(passages: Sequence[Passage], language: str) -> list[Unit]:
    """The units of all passages; what a passage read repeats of one found is left out."""
    found: list[Unit] = []
    seen: set[str] = set()
    for rank, passage in enumerate(passages):
        for unit in units(passage, rank, language):
            if unit.text not in seen:
                seen.add(unit.text)
                found.append(unit)
    return found


def chosen_units(query: Query, gathered: Gathered, most: int) -> Choice:
    """What the findings will say."""
    return choose(all_units(gathered.passages, query.language), query, most)
