"""From text to terms: what counts as a word here, in which language, which words carry meaning, which mean the same."""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import Protocol, cast

import snowballstemmer  # type: ignore[import-untyped]  # the library has no types
from stop_words import get_stop_words  # type: ignore[import-untyped]  # the library has no types

LANGUAGES = {
    "en": "english",
    "de": "german",
    "fr": "french",
    "es": "spanish",
    "it": "italian",
    "pt": "portuguese",
    "nl": "dutch",
}
"""Languages whose stems and function words are known; any other text is treated as English."""

# The library's English list drops "system", "state", "order", "run" and 1,300 others, which are the topic here; hence
# our own.
_ENGLISH_FUNCTION_WORDS = """
    a about above across after again against all almost along already also although always am among an and another any
    anyone anything are around as at away back be became because become becomes been before behind being below between
    both but by came can cannot could did do does doing done down during each either else enough etc even ever every
    everyone everything except few for from further get gets getting give given gives go goes going gone got had has
    have having he her here hers him his how however i if in instead into is it its itself just keep keeps let lets
    like made make makes making many may maybe me might mine more most much must my myself neither no nobody none nor
    not nothing now of off often on once one only onto or other others our ours out over own per perhaps please put
    quite rather really s same say says see shall she should since so some somehow someone something sometimes still
    such sure t take taken takes than that the their theirs them then there therefore these they thing things this
    those though through thus to together too toward towards under unless until up upon us use used uses using very
    via want wants was we well went were what whatever when whenever where whereas wherever whether which whichever
    while who whoever whole whom whose why will with within without won would yes yet you your yours don doesn didn
    isn aren wasn weren couldn shouldn wouldn ve ll re d m
"""
ENGLISH_FUNCTION_WORDS = frozenset(_ENGLISH_FUNCTION_WORDS.split())
"""English words that say nothing about a topic."""

_QUESTION_WORDS = """
    answer compare comparison define definition describe difference differences differ different versus vs document
    documents explain explanation happen happens kind kinds list mean meaning means name overview question reason
    reasons show summarise summarize summary tell type types way ways work works know understand information detail
    details search find said talk discuss handle handles handled handling
"""
QUESTION_WORDS = frozenset(_QUESTION_WORDS.split())
"""English words that tell what to do with a topic; left out of a query when other words remain."""

# Each line: words one of which a person asks with and another of which a document answers with. Compared as stems.
SAME_MEANING = (
    "die dies died death dead killed kill crash crashes",
    "lose lost loss missing gap",
    "fail failed failure error errors",
    "retry retried repeat repeated",
    "fast quick speed latency",
    "slow delay latency",
    "start begin launch",
    "stop cancel abort end",
    "guarantee promise ensure",
    "store save persist durable",
    "delete remove erase",
    "configure configuration setting settings",
    "limit maximum cap bound",
    "pay paid payment",
    "refund reimburse return",
    "buy purchase order",
    "allow allowed permit permitted",
    "protect guard secure security",
)

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
_WIDE = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+")


class _Stemmer(Protocol):
    """The part of ``snowballstemmer`` used here; the library has no types."""

    def stemWord(self, word: str) -> str: ...


def words(text: str) -> list[str]:
    """The words of ``text``, casefolded, ``StreamHub`` as two; scripts without spaces give overlapping pairs."""
    found: list[str] = []
    for word in _WORD.findall(_CAMEL.sub(" ", text).casefold()):
        found.extend(_pairs(word) if _WIDE.search(word) else [word])
    return found


def _pairs(word: str) -> list[str]:
    return [word[i : i + 2] for i in range(len(word) - 1)] or [word]


@cache
def _stemmer(language: str) -> _Stemmer:
    return cast(_Stemmer, snowballstemmer.stemmer(LANGUAGES[language]))


@cache
def _function_words(language: str) -> frozenset[str]:
    if language == "en":
        return ENGLISH_FUNCTION_WORDS
    return frozenset(word.casefold() for word in get_stop_words(language))


@cache
def _meanings() -> dict[str, tuple[str, ...]]:
    table: dict[str, list[str]] = {}
    for line in SAME_MEANING:
        stems = list(dict.fromkeys(stem(word, "en") for word in line.split()))
        for one in stems:
            table.setdefault(one, []).extend(other for other in stems if other != one)
    return {one: tuple(dict.fromkeys(others)) for one, others in table.items()}


@lru_cache(maxsize=50_000)
def stem(word: str, language: str) -> str:
    """The stem of one casefolded word."""
    return _stemmer(language).stemWord(word)


def language_of(text: str) -> str:
    """The language whose function words occur most; English on a tie or when none does."""
    found = words(text[:4000])
    counts = {code: sum(word in _function_words(code) for word in found) for code in LANGUAGES}
    best = max(counts, key=lambda code: (counts[code], code == "en"))
    return best if counts[best] > counts["en"] else "en"


def terms(text: str, language: str = "en") -> list[str]:
    """The stems of the words that carry meaning, in order, repeats kept."""
    return [stem(word, language) for word in words(text) if _carries_meaning(word, language)]


def _carries_meaning(word: str, language: str) -> bool:
    return word not in _function_words(language) and (len(word) > 1 or word.isdigit())


def related(stems: list[str]) -> list[str]:
    """Stems that mean the same as one of ``stems`` and are not among them (English only)."""
    others = [other for one in stems for other in _meanings().get(one, ())]
    return [other for other in dict.fromkeys(others) if other not in stems]


def related_as_written(word: str) -> list[str]:
    """Words that mean the same as ``word``, one per stem, ``word``'s own left out (English only)."""
    own = stem(word, "en")
    for line in SAME_MEANING:
        by_stem = {stem(other, "en"): other for other in reversed(line.split())}
        if own in by_stem:
            return [other for one, other in reversed(by_stem.items()) if one != own][:3]
    return []


def key_words(text: str, language: str = "en", most: int = 8) -> list[str]:
    """The words of a question worth searching for, as written (casefolded), without repeats, at most ``most``."""
    found = [word for word in dict.fromkeys(words(text)) if _carries_meaning(word, language)]
    topical = [word for word in found if word not in QUESTION_WORDS]
    return (topical or found)[:most]
