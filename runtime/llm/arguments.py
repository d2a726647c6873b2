"""Tool arguments, parsed strictly: one JSON object and nothing else.

Lenient parsers turn ``{"path": "/etc`` into a call on ``/etc`` (JOURNAL.md 4.1). Every adapter parses here.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

MAX_DEPTH = 100
"""Nesting of arguments: far more than a tool takes, less than the 250 levels our own JSON can be written with."""
_INT64 = range(-(2**63), 2**63)


def parse(raw: str) -> dict[str, Any]:
    """The arguments in ``raw``; raises ``ValueError`` with words a model can act on.

    orjson refuses NaN, infinities, lone surrogates and anything after the value; ``Any`` because the tool decides.
    """
    try:
        value = orjson.loads(raw)
    except ValueError as error:
        raise ValueError(f"the arguments are not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise ValueError(f"the arguments must be a JSON object, not {type(value).__name__}")
    _refuse_numbers_that_change(raw)
    if deeper_than(value, MAX_DEPTH):
        raise ValueError(f"the arguments are nested more than {MAX_DEPTH} levels deep")
    return value


def deeper_than(value: Any, levels: int) -> bool:
    """Whether ``value``, any JSON, is nested more than ``levels`` deep."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return levels == 0 or any(deeper_than(item, levels - 1) for item in inner)
    return False


def _refuse_numbers_that_change(raw: str) -> None:
    # orjson reads an integer of more than 64 bits as a float: another number than the model wrote.
    try:
        json.loads(raw, parse_int=_bounded)
    except RecursionError as error:
        raise ValueError("the arguments are nested too deeply") from error


def _bounded(digits: str) -> int:
    number = int(digits) if len(digits) <= 20 else None
    if number is None or number not in _INT64:
        raise ValueError("the arguments hold an integer of more than 64 bits")
    return number
