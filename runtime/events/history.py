"""What was said before in a conversation, as a new run takes it along: recent exchanges whole, older ones shortened.

Deterministic and without a model, so that a takeover, a replay and a reader of the log see the same. ``compact`` is given
what the run before took along, and that run's own exchange; so the work of a long conversation does not grow.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pydantic import Field

from runtime.events.base import EventData, Status

WHOLE_BYTES: Final = 24 * 1024
"""Of the newest exchanges, together, that are kept as they were."""

SHORT_BYTES: Final = 8 * 1024
"""Of the older ones, together, shortened; what does not fit is left out and counted."""

QUESTION: Final = 4_000
ANSWER: Final = 16_000
SOURCES: Final = 20
"""Bytes, and sources, of an exchange that is kept whole; what is longer is cut."""

SHORT_QUESTION: Final = 400
SHORT_ANSWER: Final = 600
SHORT_LINES: Final = 3
SHORT_SOURCES: Final = 3
"""The same of a shortened one; of its answer the first lines that are not empty."""

_CUT: Final = " …"


class Cited(EventData):
    """A source of an earlier answer."""

    family = "status"
    title: str
    location: str


class Enclosed(EventData):
    """What was attached to an earlier question: told, and not shown again."""

    family = "status"
    name: str
    kind: str
    """Its media type; where only its address was known, what it is."""


class Exchange(EventData):
    """A question and what was answered, or what there was of an answer when the run ended."""

    family = "status"
    run_id: str = ""
    question: str
    answer: str = ""
    """Empty when the run ended without any result."""
    state: Status = "completed"
    """How the run ended."""
    sources: tuple[Cited, ...] = ()
    attachments: tuple[Enclosed, ...] = Field(default=(), exclude_if=lambda attachments: not attachments)
    at: float = 0.0
    """When it was asked, in seconds since the epoch."""
    shortened: bool = False
    """Only the beginning of the answer is kept."""


class History(EventData):
    """What was said in a conversation before a run, the oldest first."""

    family = "status"
    exchanges: tuple[Exchange, ...] = ()
    left_out: int = 0
    """How many there were before the first of them."""


NOTHING_SAID: Final = History()
"""Of a conversation's first run."""


def compact(exchanges: Sequence[Exchange], left_out: int = 0) -> History:
    """Keep the newest of ``exchanges`` (oldest first) whole, shorten older ones, leave the oldest out.

    ``left_out`` counts those before the first. At most ``WHOLE_BYTES`` and ``SHORT_BYTES`` are kept, but for the names
    of sources; the newest exchange is always among them.
    """
    kept: list[Exchange] = []
    whole, short = WHOLE_BYTES, SHORT_BYTES
    for exchange in reversed(exchanges):
        as_it_was, brief = _trimmed(exchange), _shortened(exchange)
        behind_short_ones = exchange.shortened or (kept and kept[-1].shortened)
        if not behind_short_ones and _size(as_it_was) <= whole:
            whole -= _size(as_it_was)
            kept.append(as_it_was)
        elif _size(brief) <= short:
            short -= _size(brief)
            kept.append(brief)
        else:
            break
    kept.reverse()
    return History(exchanges=tuple(kept), left_out=left_out + len(exchanges) - len(kept))


def _trimmed(exchange: Exchange) -> Exchange:
    return exchange.model_copy(
        update={
            "question": _cut(exchange.question, QUESTION),
            "answer": _cut(exchange.answer, ANSWER),
            "sources": exchange.sources[:SOURCES],
        }
    )


def _shortened(exchange: Exchange) -> Exchange:
    lines = [line for line in exchange.answer.splitlines() if line.strip()]
    return exchange.model_copy(
        update={
            "question": _cut(" ".join(exchange.question.split()), SHORT_QUESTION),
            "answer": _cut("\n".join(lines[:SHORT_LINES]), SHORT_ANSWER),
            "sources": exchange.sources[:SHORT_SOURCES],
            "attachments": exchange.attachments[:SHORT_SOURCES],
            "shortened": True,
        }
    )


def _cut(text: str, longest: int) -> str:
    raw = text.encode()
    if len(raw) <= longest:
        return text
    return raw[: longest - len(_CUT.encode())].decode(errors="ignore") + _CUT


def _size(exchange: Exchange) -> int:
    return len(exchange.question.encode()) + len(exchange.answer.encode())
