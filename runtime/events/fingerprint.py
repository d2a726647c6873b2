"""A fingerprint of exactly what a person agrees to."""

from __future__ import annotations

import hashlib
from typing import Any

import orjson


def fingerprint(value: Any) -> str:
    """SHA-256, in hex, of a JSON value, whatever the order of its keys. Any: JSON has no narrower type."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS)).hexdigest()
