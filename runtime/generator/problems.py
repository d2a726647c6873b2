"""The one place where failures become words: any exception in, an ``application/problem+json`` answer out (RFC 9457).

What a caller did is told in full; what happened on our side is told in general and logged with the request id, so that
no answer ever carries a secret, SQL or a stack trace. All 404s are one and the same body: nobody learns from it whether
something exists (SECURITY.md 1).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from urllib.parse import quote

from starlette.exceptions import HTTPException
from starlette.responses import Response

from runtime.errors import Busy, Conflict, HeadraceError, InvalidRequest, NotFound, OverQuota, StoreUnavailable
from runtime.generator.accept import PROBLEM
from runtime.generator.contract import FieldError, Problem
from runtime.telemetry import guarded, logger

STORE_RETRY_S = 2.0
"""``Retry-After`` while the store is away (JOURNAL.md 1.7)."""

_log = logger("generator.problems")


class Refusal(Exception):
    """A request refused at the door itself: its form, not its meaning. Never leaves the HTTP layer.

    Arguments: status, stable code, a sentence for people, then errors of single fields, headers and the log's head.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        head: int | None = None,
    ) -> None:
        super().__init__(status, code, detail, errors, headers, head)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = dict(headers or {})
        self.head = head


NOT_FOUND = Refusal(404, "not_found", "There is nothing here that you can see.")


def answer(error: Exception, *, path: str, request_id: str) -> Response:
    """The response for ``error``; logs it when it is not the caller's."""
    refusal = _refusal(error, request_id)
    known = refusal.status != 404
    problem = Problem(
        type=f"urn:headrace:problem:{refusal.code}",
        title=HTTPStatus(refusal.status).phrase,
        status=refusal.status,
        detail=guarded(refusal.detail),
        code=refusal.code,
        retryable=refusal.status in (408, 429, 503),
        instance=quote(guarded(path)) if known else None,
        request_id=request_id if known else None,
        errors=[FieldError(pointer=guarded(e.pointer), detail=guarded(e.detail)) for e in refusal.errors] or None,
        head=refusal.head,
    )
    body = problem.model_dump_json(exclude_none=True)
    headers = {"Cache-Control": "no-store", **refusal.headers}
    return Response(body, refusal.status, headers, media_type=PROBLEM)


def retry_after(seconds: float) -> dict[str, str]:
    """The ``Retry-After`` header: whole seconds, at least one."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def _refusal(error: Exception, request_id: str) -> Refusal:
    match error:
        case Refusal():
            return NOT_FOUND if error.status == 404 else error
        case NotFound():
            return NOT_FOUND
        case InvalidRequest():
            return Refusal(422, error.code, error.message or "The request cannot be used.")
        case Conflict():
            return Refusal(409, error.reason, error.message or "Not possible in the run's present state.")
        case Busy():
            detail = error.message or "Too much is under way; try again."
            return Refusal(503, error.code, detail, headers=retry_after(error.retry_after_s))
        case OverQuota():
            return Refusal(429, error.reason, error.message, headers=retry_after(error.retry_after_s))
        case StoreUnavailable():
            _log.warning("request %s: store unavailable: %s", request_id, error)
            detail = "The store of the runs cannot be reached just now; try again."
            return Refusal(503, error.code, detail, headers=retry_after(STORE_RETRY_S))
        case HTTPException():
            return _of_starlette(error)
        case _:
            return _ours(error, request_id)


def _of_starlette(error: HTTPException) -> Refusal:
    if error.status_code == 404:
        return NOT_FOUND
    status = HTTPStatus(error.status_code)
    return Refusal(error.status_code, status.name.lower(), status.description or status.phrase, headers=error.headers)


def _ours(error: Exception, request_id: str) -> Refusal:
    _log.error("request %s failed", request_id, exc_info=error)
    code = error.code if isinstance(error, HeadraceError) else "internal"
    return Refusal(500, code, "Something went wrong on our side; the request id leads to it in the server's log.")
