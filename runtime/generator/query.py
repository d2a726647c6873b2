"""The query string: only names that are known, how many, and before which one.

Refused with 400 ``invalid_query`` when it is malformed, with 422 ``unknown_parameter`` when it has a name of its own.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from starlette.requests import Request

from runtime.generator.problems import Refusal
from runtime.ids import is_run_id

_NUMBER: Final = re.compile(r"[0-9]{1,9}")
_PLACE: Final = re.compile(r"[1-9][0-9]{0,17}")


def require_known(request: Request, names: Collection[str]) -> None:
    """Refuse a name that is not among ``names``: a filter that is ignored would pass for one that was applied."""
    unknown = sorted(set(request.query_params) - set(names))
    if unknown:
        known = f"it takes {', '.join(sorted(names))}" if names else "it takes none"
        raise Refusal(
            422, "unknown_parameter", f"The query has a parameter {unknown[0][:64]!r} that is not known; {known}."
        )


def limit_of(request: Request, *, default: int, most: int) -> int:
    """How many are wanted."""
    given = request.query_params.getlist("limit")
    if not given:
        return default
    if len(given) > 1 or not _NUMBER.fullmatch(given[0]) or not 1 <= int(given[0]) <= most:
        raise Refusal(400, "invalid_query", f"limit is given once, as a number from 1 to {most}.")
    return int(given[0])


def hours_of(request: Request, *, default: int, most: int) -> int:
    """How far to look back."""
    given = request.query_params.getlist("hours")
    if not given:
        return default
    if len(given) > 1 or not _NUMBER.fullmatch(given[0]) or not 1 <= int(given[0]) <= most:
        raise Refusal(400, "invalid_query", f"hours is given once, as a number from 1 to {most}.")
    return int(given[0])


def place_before(request: Request) -> int | None:
    """The place in a list that the page comes before."""
    given = request.query_params.getlist("before")
    if not given:
        return None
    if len(given) > 1 or not _PLACE.fullmatch(given[0]):
        raise Refusal(400, "invalid_query", "before is given once, as next_before of the page before.")
    return int(given[0])


def run_before(request: Request) -> str | None:
    """The run that the page comes before."""
    given = request.query_params.getlist("before")
    if not given:
        return None
    if len(given) > 1 or not is_run_id(given[0]):
        raise Refusal(400, "invalid_query", "before is given once, as next_before of the page before.")
    return given[0]
