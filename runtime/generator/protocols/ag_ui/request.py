"""AG-UI's request as ours: the last message of the user is the question; what was said before, we know ourselves.

``RunAgentInput`` is open to fields it does not name, as the protocol wants. What is Headrace's own in it
(``forwardedProps.headrace``) is closed and strict, like the native API.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Annotated, Any, TypeVar

from ag_ui.core import types as agt
from pydantic import BaseModel, Field, ValidationError

from runtime.generator.body import validate
from runtime.generator.contract import Body, OnDisconnect
from runtime.generator.protocols.ag_ui.mistakes import refused
from runtime.generator.protocols.ag_ui.projection import MESSAGE_ID_NOTE, RUN_ID_NOTE
from runtime.generator.requests import Budget, CreateRun, Deadline, Grace, MetadataKey, MetadataValue
from runtime.ids import IDENTIFIER

Model = TypeVar("Model", bound=BaseModel)

NAME_CHARS = 200
"""Of a run's and a message's id: they are kept with the run."""


class Wishes(Body):
    """``forwardedProps.headrace``: the conditions of a run, as in the native API."""

    documents: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    on_disconnect: OnDisconnect | None = None
    grace_s: Grace = 30.0
    deadline_s: Deadline = 3600.0
    budget_usd: Budget | None = None
    approve_plan: bool = False
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=14)] = {}


def read_input(value: Any) -> agt.RunAgentInput:  # Any: JSON
    """A valid request with names that we can keep. Raises ``Refusal`` 422."""
    body = validate(agt.RunAgentInput, value)
    if not IDENTIFIER.match(body.thread_id):
        raise refused("/threadId", "a thread is named by 1 to 64 letters, digits, '-' and '_'")
    if not 1 <= len(body.run_id) <= NAME_CHARS:
        raise refused("/runId", f"a run is named by 1 to {NAME_CHARS} characters")
    return body


def wishes_of(body: agt.RunAgentInput) -> Wishes:
    """What is said to Headrace. Raises ``Refusal`` 422."""
    forwarded = body.forwarded_props
    own = forwarded.get("headrace") if isinstance(forwarded, dict) else None
    return Wishes() if own is None else _checked(Wishes, own, "/forwardedProps/headrace")


def question_of(body: agt.RunAgentInput) -> CreateRun:
    """The run that is asked for. Raises ``Refusal`` 422."""
    place = next((n for n in reversed(range(len(body.messages))) if body.messages[n].role == "user"), None)
    if place is None:
        raise refused("/messages", "there is no message of the user to answer")
    asked = body.messages[place]
    if len(asked.id) > NAME_CHARS:
        raise refused(f"/messages/{place}/id", f"a message is named by up to {NAME_CHARS} characters")
    text, attachments = _content(asked.content, f"/messages/{place}/content")
    if body.context:
        attachments.append(_context(body.context))
    wishes = wishes_of(body)
    return _checked(
        CreateRun,
        {
            **wishes.model_dump(),
            "input": text,
            "attachments": attachments,
            "conversation_id": body.thread_id,
            "metadata": {**wishes.metadata, RUN_ID_NOTE: body.run_id, MESSAGE_ID_NOTE: asked.id},
        },
        f"/messages/{place}/content",
    )


def key_of(body: agt.RunAgentInput) -> str:
    """The idempotency key: the same run of the same thread, asked for again, is the same run."""
    return "ag-ui-" + hashlib.sha256(f"{body.thread_id}\n{body.run_id}".encode()).hexdigest()


def _content(content: object, pointer: str) -> tuple[str, list[dict[str, Any]]]:
    """Text and attachments of a message."""
    if isinstance(content, str):
        return content, []
    texts: list[str] = []
    attachments: list[dict[str, Any]] = []
    for place, part in enumerate(content if isinstance(content, list) else []):
        match part:
            case agt.TextPart():
                texts.append(part.text)
            case agt.ImagePart():
                attachments.append(_attachment(part.source, "image", f"{pointer}/{place}"))
            case agt.DocumentPart():
                attachments.append(_attachment(part.source, None, f"{pointer}/{place}"))
            case _:
                raise refused(f"{pointer}/{place}", "sound and film cannot be read here")
    return "\n".join(texts), attachments


def _attachment(source: object, kind: str | None, pointer: str) -> dict[str, Any]:
    match source:
        case agt.DataSource(mime_type=mime_type):
            kind = kind or ("text" if mime_type == "text/plain" else "pdf")
            return {"type": kind, "media_type": mime_type, "data": source.value}
        case agt.UrlSource():
            return {"type": kind or "pdf", "url": source.value}
        case _:
            raise refused(f"{pointer}/source", "files that stand with a provider cannot be read here")


def _context(context: list[agt.Context]) -> dict[str, Any]:
    """What the page knows, as one text beside the question."""
    text = "\n\n".join(f"{one.description}:\n{one.value}" for one in context)
    return {"type": "text", "media_type": "text/plain", "data": b64encode(text.encode()).decode(), "name": "context"}


def _checked(model: type[Model], value: object, pointer: str) -> Model:
    """``value`` as ``model``; a mistake points into AG-UI's request. Raises ``Refusal`` 422."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        inner = "" if first["loc"][:1] == ("input",) else "".join(f"/{part}" for part in first["loc"])
        raise refused(f"{pointer}{inner}"[:200], first["msg"].removeprefix("Value error, ")) from error
