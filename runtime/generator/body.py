"""Reading a JSON body strictly: what two parsers could read differently, or no store can hold, is refused.

The table is SECURITY.md 1. ``orjson`` refuses everything outside the JSON grammar (NaN, BOM, invalid UTF-8, lone
surrogates, numbers beyond a double); the standard parser then runs only for what it lets pass: the same key twice.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request

from runtime.generator.contract import FieldError
from runtime.generator.problems import Refusal

BODY_DEADLINE_S = 30.0
"""For the whole body; a trickled one is given up (SECURITY.md 1)."""
MAX_DEPTH = 32
"""Of nested arrays and objects (SECURITY.md 1)."""
MAX_FIELD_ERRORS = 20
"""Told in one answer; a body of a thousand mistakes must not become a longer answer."""

Model = TypeVar("Model", bound=BaseModel)


async def read_body(request: Request, *, max_bytes: int, deadline_s: float = BODY_DEADLINE_S) -> bytes:
    """The bytes of a JSON body. Raises ``Refusal`` 415, 413, 408; ``ClientDisconnect`` when the client left midway."""
    _require_plain_json(request)
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared[:20]) > max_bytes:
        raise _too_large(max_bytes)
    try:
        async with asyncio.timeout(deadline_s):
            return await _collect(request, max_bytes)
    except TimeoutError as error:
        detail = f"The body did not arrive within {deadline_s:g} seconds."
        raise Refusal(408, "body_timeout", detail, headers={"Connection": "close"}) from error


def parse_json(raw: bytes) -> Any:
    """The value in ``raw``; Any because it is any JSON value. Raises ``Refusal`` 400 ``invalid_json``."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _invalid(f"{error.msg} (line {error.lineno}, column {error.colno}).") from error
    _examine(value)
    try:
        json.loads(raw, object_pairs_hook=_without_twins)
    except ValueError as error:
        raise _invalid(str(error)) from error
    return value


def validate(model: type[Model], value: Any) -> Model:
    """``value`` as ``model``. Raises ``Refusal`` 422 ``validation_failed`` with a pointer to each mistake."""
    try:
        # as JSON, since only there strictness reaches models within, whose arrays become tuples
        return model.model_validate_json(orjson.dumps(value), strict=True)
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_context=False, include_input=False)
        told = tuple(
            FieldError(pointer=_pointer(m["loc"]), detail=m["msg"].removeprefix("Value error, "))
            for m in mistakes[:MAX_FIELD_ERRORS]
        )
        detail = "The body does not fit: " + "; ".join(f"{e.pointer or 'the body'}: {e.detail}" for e in told[:3]) + "."
        raise Refusal(422, "validation_failed", detail, told) from error


def _require_plain_json(request: Request) -> None:
    encodings = [v.strip().lower() for v in request.headers.getlist("content-encoding")]
    if any(encoding not in ("", "identity") for encoding in encodings):
        raise Refusal(415, "unsupported_encoding", "Send the body as it is: no content encoding is accepted.")
    types = request.headers.getlist("content-type")
    media, *parameters = (piece.strip().lower() for piece in (types[0] if len(types) == 1 else "").split(";"))
    charsets = [p.partition("=")[2].strip('"') for p in parameters if p.startswith("charset=")]
    if media != "application/json" or any(charset != "utf-8" for charset in charsets):
        raise Refusal(415, "unsupported_media_type", "Send JSON in UTF-8, with 'Content-Type: application/json'.")


async def _collect(request: Request, max_bytes: int) -> bytes:
    collected = bytearray()
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        collected += message.get("body", b"")
        if len(collected) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return bytes(collected)


def _examine(value: Any) -> None:
    """Refuse NUL characters and deep nesting; without recursion, so that depth cannot hurt us either."""
    level, depth = [value], 0
    while level:
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _examine_text(item)
            elif isinstance(item, dict):
                for key in item:
                    _examine_text(key)
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if any(isinstance(item, dict | list) for item in level):
            depth += 1
        if depth > MAX_DEPTH:
            raise _invalid(f"It is nested more than {MAX_DEPTH} deep.")
        level = below


def _examine_text(text: str) -> None:
    if "\x00" in text:
        raise _invalid("It contains a NUL character (\\u0000), which cannot be stored.")


def _without_twins(pairs: list[tuple[str, Any]]) -> None:
    """Refuse an object that names a key twice. Gives nothing: only the looking counts."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("An object names the same key twice.")


def _pointer(location: tuple[int | str, ...]) -> str:
    """RFC 6901, cut to a length that a caller's own field names cannot stretch."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in location)
    return "".join(f"/{part}" for part in parts)[:200]


def _invalid(detail: str) -> Refusal:
    return Refusal(400, "invalid_json", f"The body is not JSON that can be used: {detail}")


def _too_large(max_bytes: int) -> Refusal:
    detail = f"The body is larger than {max_bytes} bytes."
    return Refusal(413, "body_too_large", detail, headers={"Connection": "close"})
