"""The forms in which a secret may stand in a text: as it is, escaped, for an address, in base64."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from math import ceil
from urllib.parse import quote, quote_plus

SHORTEST = 8
"""Characters of a form made from a value; a shorter one would stand in innocent text by chance."""

LONG = 12
"""Characters of a piece of a value that are looked for by themselves."""

_ESCAPED = re.compile(r"""[^ -~]|["'\\]""")
"""What quoting changes."""

_PERCENT = re.compile("%[0-9A-F]{2}")


def forms_of(value: str) -> frozenset[str]:
    """``value`` and what it looks like inside JSON, in an address, and anywhere inside base64 (both alphabets)."""
    made = {*_escaped(value), *_in_base64(value.encode("utf-8", "surrogatepass"))}
    return frozenset({value, *(form for form in made if len(form) >= SHORTEST)})


def _escaped(value: str) -> Iterator[str]:
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    if len(plain := [run for run in _ESCAPED.split(value) if len(run) >= LONG]) and plain != [value]:
        yield from plain  # what stays as it is, however often a text is quoted in another
    for form in (
        quote(value, safe="", errors="replace"),
        quote(value, errors="replace"),
        quote_plus(value, errors="replace"),
    ):
        yield form
        yield _PERCENT.sub(lambda found: found[0].lower(), form)


def _in_base64(value: bytes) -> Iterator[str]:
    """What any text in base64 shows of ``value``: three forms, by how many bytes before it are left over from groups of three.

    Characters that hold bits of something else as well are left out; so up to one of them may stay on either side.
    """
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + value).decode()
        core = encoded[ceil(before * 8 / 6) : (before + len(value)) * 8 // 6]
        yield core
        yield core.translate(str.maketrans("+/", "-_"))
