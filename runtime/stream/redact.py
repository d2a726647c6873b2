"""Redaction of whole events: every text of theirs, whatever its field; what only its provider can read stays as it came."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from pydantic import ValidationError

from runtime.errors import InternalError
from runtime.events.catalog import Event, ToolCompleted, TurnCompleted, TurnSnapshot
from runtime.events.codec import fields_of
from runtime.stream.redactor import REDACTED, Redactor

Json = dict[str, Any]
"""A content block as JSON. Any: the provider decides what is in it."""

_SEALED = ("signature", "encrypted_")
"""Beginnings of the names of fields that only their provider can read, and that must be sent back unchanged."""


def redacted(event: Event, redactor: Redactor) -> Event:
    """``event`` without secrets; itself when it holds none.

    Raises ``InternalError`` when one stands where only certain values are possible: the event cannot be written then.
    """
    fields = fields_of(event)
    clean = redactor.data({name: value for name, value in fields.items() if name not in ("content", "attachments")})
    if isinstance(event, TurnCompleted | TurnSnapshot):
        clean = {**clean, "content": _content(fields["content"], redactor)}
    elif isinstance(event, ToolCompleted) and event.attachments:
        clean = _attached(fields, clean, redactor)
    else:
        clean |= {name: redactor.data(fields[name]) for name in ("content", "attachments") if name in fields}
    if clean == fields:
        return event
    try:
        return type(event).model_validate(clean)
    except ValidationError:
        words = f"an event of type {event.type} held a secret where none can be left out"
    raise InternalError(words)  # outside: what it was raised for shows the secret


def _attached(fields: Json, clean: Json, redactor: Redactor) -> Json:
    """A tool's result without the files that hold a configured value: no part of their bytes can be left out."""
    kept = [one for one in fields["attachments"] if not redactor.configured_in(one["data"] or "")]
    named = [{**redactor.data({**one, "data": ""}), "data": one["data"]} for one in kept]
    gone = len(fields["attachments"]) - len(kept)
    words = f"{clean['result']}\n(left out, since they held a secret: {gone})" if gone else clean["result"]
    return {**clean, "result": words, "attachments": named}


def _content(blocks: list[Json], redactor: Redactor) -> list[Json]:
    """Blocks of a message. Texts that stand side by side are read as one: readers see them as one."""
    clean: list[Json] = []
    for are_texts, group in groupby(blocks, key=lambda block: block.get("type") == "text"):
        run = [_unsealed(block, redactor) for block in group]
        if are_texts:
            texts = redactor.texts([block["text"] for block in run])
            run = [{**block, "text": text} for block, text in zip(run, texts, strict=True)]
        clean += run
    return clean


def _unsealed(block: Json, redactor: Redactor) -> Json:
    match block.get("type"):
        case "redacted_thinking":
            return block
        case "tool_use" | "server_tool_use" | "tool_result":  # the model's own words: nothing is sealed in there
            written: Json = redactor.data(block)
            return written
        case "text":
            return {**_walked(block, redactor), "text": block["text"]}
        case "thinking":
            said = redactor.text(block["thinking"])
            # What is not as it was signed is not sent back, see runtime.llm.request.
            return block if said == block["thinking"] else {**block, "thinking": said, "signature": ""}
        case "image" | "document" if _in_bytes(block, redactor):
            return {"type": "text", "text": REDACTED}
    clean: Json = _walked(block, redactor)
    return clean


def _walked(value: Any, redactor: Redactor) -> Any:
    if isinstance(value, dict):
        return {
            redactor.text(key): item if key.startswith(_SEALED) else _walked(item, redactor)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_walked(item, redactor) for item in value]
    return redactor.data(value)


def _in_bytes(block: Json, redactor: Redactor) -> bool:
    """Whether a picture or document holds a configured value; a part of its bytes cannot be left out."""
    data = block.get("source", {}).get("data")
    return isinstance(data, str) and redactor.configured_in(data)
