"""What a person attaches to a question, and a tool to its result: pictures, PDFs, texts. Kept in the event that brings them."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from runtime.events.base import EventData
from runtime.events.messages import DocumentBlock, ImageBlock

WITHOUT = frozenset({"offline", "local", "scripted"})
"""Adapters whose models read words only."""

KINDS: dict[str, Literal["image", "pdf", "text"]] = {
    "image/png": "image",
    "image/jpeg": "image",
    "image/gif": "image",
    "image/webp": "image",
    "application/pdf": "pdf",
    "text/plain": "text",
}
"""The media types there are."""

_BEGINNINGS: dict[str, tuple[bytes, ...]] = {
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/jpeg": (b"\xff\xd8\xff",),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/webp": (b"RIFF",),
    "application/pdf": (b"%PDF-",),
}


class Attachment(EventData):
    """One file, by its bytes or by its address."""

    family = "status"
    type: Literal["image", "pdf", "text"]
    media_type: str = ""
    """Empty when only the address is known."""
    data: str | None = None
    """Its bytes in base64."""
    url: str | None = None
    name: str = ""
    """What people call it; may be empty."""
    size: int = Field(default=0, exclude_if=lambda size: size == 0)
    """Bytes of what a tool attached; 0: not said."""


def looks_like(raw: bytes, media_type: str) -> bool:
    """Whether bytes begin as a picture or PDF of that type does."""
    begins = raw.startswith(_BEGINNINGS[media_type])
    return begins and (media_type != "image/webp" or raw[8:12] == b"WEBP")


def takes_attachments(model: str) -> bool:
    """Whether a model, as ``adapter:name``, can be shown attachments."""
    return model.partition(":")[0] not in WITHOUT


def called(attachments: Sequence[Attachment]) -> tuple[str, ...]:
    """Their names, for people and models; those without one are numbered."""
    return tuple(one.name or f"{one.type} {number}" for number, one in enumerate(attachments, start=1))


def blocks_of(attachments: Sequence[Attachment], *, citing: bool) -> tuple[ImageBlock | DocumentBlock, ...]:
    """What a model is shown of them; ``citing``: and is asked to cite. The API wants that for all documents or for none."""
    return tuple(_block(one, name, citing) for one, name in zip(attachments, called(attachments), strict=True))


def _block(one: Attachment, name: str, citing: bool) -> ImageBlock | DocumentBlock:
    if one.type == "image":
        return ImageBlock(source=_source(one))
    return DocumentBlock(source=_source(one), title=name, citations={"enabled": True} if citing else None)


def _source(one: Attachment) -> dict[str, Any]:  # Any: JSON of the API
    if one.url is not None:
        return {"type": "url", "url": one.url}
    if one.type == "text":
        text = b64decode(one.data or "").decode("utf-8", "replace")
        return {"type": "text", "media_type": "text/plain", "data": text}
    return {"type": "base64", "media_type": one.media_type, "data": one.data or ""}
