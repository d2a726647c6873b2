"""What in an AG-UI request does not fit, with a pointer to it."""

from __future__ import annotations

from runtime.generator.contract import FieldError
from runtime.generator.problems import Refusal


def refused(pointer: str, words: str) -> Refusal:
    """A 422 that says where and why."""
    detail = f"The body does not fit: {pointer}: {words}."
    return Refusal(422, "validation_failed", detail, [FieldError(pointer=pointer, detail=words)])
