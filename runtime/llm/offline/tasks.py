"""The titles of todos: written when planning, read back by their stages. Both ends live here, a pair."""

from __future__ import annotations

import re

from runtime.llm.offline.words import QUESTION_WORDS, key_words, language_of

SEARCH_FOR = "Search the documents: "
SEARCH_REASONS = "Search the documents for reasons: "
ORDER = "Rank and group what was found"
SIDE_BY_SIDE = "Set what was found side by side"
WRITE = "Write the answer with its sources"
WRITE_WITHOUT = "Say what can be said without documents"

_LONGEST_TOPIC = 160
_PREFIXES = (SEARCH_FOR, SEARCH_REASONS)
# Another model's planner writes titles freely: "Research the refund policy", "Find information about leases in the
# documents".
_INSTRUCTION = re.compile(
    r"^(?:re-?search|search|find(?: out)?|gather|collect|look (?:up|for|into)|investigate|read|identify|locate|retrieve"
    r"|review|examine|explore)\b(?:\s+(?:for|out|on|about|into|all|any|relevant|key|information|details|facts|passages"
    r"|evidence|what|(?:in )?(?:the |your )?documents?(?: say)?|about|regarding))*[\s:]+",
    re.IGNORECASE,
)


def search_title(topic: str, *, reasons: bool = False) -> str:
    """The title of a research todo about ``topic``."""
    prefix = SEARCH_REASONS if reasons else SEARCH_FOR
    return prefix + shorten(" ".join(topic.split()), _LONGEST_TOPIC)


def topic_of(title: str, question: str) -> str:
    """What a todo's title asks to look for; the question itself when the title names nothing."""
    for prefix in _PREFIXES:
        if title.startswith(prefix):
            return title.removeprefix(prefix)
    if title in (ORDER, SIDE_BY_SIDE, WRITE, WRITE_WITHOUT):
        return question
    rest = _INSTRUCTION.sub("", title.strip())
    return rest if set(key_words(rest, language_of(rest))) - QUESTION_WORDS else question


def shorten(text: str, longest: int) -> str:
    """``text`` cut between words to at most ``longest`` characters, with an ellipsis when something was cut."""
    if len(text) <= longest:
        return text
    cut = text[: longest - 1]
    at = cut.rfind(" ")
    return (cut[:at] if at > longest // 2 else cut).rstrip(" ,;:-") + "…"
