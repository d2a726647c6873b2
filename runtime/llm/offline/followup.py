"""A question that leaves its subject to the conversation before: completed with words that were said there, never others.

After "What is a lease?", "Why?" becomes "Why (lease)" and "Who renews it?" becomes "Who renews lease"; after "Compare the queue
and the log", "And the second one?" becomes "log". A question with enough words of its own is left as it is. The patterns are
English.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from runtime.events.brief import Brief, Finding
from runtime.events.history import Exchange
from runtime.llm.offline.question import Question, tidy, understand
from runtime.llm.offline.statements import parse
from runtime.llm.offline.tasks import shorten
from runtime.llm.offline.words import QUESTION_WORDS, key_words, language_of

ANSWERED_BEFORE: Final = "Nothing new was found; this was answered before."
LONGEST_TOPIC: Final = 160

_MOST_OWN_WORDS: Final = 2
"""Words that carry meaning beside a pronoun or an opening like "and"; with more a question stands by itself."""

_SHORTEST: Final = 3
"""Words of a question like "How long?" or "Who pays then?", which asks about something else than its one word."""

_OPENING = re.compile(
    r"^(?:(?:and|but|or|also)\b[\s,]*)+(?:(?:what|how) about\b|what of\b)?|^(?:what|how) about\b|^what of\b", re.I
)
_ARTICLE = re.compile(r"^(?:an?|the)\s+", re.I)
_VAGUE = re.compile(r"\b(?:it|its|they|them|their|this|that|these|those|ones?|there|he|him|his|she|her)\b", re.I)
_ASKS = re.compile(r"\b(?:why|how|when|where|who|whose|which)\b", re.I)
_A_QUESTION = re.compile(r"^(?:what|why|how|when|where|who|whose|which|is|are|does|do|can)\b", re.I)
_STANDS_FOR = re.compile(r"\b(?:it|they|them|this|that|these|those)\b", re.I)
_ORDINALS: Final = (
    r"first|1st|former", r"second|2nd|other", r"third|3rd", r"fourth|4th", r"fifth|5th",
)  # fmt: skip
_ORDINAL = re.compile(
    rf"\b(?:the )?(?:{'|'.join(f'({one})' for one in _ORDINALS)}|(last|latter))(?:\s+(?:ones?|point|item))?\b(?!\s+\w)",
    re.I,
)


def completed(brief: Brief) -> Brief:
    """The brief with its question completed from the conversation before."""
    question = resolved(brief.question, brief.history.exchanges)
    return brief if question == brief.question else replace(brief, question=question)


def resolved(question: str, before: Sequence[Exchange]) -> str:
    """``question``, with the subject of the one before it when it has none of its own."""
    text = tidy(question)
    if not before or not _leans(text):
        return question
    topic = _topic(text, before)
    own = _ORDINAL.sub("", _OPENING.sub("", text)).strip(" ,.?!")
    if not _words(own) and not _ASKS.search(own):
        return topic
    if _STANDS_FOR.search(own) and not _A_QUESTION.search(topic):
        return _STANDS_FOR.sub(lambda _: topic, own, count=1)
    return f"{own} ({topic})"


def answered_before(brief: Brief) -> Finding | None:
    """The newest answer with statements that have sources, as a finding; None when there is none."""
    for exchange in reversed(brief.history.exchanges):
        if parse(exchange.answer).statements:
            text = f"{ANSWERED_BEFORE}\n{exchange.answer}"
            return Finding("before", "conversation", shorten(exchange.question, LONGEST_TOPIC), text)
    return None


def _leans(text: str) -> bool:
    """Whether the question has too few words of its own to be understood alone."""
    own = _words(_ORDINAL.sub("", _OPENING.sub("", text)))
    if not own:
        return True
    if len(own) == 1 and len(text.split()) <= _SHORTEST and _ASKS.search(text):
        return True
    points = bool(_VAGUE.search(text) or _ORDINAL.search(text))
    if not points and understand(_OPENING.sub("", text).strip()).form in ("definition", "compare"):
        return False
    return len(own) <= _MOST_OWN_WORDS and (points or bool(_OPENING.search(text)))


def _words(text: str) -> set[str]:
    """The words that say what a question is about."""
    return set(key_words(text, language_of(text))) - QUESTION_WORDS


def _topic(text: str, before: Sequence[Exchange]) -> str:
    """What the question before was about, or the part of it, or of its answer, that ``text`` counts to."""
    asked = understand(resolved(before[-1].question, before[:-1]))
    ordinal = _ORDINAL.search(text)
    if ordinal is None:
        return shorten(_subject(asked), LONGEST_TOPIC)
    at = -1 if ordinal[len(_ORDINALS) + 1] else next(i for i in range(len(_ORDINALS)) if ordinal[i + 1])
    parts = asked.topics if len(asked.topics) > 1 else _said(before[-1].answer)
    part = parts[at] if at < len(parts) and parts else _subject(asked)
    return shorten(part, LONGEST_TOPIC)


def _subject(asked: Question) -> str:
    if asked.form not in ("definition", "compare", "several"):
        return asked.text
    topics = " and ".join(_ARTICLE.sub("", topic) for topic in asked.topics)
    return f"{topics} ({asked.aspect})" if asked.aspect else topics


def _said(answer: str) -> tuple[str, ...]:
    """What each statement of an answer is about, in its order."""
    texts = [statement.text for statement in parse(answer).statements]
    return tuple(" ".join(key_words(text, language_of(text))) for text in texts)
