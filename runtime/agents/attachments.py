"""The first message of a conversation: what was attached, then the brief. Pure.

Models that read words only are told the names of what was attached, so that they can say in their answer what is missing.
"""

from __future__ import annotations

from xml.sax.saxutils import escape, quoteattr

from runtime.events.attachments import Attachment, blocks_of, called
from runtime.events.brief import Brief, render
from runtime.events.messages import Conversation, Message, TextBlock, ToolResultBlock


def first_message(brief: Brief, attachments: tuple[Attachment, ...], *, shown: bool, citing: bool = False) -> Message:
    """The message. ``shown``: the model sees the attachments themselves; ``citing``: and is asked to cite the documents."""
    if not attachments:
        return Message(role="user", content=(TextBlock(text=render(brief)),))
    if shown:
        blocks = blocks_of(attachments, citing=citing)
        return Message(role="user", content=(*blocks, TextBlock(text=render(brief))))
    return Message(role="user", content=(TextBlock(text=f"{render(brief)}\n\n{_left_out(attachments)}"),))


def _left_out(attachments: tuple[Attachment, ...]) -> str:
    words = "Attached to the question and left out here: you cannot see it."
    names = zip(attachments, called(attachments), strict=True)
    rows = [f'<attachment type="{one.type}" name={quoteattr(name)}>{escape(words)}</attachment>' for one, name in names]
    return "\n".join(rows)


def words_only(conversation: Conversation) -> Conversation:
    """The conversation for a model that reads words only: of what tools attached it has the names, in their results."""
    return tuple(_without_files(message) for message in conversation)


def _without_files(message: Message) -> Message:
    if not any(isinstance(block, ToolResultBlock) and not isinstance(block.content, str) for block in message.content):
        return message
    told = (
        block.model_copy(update={"content": block.text()}) if isinstance(block, ToolResultBlock) else block
        for block in message.content
    )
    return Message(role=message.role, content=tuple(told))
