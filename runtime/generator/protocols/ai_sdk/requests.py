"""What a chat transport sends, read strictly: the last message, and options from the transport's ``body``.

Only the last message is believed, and of it only what a person can say. What came before is known here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from runtime.events.plan import Plan
from runtime.generator.admission import fingerprint
from runtime.generator.body import validate
from runtime.generator.contract import Body, FieldError, OnDisconnect
from runtime.generator.problems import Refusal
from runtime.generator.protocols.ai_sdk.chunks import ClientVersion
from runtime.generator.protocols.ai_sdk.response import VERSION_KEY
from runtime.generator.requests import ApprovalName, Budget, CreateRun, Deadline, Grace, MetadataKey, MetadataValue
from runtime.ids import IDENTIFIER

MESSAGE_KEY: Final = "ai-sdk.message"
"""In a run's metadata: the id that the client gave to the message it answers."""
REPLACES_KEY: Final = "ai-sdk.replaces"
"""In a run's metadata: the run in whose place it stands; what came after that one in its chat is no part of it any more."""
MAX_METADATA: Final = 12
"""Of the caller's own; a run has 16, and some are ours."""

MessageId = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[ -~]+$")]


class ChatMessage(BaseModel):
    """A ``UIMessage``; what this version does not know of it is passed over."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    id: Annotated[str, Field(max_length=200)] = ""
    role: Literal["system", "user", "assistant"]
    parts: Annotated[list[dict[str, Any]], Field(max_length=20_000)] = []
    """Any: the client's version decides what is in a part."""


class ChatAnswer(Body):
    """An answer to what a ``data-approval`` part asks."""

    approval: ApprovalName
    approved: bool = True
    text: Annotated[str, Field(max_length=20_000)] = ""
    """The answer to a question, or why not."""
    arguments_hash: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """What exactly is agreed to; whatever is asked under this name when left out."""
    plan: Plan | None = None
    """Of a plan: what is to be done instead."""


class ChatRequest(Body):
    """What ``DefaultChatTransport`` posts; the fields after ``messageId`` come from its ``body``, and mean what they mean in
    ``CreateRun``."""

    id: Annotated[str, Field(min_length=1, max_length=200)]
    """The chat's: the conversation's id here, up to 64 letters, digits, ``-`` and ``_``."""
    messages: Annotated[list[ChatMessage], Field(min_length=1, max_length=2000)]
    """The last is answered; the others may be left out."""
    trigger: Literal["submit-message", "regenerate-message"] = "submit-message"
    messageId: Annotated[str, Field(max_length=200)] | None = None
    documents: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    approve_plan: bool = False
    budget_usd: Budget | None = None
    deadline_s: Deadline = 3600.0
    grace_s: Grace = 30.0
    on_disconnect: OnDisconnect | None = None
    metadata: Annotated[dict[MetadataKey, MetadataValue], Field(max_length=MAX_METADATA)] = {}
    ai_sdk: ClientVersion = 6
    """The client's major version, where it matters: 5 cannot show tool approvals, 7 can take back what a model said."""
    answers: Annotated[list[ChatAnswer], Field(max_length=50)] = []
    """To what ``data-approval`` parts ask."""

    @field_validator("id")
    @classmethod
    def _is_a_conversation(cls, id: str) -> str:
        return chat_id(id)

    @field_validator("metadata")
    @classmethod
    def _is_not_ours(cls, metadata: dict[str, str]) -> dict[str, str]:
        if any(name.startswith("ai-sdk.") for name in metadata):
            raise ValueError("names that begin with ai-sdk. are taken")
        return metadata

    @property
    def last(self) -> ChatMessage:
        return self.messages[-1]

    @property
    def continued(self) -> ChatMessage | None:
        """The assistant's message that is gone on with; None: a person's message is answered."""
        named = [m for m in self.messages if m.role == "assistant" and m.id == self.messageId]
        if self.trigger == "submit-message" and named:
            return named[-1]
        return self.last if self.last.role == "assistant" else None


def chat_id(id: str) -> str:
    """``id``, if it can be a conversation's. Raises ``ValueError``."""
    if not IDENTIFIER.match(id):
        raise ValueError("a chat's id is 1 to 64 letters, digits, '-' and '_'; give the chat such an id")
    return id


def run_for(chat: ChatRequest, *, replaces: str | None = None) -> CreateRun:
    """The run that answers the chat's last message, a person's. Raises ``Refusal`` 422."""
    message = chat.last
    if message.role != "user" or not message.id:
        raise _refused(
            "/messages", "the last message must be a user's, with an id, or an assistant's that asks something"
        )
    noted = {MESSAGE_KEY: message.id}
    if chat.ai_sdk != 6:
        noted[VERSION_KEY] = str(chat.ai_sdk)
    if replaces is not None:
        noted[REPLACES_KEY] = replaces
    asked = {
        "input": "\n\n".join(_texts(message.parts)),
        "attachments": [_attachment(part) for part in message.parts if part.get("type") == "file"],
        "conversation_id": chat.id,
        "metadata": {**chat.metadata, **noted},
        **{name: getattr(chat, name) for name in ("documents", "approve_plan", "budget_usd", "deadline_s", "grace_s", "on_disconnect")},
    }  # fmt: skip
    return validate(CreateRun, asked)


def key_of(chat: ChatRequest, body: CreateRun) -> str:
    """The idempotency key: the same message with the same words and options is the same run, however often it is sent.

    An answer made anew is another run, since ``body`` names the one it replaces.
    """
    about = "\n".join((chat.trigger, chat.id, fingerprint(body)))
    return f"ai-sdk-{hashlib.sha256(about.encode()).hexdigest()}"


def _texts(parts: list[dict[str, Any]]) -> list[str]:
    texts = []
    for part in parts:
        match part.get("type"):
            case "text" if isinstance(part.get("text"), str):
                texts.append(part["text"])
            case "file" | "step-start":
                continue
            case str(kind) if kind.startswith("data-"):
                continue
            case kind:
                raise _refused("/messages", f"a user's message has texts, files and data, but no {str(kind)[:50]!r}")
    return texts


def _attachment(part: Mapping[str, Any]) -> dict[str, Any]:
    media, url, name = part.get("mediaType"), part.get("url"), part.get("filename")
    if not isinstance(media, str) or not isinstance(url, str):
        raise _refused("/messages", "a file has a mediaType and a url")
    kind = {"application/pdf": "pdf", "text/plain": "text"}.get(media, "image")
    attachment: dict[str, Any] = {"type": kind, "media_type": media}
    if isinstance(name, str) and name:
        attachment["name"] = name
    if url.startswith("data:"):
        head, _, attachment["data"] = url.partition(",")
        if not head.endswith(";base64"):
            raise _refused("/messages", "a file's data: url is in base64")
    else:
        attachment["url"] = url
    return attachment


def _refused(pointer: str, words: str) -> Refusal:
    detail = f"The body does not fit: {pointer}: {words}."
    return Refusal(422, "validation_failed", detail, [FieldError(pointer=pointer, detail=words)])
