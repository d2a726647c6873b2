"""How keys look that nobody configured: each pattern as parts, from which two regular expressions are made.

``whole`` finds a key in a text. ``beginning`` says of a text that may go on whether it could become one: without it a key
that comes in two pieces would be seen too late. Both have bounds everywhere, so nothing is held back for ever.

Sources of the forms: the providers' own pages on their keys and GitHub's list of patterns for secret scanning.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

_WORD = "A-Za-z0-9_"


class Run(NamedTuple):
    """So many characters of one class."""

    of: str
    """A class of a regular expression, brackets included."""
    least: int
    most: int


@dataclass(frozen=True, slots=True)
class KeyPattern:
    """A kind of key: literal words and runs of characters, beginning with a word."""

    name: str
    """For people: whose keys these are."""
    parts: tuple[str | Run, ...]

    @property
    def head(self) -> str:
        """The word it begins with."""
        assert isinstance(self.parts[0], str)
        return self.parts[0]

    def whole(self) -> str:
        """Finds it anywhere but in the middle of a word. The test of the place stands behind the head, so that a search can
        skip what does not begin like one."""
        head = re.escape(self.head)
        return head + at_start_of_word(head) + "".join(map(_rendered, self.parts[1:]))

    def beginning(self) -> str:
        """Matches, up to the end of the text, what is not yet a whole key, or could be a longer one."""
        return at_start_of_word("") + re.escape(self.head[0]) + _unfinished((self.head[1:], *self.parts[1:]))


def at_start_of_word(head: str) -> str:
    """Tests, behind ``head``, that no word went on before it; the last letter of an escape such as ``\\n`` is none.

    At the beginning of a text nothing is known of what was before, and it passes.
    """
    return rf"(?:(?<![{_WORD}]{head})|(?<=\\[nrt]{head}))"


def _rendered(part: str | Run) -> str:
    return re.escape(part) if isinstance(part, str) else f"{part.of}{{{part.least},{part.most}}}"


def _unfinished(parts: tuple[str | Run, ...]) -> str:
    """Matches to the end of the text what could go on as ``parts``, whatever of them is there."""
    if not parts:
        return "(?!)"
    first, rest = parts[0], parts[1:]
    if isinstance(first, str):
        return rf"(?:\Z|{re.escape(first[0])}{_unfinished((first[1:], *rest))})" if first else _unfinished(rest)
    if not rest:
        return rf"{first.of}{{0,{first.most - 1}}}\Z"
    return rf"(?:{first.of}{{0,{first.most}}}\Z|{_rendered(first)}{_unfinished(rest)})"


_URL_SAFE = "[A-Za-z0-9_-]"
_ARMOUR = r"[A-Za-z0-9+/=\s\\]"
_BREAKS = r"[\s\\rn]"
_BEGIN, _KIND, _KEY = "-----BEGIN ", Run("[A-Z0-9 ]", 0, 24), "PRIVATE KEY"

KEY_PATTERNS: tuple[KeyPattern, ...] = (
    KeyPattern("Anthropic", ("sk-ant-", Run(_URL_SAFE, 20, 256))),
    KeyPattern("Headrace", ("hr_", Run(_URL_SAFE, 4, 64), ".", Run(_URL_SAFE, 32, 128))),
    KeyPattern("OpenAI, of a project", ("sk-proj-", Run(_URL_SAFE, 20, 256))),
    KeyPattern("OpenAI", ("sk-", Run("[A-Za-z0-9]", 40, 64))),
    KeyPattern("AWS, long-lived", ("AKIA", Run("[A-Z0-9]", 16, 16))),
    KeyPattern("AWS, temporary", ("ASIA", Run("[A-Z0-9]", 16, 16))),
    KeyPattern("GitHub", ("gh", Run("[pousr]", 1, 1), "_", Run("[A-Za-z0-9]", 36, 255))),
    KeyPattern("GitHub, fine-grained", ("github_pat_", Run("[A-Za-z0-9_]", 22, 255))),
    KeyPattern("GitLab", ("glpat-", Run(_URL_SAFE, 20, 255))),
    KeyPattern("Slack", ("xox", Run("[abeoprs]", 1, 1), "-", Run("[A-Za-z0-9-]", 10, 255))),
    KeyPattern("Google", ("AIza", Run(_URL_SAFE, 35, 35))),
    KeyPattern("Stripe", ("sk_live_", Run("[A-Za-z0-9]", 16, 255))),
    KeyPattern("Stripe, restricted", ("rk_live_", Run("[A-Za-z0-9]", 16, 255))),
    KeyPattern(
        "private key block",
        (
            *(_BEGIN, _KIND, _KEY, Run("[A-Z ]", 0, 6), "-----", Run(_BREAKS, 1, 8)),
            *(Run("[A-Za-z0-9+/=]", 16, 80), Run(_ARMOUR, 0, 16384)),
        ),
    ),
    KeyPattern(
        "private key block, encrypted",
        (_BEGIN, _KIND, _KEY, "-----", Run(_BREAKS, 1, 8), "Proc-Type:", Run(r"[A-Za-z0-9+/=\s\\:,-]", 16, 16384)),
    ),
)
"""In this order where two begin at one place."""
