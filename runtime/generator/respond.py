"""Answers in JSON, never kept by a cache on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import BaseModel
from starlette.responses import Response

from runtime.generator.accept import JSON

NO_STORE: Final = {"Cache-Control": "no-store"}


def as_json(body: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """``body`` as the answer."""
    return Response(body.model_dump_json(by_alias=True), status, {**NO_STORE, **(headers or {})}, media_type=JSON)
