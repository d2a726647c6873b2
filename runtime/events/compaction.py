"""A conversation made shorter, as a pure function of itself and of what ``recovery.compacted`` says.

The loop that decided it and whoever reads the log later get the same conversation, byte for byte. Two steps, gentlest first: old
tool results become a line that says what they were, then the oldest turns become a summary. What the model itself said
is never touched, only left out turn by turn: the API refuses thinking that was changed. The headers of passages stay in
both, so that a mark in the answer still leads to its source, and no number is given twice.
"""

from __future__ import annotations

import re

from runtime.events.messages import Conversation, Message, TextBlock, ToolResultBlock, tool_uses

PASSAGE = re.compile(r"^\[(\d+)\] (.+?) \| (.*)$", re.MULTILINE)
"""The header of a passage in a tool's result: its mark, where it stands, its title."""
LEFT_OUT = "(Left out to save room: "
"""What every shortened result begins with."""
SHORT = 250
"""Characters of a result beside its headers that are not worth leaving out: more than what is said instead."""
SUMMARY = "<summary>"
"""What the message begins with that stands for the oldest turns."""


def turn_starts(conversation: Conversation) -> tuple[int, ...]:
    """Where each turn begins: at an assistant's message that does not go on from a pause."""
    return tuple(
        at
        for at, message in enumerate(conversation)
        if message.role == "assistant" and (at == 0 or conversation[at - 1].role == "user")
    )


def shortened(conversation: Conversation, upto: int) -> Conversation:
    """The conversation with the tool results in its first ``upto`` messages replaced by what they were."""
    names = {use.id: use.name for message in conversation[:upto] for use in tool_uses(message.content)}
    return (*(_shortened(message, names) for message in conversation[:upto]), *conversation[upto:])


def summarised(conversation: Conversation, upto: int, summary: str) -> Conversation:
    """The conversation with its first ``upto`` messages replaced by ``summary``."""
    headers = "\n".join(dict.fromkeys(header for message in conversation[:upto] for header in _headers_in(message)))
    sources = f"\n\nPassages that were shown:\n{headers}" if headers else ""
    text = f"{SUMMARY}\nWhat you did so far in this step:\n{summary.strip()}{sources}\n</summary>"
    return (Message(role="user", content=(TextBlock(text=text),)), *conversation[upto:])


def source_texts(conversation: Conversation) -> list[str]:
    """Every text that shows passages: tool results that are no errors, and summaries of earlier turns."""
    found = []
    for message in conversation:
        for block in message.content:
            if isinstance(block, ToolResultBlock) and not block.is_error:
                found.append(block.text())
            elif isinstance(block, TextBlock) and message.role == "user" and block.text.startswith(SUMMARY):
                found.append(block.text)
    return found


def can_shorten(message: Message) -> bool:
    """Whether :func:`shortened` would make it shorter."""
    return any(_shortened_block(block, "") != block for block in message.content if isinstance(block, ToolResultBlock))


def _shortened(message: Message, names: dict[str, str]) -> Message:
    content = tuple(
        _shortened_block(block, names.get(block.tool_use_id, "a tool")) if isinstance(block, ToolResultBlock) else block
        for block in message.content
    )
    return Message(role=message.role, content=content)


def _shortened_block(block: ToolResultBlock, name: str) -> ToolResultBlock:
    text = block.text()
    headers = [match[0] for match in PASSAGE.finditer(text)]
    if isinstance(block.content, str) and len(text) < sum(map(len, headers)) + SHORT:
        return block
    note = f"{LEFT_OUT}{len(text)} characters that {name} answered.)"
    return block.model_copy(update={"content": "\n".join([note, *headers])})


def _headers_in(message: Message) -> list[str]:
    return [match[0] for text in source_texts((message,)) for match in PASSAGE.finditer(text)]
