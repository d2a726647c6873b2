"""A question in a person's words -> the best passages.

The words are never FTS5 syntax: only letters and digits reach it, each term in quotes. Terms are joined by OR, so that
one word the documents lack does not hide the rest; what BM25 ranks highest is then weighted by how many of the
terms each passage has, because BM25 alone lets one rare word repeated outdo three that fit.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter
from itertools import pairwise

from runtime.tools.documents.passages import Passage

_STOP_WORDS = frozenset(
    """
    a about after all also am an and any are as at be because been before being but by can could describe did do
    does doing done explain find for from get give given gives got had happen happened happens has have having
    he her here him his how i if in into is it its just like many may me might more most much my no not of on
    one only or other our out over own please same she should show so some such tell than that the their them
    then there these they thing things this those to too under up us use used very was we were what when where
    which while who whom whose why will with would you your
    """.split()  # noqa: SIM905 - a hundred quoted words are harder to read
)
"""Of English: articles, pronouns, auxiliaries, question words, and what people say around a question."""

_WORD = re.compile(r"[^\W_]+(?:[-_.'’/][^\W_]+)*")
_PART = re.compile(r"[^\W_]+")
_MAX_QUERY = 2_000
"""Characters of a query that are read."""
_MAX_TERMS = 24
_POOL = 80
"""Passages taken from BM25 to be weighted by coverage."""
_TITLE_WEIGHT = 4.0
"""A word in a heading says what the passage is about; found by eye on this project's documents."""

_RANKED = f"""
SELECT rowid, -bm25(words, {_TITLE_WEIGHT}, 1.0) AS strength FROM words WHERE words MATCH ?
ORDER BY strength DESC LIMIT {_POOL}
"""
_PASSAGE = "SELECT location, title, text FROM passages JOIN words ON words.rowid = passages.id WHERE passages.id = ?"


def terms(query: str) -> tuple[str, ...]:
    """The distinct terms of a query, single words first, without stop words unless there is nothing else.

    Compounds (``post-hook``) and neighbouring words (``tool call``) count as phrases too: passages that have them
    together come first.
    """
    words = [word.lower() for word in _WORD.findall(query[:_MAX_QUERY])]
    if not all(word in _STOP_WORDS for word in words):
        words = [word if word not in _STOP_WORDS else "" for word in words]
    split = [_PART.findall(word) for word in words]
    single = [variant for parts in split for part in parts for variant in _variants(part, alone=len(parts) == 1)]
    compounds = [" ".join(parts) for parts in split if len(parts) > 1]
    pairs = [" ".join(one + two) for one, two in pairwise(split) if one and two]
    return tuple(dict.fromkeys(single + compounds + pairs))[:_MAX_TERMS]


def _variants(word: str, *, alone: bool) -> tuple[str, ...]:
    if not alone and (len(word) == 1 or word in _STOP_WORDS):
        return ()  # the t of don't, the of of out-of-order
    if len(word) == 4 and word.endswith("ies"):
        return word, word[:-1]  # Porter makes di of dies, but leaves die
    return (word,)


def search_passages(connection: sqlite3.Connection, query: str, limit: int) -> list[Passage]:
    """The best passages, best first. One reading transaction: a concurrent update cannot come between its queries."""
    quoted = [f'"{term}"' for term in terms(query)]
    if not quoted or limit < 1:
        return []
    connection.execute("BEGIN")
    try:
        strength: dict[int, float] = dict(connection.execute(_RANKED, (" OR ".join(quoted),)))
        matched = _matched_terms(connection, quoted, list(strength))
        best = sorted(strength, key=lambda row: (-strength[row] * matched[row], row))[:limit]
        return [Passage(*connection.execute(_PASSAGE, (row,)).fetchone()) for row in best]
    finally:
        connection.execute("ROLLBACK")


def _matched_terms(connection: sqlite3.Connection, quoted: list[str], rows: list[int]) -> Counter[int]:
    """How many of the terms each row has. FTS5 stems terms as it stemmed the text, which Python would have to copy."""
    marks = ",".join("?" * len(rows))
    count: Counter[int] = Counter()
    for term in quoted:
        count.update(
            row
            for (row,) in connection.execute(
                f"SELECT rowid FROM words WHERE words MATCH ? AND rowid IN ({marks})", (term, *rows)
            )
        )
    return count
