"""A run's title from its question: shortened by deletion, never reworded beyond "How to"."""

from __future__ import annotations

import re

from runtime.llm.offline.question import understand
from runtime.llm.offline.tasks import shorten
from runtime.llm.offline.words import ENGLISH_FUNCTION_WORDS

LONGEST = 60
EMPTY = "Empty question"

_HOW_TO = re.compile(r"^how (?:do|does|can|could|should|would|must) (?:i|we|you|one|someone)\s+", re.IGNORECASE)
_SUBORDINATE = re.compile(
    r"\s+(?:when|while|if|because|so that|although|after|before|unless|where|such that)\s+.*$", re.IGNORECASE
)


def title(question: str) -> str:
    """At most sixty characters, one line, first letter large."""
    asked = understand(question)
    if asked.form == "compare":
        text = " and ".join([", ".join(asked.topics[:-1]), asked.topics[-1]]) + ", compared"
    elif asked.form == "definition":
        text = re.sub(r"^(?:an?|the)\s+", "", asked.topics[0], flags=re.IGNORECASE)
    elif asked.form == "several":
        text = _one(asked.topics[0])
    else:
        text = _one(asked.text)
    text = " ".join(text.split())
    return _cut(text[:1].upper() + text[1:]) if text else EMPTY


def _cut(text: str) -> str:
    """Within the length; a cut does not leave a word at the end that only leads to the next ("… of the")."""
    if len(text) <= LONGEST:
        return text
    words = shorten(text, LONGEST).removesuffix("…").split(" ")
    while len(words) > 2 and words[-1].casefold().strip(",;:") in ENGLISH_FUNCTION_WORDS:
        words.pop()
    return " ".join(words).rstrip(" ,;:-") + "…"


def _one(question: str) -> str:
    text = _HOW_TO.sub("How to ", question.replace("\n", " "))
    return _SUBORDINATE.sub("", text) if len(text) > LONGEST else text
