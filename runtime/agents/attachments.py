"""The first message of a conversation: what was attached, then the brief. Pure.

Models that read words only are told the names of what was attached, so that they can say in their answer what is missing.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from runtime.events.attachments import Attachment, called
from runtime.events.brief import Brief, render
from runtime.events.messages import ContentBlock, DocumentBlock, ImageBlock, Message, TextBlock


def first_message(brief: Brief, attachments: tuple[Attachment, ...], *, shown: bool, citing: bool = False) -> Message:
    """The message. ``shown``: the model sees the attachments themselves; ``citing``: and is asked to cite the documents."""
    if not attachments:
        return Message(role="user", content=(TextBlock(text=render(brief)),))
    if shown:
        blocks = [_block(one, name, citing) for one, name in zip(attachments, called(attachments), strict=True)]
        return Message(role="user", content=(*blocks, TextBlock(text=render(brief))))
    return Message(role="user", content=(TextBlock(text=f"{render(brief)}\n\n{_left_out(attachments)}"),))


def _left_out(attachments: tuple[Attachment, ...]) -> str:
    words = "Attached to the question and left out here: you cannot see it."
    names = zip(attachments, called(attachments), strict=True)
    rows = [f'<attachment type="{one.type}" name={quoteattr(name)}>{escape(words)}</attachment>' for one, name in names]
    return "\n".join(rows)


def _block(one: Attachment, name: str, citing: bool) -> ContentBlock:
    if one.type == "image":
        return ImageBlock(source=_source(one))
    # The API wants citations for all documents of a request or for none.
    return DocumentBlock(source=_source(one), title=name, citations={"enabled": True} if citing else None)


def _source(one: Attachment) -> dict[str, Any]:  # Any: JSON of the API
    if one.url is not None:
        return {"type": "url", "url": one.url}
    if one.type == "text":
        text = b64decode(one.data or "").decode("utf-8", "replace")
        return {"type": "text", "media_type": "text/plain", "data": text}
    return {"type": "base64", "media_type": one.media_type, "data": one.data or ""}
