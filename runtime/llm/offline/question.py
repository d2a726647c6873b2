"""The form of a question, read from its words: it decides the plan, the title and what a good statement looks like.

The patterns are English; a question in another language is taken as ``plain``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from runtime.llm.offline.words import key_words, language_of

Form = Literal["definition", "how", "why", "compare", "list", "several", "plain"]

MOST_TOPICS = 3
LONGEST = 2000
"""Characters of a question that are read; a longer one is cut, the rest says hardly anything new about its form."""

_POLITE = re.compile(
    r"^(?:(?:hi|hello|hey|please|ok|okay|so|well|thanks)\b[\s,!.:]*|(?:can|could|would|will) you (?:please )?"
    r"(?=tell|explain|describe|show|list|give|compare|help|summari)|(?:i (?:want|would like|'d like"
    r"|need) to (?:know|understand|learn)"
    r"|tell me|explain(?: to me)?|show me|do you know|help me (?:to )?understand|give me)\b[\s,:]*(?:about\s+)?)+",
    re.IGNORECASE,
)
_ASKS = r"(?:how|what|why|when|where|which|who|whose|can|could|does|do|is|are|should|will|must|may)"
_JOINT = re.compile(
    rf"\?+\s+|\?*,?\s+(?:and|also|or)\s+(?:also\s+)?(?={_ASKS}\s)|[;\n]+\s*(?={_ASKS}\s)", re.IGNORECASE
)
_COMPARE = (
    re.compile(r"^(?:compare|contrast|comparison (?:of|between)|compare and contrast)\s+(.+)$", re.IGNORECASE),
    re.compile(
        r"\b(?:differences?|distinction|similarities|trade-?offs?|comparison) (?:between|of)\s+(.+)$", re.IGNORECASE
    ),
    re.compile(r"^how (?:do|does|is|are)\s+(.+?\s(?:differs?|different)\s(?:from|to|than)\s.+)$", re.IGNORECASE),
    re.compile(r"^(?:what are the )?pros and cons of\s+(.+\s(?:and|vs\.?|versus|or|over)\s.+)$", re.IGNORECASE),
    re.compile(
        r"^(?:which is (?:better|faster|cheaper|safer)[,:]?\s+|when (?:should|do|to) \S+ (?:use"
        r"|choose) )?(.+\s(?:vs\.?|versus)\s.+)$",
        re.IGNORECASE,
    ),
    re.compile(r"^which is (?:better|faster|cheaper|safer|simpler)[,:]?\s+(.+\sor\s.+)$", re.IGNORECASE),
)
_ASPECT = re.compile(
    r"\s+(?:in terms of|with (?:regard|respect) to|regarding|concerning|when it comes to|for|by)\s+(.+)$", re.IGNORECASE
)
_SIDES = re.compile(
    r"\s*,\s*(?:and|or)\s+|\s*,\s*|\s+(?:and|with|to|or|vs\.?|versus|against|over|than|(?:differs?"
    r"|different) (?:from|to|than))\s+",
    re.IGNORECASE,
)
_FORMS: tuple[tuple[Form, re.Pattern[str]], ...] = (
    (
        "why",
        re.compile(
            r"^(?:why|how come|for what reason|what (?:is|are|was|were) the (?:reasons?|causes?|purpose|motivation))\b",
            re.IGNORECASE,
        ),
    ),
    (
        "list",
        re.compile(
            r"^(?:list|name|enumerate|which|what (?:are|were) (?:all|the|some|its|their)\b|what (?:kinds?|types?"
            r"|sorts?) of|what \w+s (?:are|does|do|can|may|must|has|have)\b)",
            re.IGNORECASE,
        ),
    ),
    (
        "how",
        re.compile(
            r"^(?:how\b(?! (?:many|much|long|often|old|far|big|large)\b)|(?:the )?(?:steps|instructions|procedure"
            r"|ways?) (?:to|for)\b)",
            re.IGNORECASE,
        ),
    ),
    (
        "definition",
        re.compile(
            r"^(?:define|definition of|meaning of|what(?:'s|’s| is| are| was| does) (?:meant by |the (?:meaning"
            r"|definition) of )?(?:an? |the )?(?:[\w'’./-]+\s?){1,4}(?: mean| do)?$|who (?:is|are|was))\b",
            re.IGNORECASE,
        ),
    ),
)
_DEFINED = re.compile(
    r"^(?:define|definition of|meaning of|what(?:'s|’s| is| are| was| does)|who (?:is|are|was))\s+(?:meant by\s+"
    r"|the (?:meaning|definition) of\s+)?(?:the term\s+)?(.+?)(?:\s+(?:mean|do))?$",
    re.IGNORECASE,
)
_MOST_ABOUT = 4
"""Words of a question that tell the next one what it is about."""
_VAGUE = re.compile(r"\b(?:it|its|they|them|their|this|that|these|those)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Question:
    """A question, understood as far as its form goes."""

    text: str
    """Politeness, spare space and the closing mark removed."""
    form: Form
    topics: tuple[str, ...]
    """What to look for: the sides of a comparison, the questions of several, otherwise one."""
    aspect: str = ""
    """In a comparison: with regard to what."""


def understand(question: str) -> Question:
    """The form and topics of ``question``; any text has one."""
    text = tidy(question)
    sides, aspect = _compared(text)
    if sides:
        return Question(text, "compare", sides, aspect)
    parts = [part for part in (tidy(part) for part in _JOINT.split(text)) if part]
    if len(parts) > 1:
        return Question(text, "several", tuple(_pointed(parts)[:MOST_TOPICS]))
    form: Form = next((form for form, pattern in _FORMS if pattern.search(text)), "plain")
    defined = _DEFINED.match(text) if form == "definition" else None
    return Question(text, form, (defined[1] if defined else text,))


def tidy(question: str) -> str:
    """One line without greeting and closing marks."""
    text = "\n".join(" ".join(line.split()) for line in question[:LONGEST].splitlines() if line.strip())
    return _POLITE.sub("", text.strip()).strip().rstrip("?!. ").strip()


def _compared(text: str) -> tuple[tuple[str, ...], str]:
    if "\n" in text or "? " in text:
        return (), ""
    for pattern in _COMPARE:
        found = pattern.search(text)
        if not found:
            continue
        aspect = _ASPECT.search(found[1])
        named = found[1][: aspect.start()] if aspect else found[1]
        sides = tuple(side for side in map(_side, _SIDES.split(named)) if side)
        if 2 <= len(sides) <= MOST_TOPICS and all(len(side.split()) <= 8 for side in sides):
            return sides, aspect[1].strip() if aspect else ""
    return (), ""


def _side(text: str) -> str:
    return re.sub(r"^(?:between|the|an?|both)\s+", "", text.strip(" ,"), flags=re.IGNORECASE)


def _pointed(parts: list[str]) -> list[str]:
    """A later question that says "it" is told what the first one was about."""
    subject = _DEFINED.match(parts[0])
    about = subject[1] if subject else " ".join(key_words(parts[0], language_of(parts[0]), _MOST_ABOUT))
    return [f"{part} ({about})" if i and about and _VAGUE.search(part) else part for i, part in enumerate(parts)]
