"""Statements with their sources: written as text, read back by the next stage, checked against the documents.

The text form is the contract between stages and with the executor, which turns the list at the end into citations::

    From Refund policy:
    - Refunds are paid within five days. [1]

    Sources:
    [1] policies/refunds.md:12 | Refund policy
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

SOURCES = "Sources:"
REMARK_STARTS = (
    "Nothing was found",
    "Nothing new was found",
    "No sentence answers",
    "A search failed",
    "There are no documents",
)
"""How lines begin that the engine says about itself and that later stages repeat."""

_MARKS = re.compile(r"\s*((?:\[\d+\]\s*)+)[.;]?$")
_SOURCE = re.compile(r"^\[(\d+)\] (.+?) \| (.*)$")
_MARKUP = str.maketrans("", "", "*_`~\\")
_ANY_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Source:
    """Where a statement stands."""

    location: str
    title: str


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence of a document, verbatim or shortened by deletion."""

    text: str
    source: Source
    group: str = ""
    """The heading it is listed under, without the colon."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a stage hands on."""

    statements: tuple[Statement, ...] = ()
    remarks: tuple[str, ...] = ()
    """Lines like ``Nothing was found …``."""
    unsourced: tuple[str, ...] = field(default=())
    """Lines of another model's findings that carry no citation."""


def numbering(
    statements: Iterable[Statement], given: Mapping[Source, int] | None = None, highest: int = 0
) -> dict[Source, int]:
    """A number for each source: the ``given`` one where there is one, else the next above ``highest``, in order."""
    numbers: dict[Source, int] = {}
    for statement in statements:
        if statement.source not in numbers:
            known = (given or {}).get(statement.source)
            highest += known is None
            numbers[statement.source] = highest if known is None else known
    return numbers


def render(statements: Iterable[Statement], numbers: Mapping[Source, int]) -> str:
    """The statements under their groups, in order; a statement without a group stands as a line of its own."""
    lines: list[str] = []
    group = ""
    for statement in statements:
        mark = f"{statement.text} [{numbers[statement.source]}]"
        if statement.group != group:
            lines += ["", _heading(statement.group)] if statement.group else [""]
            group = statement.group
        lines.append(f"- {mark}" if group else mark)
    return "\n".join(lines).strip("\n")


def _heading(group: str) -> str:
    return group if group.endswith("?") else f"{group}:"


def render_sources(numbers: Mapping[Source, int]) -> str:
    """The list that ends a text; empty when nothing is cited."""
    if not numbers:
        return ""
    rows = [f"[{n}] {s.location} | {s.title}" for s, n in sorted(numbers.items(), key=lambda pair: pair[1])]
    return "\n".join([SOURCES, *rows])


def parse(text: str) -> Report:
    """What :func:`render` and :func:`render_sources` wrote, also when another model wrote it."""
    body, _, tail = _split_sources(text)
    sources = {int(m[1]): Source(m[2], m[3].strip()) for m in map(_SOURCE.match, tail.split("\n")) if m}
    statements: list[Statement] = []
    remarks: list[str] = []
    unsourced: list[str] = []
    group = ""
    for raw in body.split("\n"):
        line = re.sub(r"^\s*(?:[-*•]|\d+[.)])\s+", "", raw).strip()
        source = _source_of(line, sources)
        if source is not None:
            statements.append(Statement(_MARKS.sub("", line), source, group))
        elif line.startswith(REMARK_STARTS):
            remarks.append(line)
        elif line.endswith((":", "?")):
            group = line.removesuffix(":")
        elif line and not line.startswith("#"):
            unsourced.append(line)
    return Report(tuple(statements), tuple(remarks), tuple(unsourced))


def _split_sources(text: str) -> tuple[str, str, str]:
    parts = re.split(r"(?m)^(Sources:)[ \t]*$", text)
    return ("\n".join(parts[:-2]), SOURCES, parts[-1]) if len(parts) > 2 else (text, "", "")


def _source_of(line: str, sources: Mapping[int, Source]) -> Source | None:
    """The source of the last mark that is in the list; our own texts carry exactly one mark, the last."""
    marks = _MARKS.search(line)
    known = [int(n) for n in re.findall(r"\d+", marks[1]) if int(n) in sources] if marks else []
    return sources[known[-1]] if known else None


def spoken(text: str) -> list[str]:
    """The words of ``text`` as they are compared: casefolded, markup within words dropped."""
    return _ANY_WORD.findall(text.casefold().translate(_MARKUP))


def is_traceable(statement: str, source_text: str) -> bool:
    """Whether the statement's words stand in the source in the same order, close together: nothing but deletions."""
    wanted, there = spoken(statement), spoken(source_text)
    if not wanted:
        return False
    room = 2 * len(wanted) + 60
    return any(_follows(wanted, there[i : i + room]) for i, word in enumerate(there) if word == wanted[0])


def _follows(wanted: list[str], there: list[str]) -> bool:
    rest = iter(there)
    return all(word in rest for word in wanted)


def untraceable(answer: str, texts: Mapping[str, str]) -> tuple[str, ...]:
    """The statements of ``answer`` that are not in the text of the location they cite (``texts``: text by location).

    Lines without a citation that are neither headings nor remarks count as untraceable: nothing else may be said.
    """
    report = parse(answer)
    strays = [s.text for s in report.statements if not is_traceable(s.text, texts.get(s.source.location, ""))]
    return (*strays, *report.unsourced)
