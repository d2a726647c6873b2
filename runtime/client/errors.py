"""What a client raises. All are :class:`runtime.errors.HeadraceError`, so ``except NotFound`` and the like work too.

::

    HeadraceError
    ├── ApiError                  the server refused: status, code, retry_after, request_id, errors
    │   ├── BadRequest            400, 413, 422 ...: what was sent cannot be used       (InvalidRequest)
    │   ├── NotAuthenticated      401: no key, or one that is not valid                 (CallerError)
    │   ├── NotAllowed            403: the key has not the right                        (CallerError)
    │   ├── Missing               404: no such thing, or none that may be known of      (NotFound)
    │   ├── Refused               409: not possible in the present state                (Conflict)
    │   ├── TryLater              429, 503: after retry_after seconds                   (Busy)
    │   └── ServerError           5xx: the server failed
    ├── Unreachable               nothing answers, or a broken connection could not be made again
    └── Gap                       events are missing; the reader asks for them again by itself

``code`` of an ``ApiError`` is the server's own stable word, such as ``conversation_busy`` or ``cursor_ahead``; of the
others, and where the answer was none of ours, it is the word of the class. ``retryable`` says whether the same request may succeed later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from runtime.errors import Busy, CallerError, Conflict, HeadraceError, InvalidRequest, NotFound

USUAL_WAIT_S = 2.0
"""When a server that is busy does not say how long."""


class Refusal(NamedTuple):
    """What a server says when it refuses."""

    status: int = 0
    code: str = ""
    """Its stable word for why; empty when the answer was none of ours."""
    retryable: bool = False
    retry_after: float | None = None
    """Seconds."""
    request_id: str | None = None
    """Under which the server's own log has it."""
    errors: tuple[tuple[str, str], ...] = ()
    """Single mistakes in what was sent: JSON pointer, what is wrong there."""


class ApiError(HeadraceError):
    """The server refused."""

    code = "api_error"

    def __init__(self, message: str = "", refusal: Refusal = Refusal()) -> None:  # noqa: B008 - it is immutable
        HeadraceError.__init__(self, message, refusal)
        self.refusal = refusal
        self.status = refusal.status
        self.code = refusal.code or type(self).code
        self.retryable = refusal.retryable
        self.retry_after = refusal.retry_after
        self.request_id = refusal.request_id
        self.errors = refusal.errors


class BadRequest(ApiError, InvalidRequest):
    """What was sent cannot be used."""

    code = "bad_request"


class NotAuthenticated(ApiError, CallerError):
    """There is no key, or it is not valid (any more)."""

    code = "unauthorized"


class NotAllowed(ApiError, CallerError):
    """The key has not the right."""

    code = "forbidden"


class Missing(ApiError, NotFound):
    """There is no such thing, or the asker may not know of it."""

    code = "missing"


class Refused(ApiError, Conflict):
    """Not possible in the present state; ``code`` says why, and so does ``reason``."""

    code = "refused"

    def __init__(self, message: str = "", refusal: Refusal = Refusal()) -> None:  # noqa: B008 - it is immutable
        ApiError.__init__(self, message, refusal)
        self.reason = self.code


class TryLater(ApiError, Busy):
    """Too much is under way, or something is away; ask again after ``retry_after`` seconds."""

    code = "try_later"

    def __init__(self, message: str = "", refusal: Refusal = Refusal()) -> None:  # noqa: B008 - it is immutable
        after = USUAL_WAIT_S if refusal.retry_after is None else refusal.retry_after
        ApiError.__init__(self, message, refusal._replace(retryable=True, retry_after=after))
        self.retry_after_s = after


class ServerError(ApiError):
    """The server failed."""

    code = "server_error"


class Unreachable(HeadraceError):
    """Nothing answers, or the connection broke and could not be made again."""

    code = "unreachable"
    retryable = True


class Gap(HeadraceError):
    """An event's number is not the next one: the connection is given up and the missing ones asked for again."""

    code = "gap"
    retryable = True


_REMEDY = "Set HEADRACE_API_KEY, or give the client an api_key."

_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: NotAuthenticated,
    403: NotAllowed,
    404: Missing,
    409: Refused,
    410: Refused,
    429: TryLater,
    503: TryLater,
}


def refused(status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
    """The error in an ``application/problem+json`` answer; any other body still becomes a sentence."""
    fields = _fields(body)
    errors = tuple((str(e.get("pointer", "")), str(e.get("detail", ""))) for e in _list(fields.get("errors")))
    words = str(fields.get("detail") or fields.get("title") or "")
    more = [f"{pointer}: {detail}" for pointer, detail in errors if detail not in words]
    request_id = fields.get("request_id") or headers.get("x-request-id")
    refusal = Refusal(
        status,
        str(fields.get("code") or ""),
        bool(fields.get("retryable", status >= 500)),
        _seconds(headers.get("retry-after")),
        str(request_id) if request_id else None,
        errors,
    )
    kind = _BY_STATUS.get(status) or (BadRequest if 400 <= status < 500 else ServerError)
    said = "; ".join([words, *more]) or f"the server answered HTTP {status}"
    return kind(f"{said} {_REMEDY}" if status == 401 else said, refusal)


def _fields(body: bytes) -> dict[str, Any]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _seconds(text: str | None) -> float | None:
    """``Retry-After`` in seconds; its date form, which our server never sends, counts as not given."""
    try:
        return max(0.0, float(text)) if text else None
    except ValueError:
        return None
