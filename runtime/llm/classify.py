"""Which error a provider's answer is. Pure: status, headers and words go in, one :class:`ModelError` comes out.

The table is JOURNAL.md 1.5. Two things are easily got wrong. An error *event* in mid-stream travels under status 200,
so it is classified by its type and never by status. And a provider may say outright whether to repeat
(``x-should-retry``); it knows better than the status does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

from runtime.errors import (
    ModelError,
    ModelOverloaded,
    ModelProtocolError,
    ModelRateLimited,
    ModelRequestRejected,
    ModelTimeout,
    ModelUnauthorized,
)
from runtime.telemetry import guarded

MAX_DETAIL = 300
"""Characters of the provider's own words that go into a message."""

_BY_TYPE: dict[str, type[ModelError]] = {
    "rate_limit_error": ModelRateLimited,
    "overloaded_error": ModelOverloaded,
    "api_error": ModelOverloaded,
    "conflict_error": ModelOverloaded,
    "timeout_error": ModelTimeout,
    "invalid_request_error": ModelRequestRejected,
    "not_found_error": ModelRequestRejected,
    "request_too_large": ModelRequestRejected,
    "authentication_error": ModelUnauthorized,
    "permission_error": ModelUnauthorized,
    "billing_error": ModelUnauthorized,
}
"""From https://platform.claude.com/docs/en/api/errors and ``anthropic.types.shared.ErrorType``."""

_BY_STATUS: dict[int, type[ModelError]] = {
    401: ModelUnauthorized,
    402: ModelUnauthorized,
    403: ModelUnauthorized,
    408: ModelTimeout,
    409: ModelOverloaded,
    429: ModelRateLimited,
}

_BETWEEN = frozenset({408, 502, 504})
"""Said by a proxy between, or after the time was used up: the model behind may have worked, and what for is charged."""

_WORDS: dict[type[ModelError], str] = {
    ModelRateLimited: "the model's provider limits the rate of requests",
    ModelOverloaded: "the model's provider is overloaded or failing",
    ModelTimeout: "the model's provider did not answer in time",
    ModelRequestRejected: "the model's provider rejected the request",
    ModelUnauthorized: "the model's provider refused the key or its account; check ANTHROPIC_API_KEY",
    ModelProtocolError: "the model's provider reported an error of a kind that is not known",
}


def by_type(kind: str, detail: str) -> ModelError:
    """The error of an ``error`` event with that type; one with an unknown type is a :class:`ModelProtocolError`."""
    error = _BY_TYPE.get(kind, ModelProtocolError)
    return error(_sentence(_WORDS[error], kind or "no type", detail))


def by_status(status: int, detail: str, headers: Mapping[str, str], now: float) -> ModelError:
    """The error of an answer with that status.

    ``headers`` are looked up in lower case; ``now`` is seconds since the epoch, for a ``retry-after`` that is a date.
    A request refused outright is not billed; one that a proxy gave up waiting for may be.
    """
    error = _BY_STATUS.get(status) or (ModelOverloaded if status >= 500 else ModelRequestRejected)
    unbilled = status not in _BETWEEN
    should_retry = headers.get("x-should-retry", "").strip().lower()
    if should_retry == "false" and error.retryable:
        note = "and asked not to be asked again"
        return ModelRequestRejected(_sentence(f"{_WORDS[error]} {note}", f"status {status}", detail), None, unbilled)
    if should_retry == "true" and error is ModelRequestRejected:
        error = ModelOverloaded
    wait = retry_after_s(headers, now) if error.retryable else None
    return error(_sentence(_WORDS[error], f"status {status}", detail), wait, unbilled)


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds the provider asks to wait: ``retry-after-ms``, else ``retry-after`` in seconds or as an HTTP date.

    None when it asks for nothing that makes sense: garbage, negative, not finite, or a date gone by.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "")
    seconds = _number(text)
    return seconds if seconds is not None else _until(text, now)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _until(date: str, now: float) -> float | None:
    try:
        when = parsedate_to_datetime(date)
    except (ValueError, OverflowError):
        return None
    # The asctime form of an HTTP date names no zone; it is GMT all the same (RFC 9110, 5.6.7).
    seconds = (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now
    return seconds if seconds > 0 else None


def _sentence(words: str, kind: str, detail: str) -> str:
    detail = guarded(" ".join(detail.split()))  # before it is cut: half a secret would not be known as one
    if len(detail) > MAX_DETAIL:
        detail = detail[:MAX_DETAIL] + "…"
    return f"{words} ({kind}): {detail}" if detail else f"{words} ({kind})"
