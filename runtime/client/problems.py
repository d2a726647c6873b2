"""An answer that is not 2xx, as one of our errors: the mirror image of ``runtime.generator.problems``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from runtime.errors import Busy, Conflict, HeadraceError, InvalidRequest, NotFound


class ServerError(HeadraceError):
    """The server failed; ``reason`` is the stable code it gave, ``status`` its HTTP status."""

    code = "server_error"
    retryable = True

    def __init__(self, message: str = "", reason: str = "server_error", status: int = 500) -> None:
        super().__init__(message, reason, status)
        self.reason = reason
        self.status = status


def problem(status: int, headers: Mapping[str, str], body: bytes) -> HeadraceError:
    """The error in an ``application/problem+json`` answer; any other body still becomes a sentence."""
    fields = _fields(body)
    words = _words(fields) or f"the server answered HTTP {status}"
    code = str(fields.get("code") or "")
    if status == 404:
        return NotFound(words)
    if status == 401:
        return InvalidRequest(f"{words} Set HEADRACE_API_KEY, or give the client an api_key.")
    if status == 409:
        return Conflict(words, code or "conflict")
    if status in (429, 503):
        return Busy(words, _seconds(headers.get("retry-after")))
    if 400 <= status < 500:
        return InvalidRequest(words)
    return ServerError(words, code or "server_error", status)


def _words(fields: dict[str, Any]) -> str:
    words = str(fields.get("detail") or fields.get("title") or "")
    errors = fields.get("errors")
    single = [e for e in errors if isinstance(e, dict)] if isinstance(errors, list) else []
    more = [f"{e.get('pointer')}: {e.get('detail')}" for e in single if str(e.get("detail")) not in words]
    return "; ".join([words, *more])


def _fields(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _seconds(text: str | None) -> float:
    """``Retry-After`` in seconds; its date form, which our server never sends, counts as the usual wait."""
    try:
        return max(0.0, float(text)) if text else 2.0
    except ValueError:
        return 2.0
