"""Secrets out of whatever is written: configured values in all their forms, and what looks like a key.

An event is redacted right before it is encoded, so the log, and with it every reader, page and copy, never holds a secret.
What a model says comes in pieces: of these, only the end that could be the beginning of a secret is held back until the
next piece, so that one cut in two is found and nothing else waits. Whatever the cuts, the pieces that come out are together
the redacted text.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from runtime.stream.key_patterns import KEY_PATTERNS, KeyPattern, at_start_of_word
from runtime.stream.secret_forms import forms_of

REDACTED = "[redacted]"
"""Stands in the place of a secret."""

CONTEXT = 2
"""Characters before a place that patterns look at."""

_LONG = 512
"""From so many characters on, each form is looked for by itself: faster than one expression for all of them."""


class Redactor:
    """Knows the secrets of one process. Pure: the same text gives the same text."""

    def __init__(self, values: Iterable[str] = (), patterns: Sequence[KeyPattern] = KEY_PATTERNS) -> None:
        """``values``: what is secret, as it is; a value that stands in ``[redacted]`` itself cannot be hidden."""
        forms = {form for value in values if value for form in forms_of(value)}
        self.forms = sorted((form for form in forms if form not in REDACTED), key=lambda form: (-len(form), form))
        """The longest first: of two that begin alike the longer one is meant."""
        self._longest = max(map(len, self.forms), default=0)
        self._by_start: dict[str, list[str]] = defaultdict(list)
        for form in self.forms:
            self._by_start[form[0]].append(form)
        self.whole = re.compile("|".join((*map(re.escape, self.forms), *(p.whole() for p in patterns))) or "(?!)")
        self._key = re.compile("|".join(pattern.whole() for pattern in patterns) or "(?!)")
        self._key_begun = re.compile("|".join(pattern.beginning() for pattern in patterns) or "(?!)")
        self.start = _starts(self.forms, (pattern.head for pattern in patterns))
        """Finds what begins like a secret, or might with the next character."""

    def text(self, text: str) -> str:
        """``text`` without secrets; the same object when there are none."""
        if len(text) >= _LONG and self._key.search(text) is None and not any(form in text for form in self.forms):
            return text
        return self.whole.sub(REDACTED, text) if self.whole.search(text) is not None else text

    def texts(self, texts: Sequence[str]) -> list[str]:
        """Texts that stand one after the other, without the secrets that go over from one to the next either."""
        spans = [found.span() for found in self.whole.finditer("".join(texts))]
        clean, begin = list[str](), 0
        for text in texts:
            clean.append(_without(text, [(start - begin, end - begin) for start, end in spans]))
            begin += len(text)
        return clean

    def data(self, value: Any) -> Any:
        """Any JSON value, keys included; the same object when nothing was found. Any: it is any JSON value."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            pairs = {self.text(key): self.data(item) for key, item in value.items()}
            same = len(pairs) == len(value) and all(pairs.get(key, value) is item for key, item in value.items())
            return value if same else pairs
        if isinstance(value, list | tuple):
            items = [self.data(item) for item in value]
            return value if all(new is old for new, old in zip(items, value, strict=True)) else items
        return value

    def holds(self, value: Any) -> bool:
        """Whether there is a secret in a JSON value."""
        return self.data(value) is not value

    def configured_in(self, text: str) -> bool:
        """Whether a configured value stands in it, in any form. Of base64 alone: what looks like a key is chance there."""
        return any(form in text for form in self.forms)

    def held_from(self, text: str, at: int) -> int:
        """Where, from ``at`` on, the first beginning of a secret stands that the end of ``text`` cuts off; its length if none."""
        while (found := self.start.search(text, at)) is not None:
            at = found.start()
            if self._cut_off(text, at):
                return at
            at += 1
        return len(text)

    def _cut_off(self, text: str, at: int) -> bool:
        if len(text) - at < self._longest:
            rest = text[at:]
            if any(form.startswith(rest) and form != rest for form in self._by_start[text[at]]):
                return True
        return self._key_begun.match(text, at) is not None


class Pieces:
    """One text that comes in pieces."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._before = ""
        """The last characters that were passed on, as they came; the context at least."""
        self.held = ""
        """The beginning, perhaps, of a secret."""

    def feed(self, piece: str) -> str:
        """What can be passed on after ``piece``."""
        # Without what was before, only an escape cut in two could make a difference to the search.
        if not self.held and self._redactor.start.search(piece) is None and self._before[-1:] != "\\":
            self._before = piece if len(piece) >= CONTEXT else (self._before + piece)[-CONTEXT:]
            return piece
        return self._passed(piece, final=False)

    def flush(self) -> str:
        """The rest: no piece follows."""
        return self._passed("", final=True) if self.held else ""

    def _passed(self, piece: str, *, final: bool) -> str:
        redactor, passed, before = self._redactor, list[str](), self._before[-CONTEXT:]
        text, at = before + self.held + piece, len(before)
        while True:
            until = len(text) if final else redactor.held_from(text, at)
            found = redactor.whole.search(text, at)
            if found is None or found.start() >= until:
                break
            passed += (text[at : found.start()], REDACTED)
            at = found.end()
        passed.append(text[at:until])
        self._before, self.held = text[max(0, until - CONTEXT) : until], text[until:]
        return "".join(passed)


def _starts(forms: Iterable[str], heads: Iterable[str]) -> re.Pattern[str]:
    """Finds the first two characters of a form anywhere, and of a head where a word begins; or the first at the end."""
    anywhere, at_a_start = _seconds(forms), _seconds(heads)
    found = [re.escape(one) + _next(two) for one, two in anywhere.items()]
    found += [re.escape(one) + at_start_of_word(re.escape(one)) + _next(two) for one, two in at_a_start.items()]
    return re.compile("|".join(found) or "(?!)")


def _seconds(words: Iterable[str]) -> dict[str, set[str]]:
    seconds: dict[str, set[str]] = defaultdict(set)
    for word in words:
        seconds[word[0]].add(word[1:2])
    return seconds


def _next(characters: set[str]) -> str:
    """Matches the end or one of ``characters``; anything if an empty one is among them."""
    return "" if "" in characters else rf"(?:\Z|[{''.join(map(re.escape, sorted(characters)))}])"


def _without(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """``text`` without ``spans``, of which some may lie outside it; the mark stands where one begins."""
    kept, at = list[str](), 0
    for start, end in spans:
        if end <= at or start >= len(text):
            continue
        kept += (text[at : max(at, start)], REDACTED if start >= 0 else "")
        at = end
    kept.append(text[at:])
    return "".join(kept)
