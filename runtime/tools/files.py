"""Pictures and PDFs in a tool's result: what can be one, how much is kept, and how it is told in words."""

from __future__ import annotations

from base64 import b64encode

from runtime.errors import ToolFailed
from runtime.events.attachments import KINDS, Attachment, looks_like
from runtime.tools.tool import ToolResult

MAX_FILES = 4
"""In one result."""
MAX_FILES_BYTES = 1024 * 1024
"""Of one result's files together, as they are: they stand in the log, and go to the model with every further turn."""


def attached(data: bytes, media_type: str, name: str = "") -> Attachment:
    """A picture (PNG, JPEG, GIF, WebP) or a PDF for a :class:`ToolResult`. Raises :class:`ToolFailed` for what is none."""
    kind = KINDS.get(media_type, "text")
    if kind == "text":
        raise ToolFailed(f"a file of type {media_type[:60]!r} cannot be attached; pictures and PDFs can")
    if not looks_like(data, media_type):
        raise ToolFailed(f"what is attached as {media_type} is none")
    plain = "".join(character for character in name if character.isprintable())[:200]
    return Attachment(type=kind, media_type=media_type, data=b64encode(data).decode(), name=plain, size=len(data))


def kept(result: ToolResult) -> ToolResult:
    """``result`` with as many of its files as fit, each told in its text, also those that do not."""
    if not result.attachments:
        return result
    files, words, left = list[Attachment](), [result.text] if result.text.strip() else [], MAX_FILES_BYTES
    for one in result.attachments:
        told = " ".join(filter(None, (one.media_type, one.name, f"({one.size} bytes)")))
        if len(files) < MAX_FILES and one.size <= left:
            files.append(one)
            left -= one.size
            words.append(f"(attached: {told})")
        else:
            words.append(f"(left out, {MAX_FILES} files of {MAX_FILES_BYTES} bytes in all are kept: {told})")
    return ToolResult("\n".join(words), result.citations, tuple(files))
