"""From a passage to units: sentences, list items, table rows, short code, each fit to be a statement."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import sentencex  # type: ignore[import-untyped]  # the library has no types

from runtime.llm.offline.markdown import Block, Kind, blocks, rows
from runtime.llm.offline.passages import Passage
from runtime.llm.offline.statements import Source, is_traceable

_segment = cast(Callable[[str, str], list[str]], sentencex.segment)

_DELIMITERS = {"csv": ",", "tsv": "\t"}
"""Suffixes of documents whose lines are rows of a table."""
_WHOLE_BULLET = 35
_LONG = 34
"""Words from which a sentence is condensed."""
_LEADING = re.compile(
    r"^(?:and|but|so|or|thus|hence|however|therefore|moreover|furthermore|also|in addition|in other words|as a result"
    r"|consequently|nevertheless|still|then|besides)(?:,\s*|\s+(?=\S+\s+\S+\s+\S+))",
    re.IGNORECASE,
)
_PARENTHESIS = re.compile(r"\s+\((?:[^()]|\([^()]*\))*\)")
_CHANGES_MEANING = re.compile(
    r"\b(?:not|no|never|except|only|unless|without|but|if|nicht|nur|kein\w*|sauf|pas|no)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Unit:
    """A candidate for a statement."""

    text: str
    source: Source
    number: int
    """The passage's number; 0 when it was read rather than found."""
    context: str
    """Document title, section heading and the sentence that introduces its list: helps to rank, is never quoted."""
    section: str
    """The heading it stands under, alone."""
    order: tuple[int, int]
    """Rank of the passage, place in it."""
    kind: Kind


def units(passage: Passage, rank: int, language: str = "en") -> list[Unit]:
    """All units of a passage, in order. One that could not be traced back to the passage's own words is left out."""
    found: list[Unit] = []
    lead = ""
    pieces = _blocks(passage)
    opening = pieces[0].heading if pieces and passage.begins_document() else ""
    for block in pieces:
        source = Source(_location(passage, block), passage.title)
        texts = [block.text] if block.kind in ("row", "code") else _sentences(block, language)
        if block.kind == "code":
            texts = [_with_code(lead, block.text)] if lead else []
        elif block.kind == "paragraph":
            lead = ""
        for text in texts:
            if text.endswith(":") and block.kind != "code":
                lead = text
                continue
            context = " ".join(dict.fromkeys(filter(None, (passage.title, opening, block.heading, lead))))
            section = block.heading or passage.title.rpartition(" > ")[2]
            unit = Unit(text, source, passage.number, context, section, (rank, len(found)), block.kind)
            if _can_stand_alone(text, block.kind) and is_traceable(text, passage.text):
                found.append(unit)
    return found


def _blocks(passage: Passage) -> list[Block]:
    delimiter = _DELIMITERS.get(passage.path().rpartition(".")[2].lower())
    return rows(passage.text, delimiter) if delimiter else blocks(passage.text)


def _location(passage: Passage, block: Block) -> str:
    """A found passage is cited as it was found; what was read is cited by its own line."""
    line = passage.line()
    if passage.number or line is None:
        return passage.location
    return f"{passage.path()}:{line + block.line}"


def _sentences(block: Block, language: str) -> list[str]:
    if block.kind == "bullet" and len(block.text.split()) <= _WHOLE_BULLET:
        return [_tidy(block.text)]
    joined: list[str] = []
    for piece in map(_tidy, _segment(language, block.text)):
        # "**Retry.** A failed call …": a sentence of one or two words belongs to the next.
        if joined and len(joined[-1].split()) < 3 and not joined[-1].endswith(("?", ":")):
            joined[-1] = f"{joined[-1]} {piece}"
        elif piece:
            joined.append(piece)
    return joined


def _tidy(text: str) -> str:
    return " ".join(text.split())


def _with_code(lead: str, code: str) -> str:
    return " ".join([lead, *(f"`{line.strip()}`" for line in code.split("\n") if line.strip())])


def _can_stand_alone(text: str, kind: Kind) -> bool:
    """Not a fragment, a title, a question, an unbalanced quotation of code, a ruler or a number column."""
    letters = sum(char.isalpha() for char in text)
    wide = any(ord(char) > 0x2E7F for char in text)
    named = [word for word in text.split() if word[:1].isalpha()]
    is_title = (
        len(named) < 9 and text[-1:] not in ".!)`" and sum(word[0].isupper() for word in named) > 0.6 * len(named)
    )
    prose = 0.3 if kind == "row" else 0.55
    enough = (len(text.split()) >= 4 and not is_title) or (wide and len(text) >= 8)
    return (
        enough and letters >= prose * len(text.replace(" ", "")) and not text.endswith("?") and text.count("`") % 2 == 0
    )


def condense(text: str, weight: Callable[[str], int]) -> str:
    """``text`` shortened by deletion; ``weight`` says how much of the question a part of it holds.

    A leading conjunction goes; in a long sentence parentheses go, and if it is still long all but the weightiest of its
    clauses, parted by semicolons, and their equals beside them. No clause loses what negates or limits it.
    """
    short = _LEADING.sub("", text)
    if short != text:
        short = short[:1].upper() + short[1:]
    if len(short.split()) < _LONG:
        return short
    short = _PARENTHESIS.sub(lambda m: m[0] if weight(m[0]) or _CHANGES_MEANING.search(m[0]) else "", short)
    return _clauses(short, weight) if len(short.split()) >= _LONG else short


def _clauses(text: str, weight: Callable[[str], int]) -> str:
    """An unbroken run of clauses around the weightiest one, widened until no quotation or parenthesis is parted."""
    clauses = text.split("; ")
    weights = [weight(clause) if len(clause.split()) >= 4 else 0 for clause in clauses]
    if len(clauses) == 1 or max(weights) == 0:
        return text
    first = last = weights.index(max(weights))
    while last + 1 < len(clauses) and (
        weights[last + 1] >= max(weights) or not _is_balanced("; ".join(clauses[first : last + 1]))
    ):
        last += 1
    while first > 0 and not _is_balanced("; ".join(clauses[first : last + 1])):
        first -= 1
    run = "; ".join(clauses[first : last + 1])
    return text if _LEADING.match(run) or len(run.split()) < 6 else run[:1].upper() + run[1:]


def _is_balanced(text: str) -> bool:
    even = all(text.count(mark) % 2 == 0 for mark in ('"', "`"))
    return even and all(text.count(a) == text.count(b) for a, b in ("()", "[]", "“”", "{}"))
