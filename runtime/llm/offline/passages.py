"""Reads what the document tools answered: passages of a search, lines of a document."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from runtime.events.messages import Conversation, ToolResultBlock, tool_uses

SEARCH = "search_documents"
READ = "read_document"

_HEAD = re.compile(r"^\[(\d+)\] (\S.*?) \| (.*)$")
_READ_HEAD = re.compile(r"^(\S.*?) \| (.*)$")
_NUMBERED = re.compile(r"^\s*(\d+): ?(.*)$")
_LINE = re.compile(r"^(.*):(\d+)$")


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of a document."""

    number: int
    """What its citation is called in this stage; 0 when it was read and not found by a search."""
    location: str
    """``path:LINE`` or ``path.pdf#page=N``."""
    title: str
    text: str

    def path(self) -> str:
        """The document, without line or page."""
        at_line = _LINE.match(self.location)
        return at_line[1] if at_line else self.location.partition("#")[0]

    def begins_document(self) -> bool:
        """Whether it is the document's first."""
        return self.location.endswith((":1", "#page=1"))

    def line(self) -> int | None:
        """Its first line; None for a page."""
        at_line = _LINE.match(self.location)
        return int(at_line[2]) if at_line else None


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a research stage has in its conversation so far."""

    passages: tuple[Passage, ...]
    """Found and read, in order, one per location, numbered without collision."""
    queries: tuple[str, ...]
    """What was searched for."""
    rounds: int
    """Turns that called tools."""
    has_read: bool
    problems: tuple[str, ...]
    """What failed tool calls said, first line only."""


def gather(conversation: Conversation) -> Gathered:
    """Everything the tools answered in ``conversation``."""
    calls = {call.id: call for message in conversation for call in tool_uses(message.content)}
    found: list[Passage] = []
    problems: list[str] = []
    for message in conversation:
        for block in message.content:
            if not isinstance(block, ToolResultBlock) or block.tool_use_id not in calls:
                continue
            name = calls[block.tool_use_id].name
            if block.is_error:
                problems.append(block.text().strip().partition("\n")[0][:200])
            elif name == SEARCH:
                found.extend(parse_search(block.text()))
            elif name == READ:
                found.extend(parse_read(block.text()))
    return Gathered(
        passages=_numbered(found),
        queries=tuple(str(call.input.get("query", "")) for call in calls.values() if call.name == SEARCH),
        rounds=sum(bool(tool_uses(message.content)) for message in conversation),
        has_read=any(call.name == READ for call in calls.values()),
        problems=tuple(dict.fromkeys(problems)),
    )


def parse_search(text: str) -> list[Passage]:
    """The passages of one ``search_documents`` answer; none when it found none."""
    found: list[Passage] = []
    body: list[str] = []
    for line in text.split("\n"):
        head = _HEAD.match(line)
        if head:
            _close(found, body)
            found.append(Passage(int(head[1]), head[2], head[3].strip(), ""))
        elif found:
            body.append(line)
    _close(found, body)
    return [passage for passage in found if passage.text]


def _close(found: list[Passage], body: list[str]) -> None:
    if found:
        found[-1] = replace(found[-1], text="\n".join(body).strip("\n"))
    body.clear()


def parse_read(text: str) -> list[Passage]:
    """The piece of a document one ``read_document`` answer holds, as one passage; none without numbered lines."""
    head, _, rest = text.partition("\n")
    named = _READ_HEAD.match(head)
    lines = [match for match in map(_NUMBERED.match, rest.split("\n")) if match]
    if named is None or not lines:
        return []
    path = Passage(0, named[1], "", "").path()
    return [Passage(0, f"{path}:{lines[0][1]}", named[2].strip(), "\n".join(match[2] for match in lines))]


def _numbered(found: list[Passage]) -> tuple[Passage, ...]:
    """One passage per location; a number two locations share is kept by the first, the second gets a fresh one.

    What was read bears the title its document was found under, so that both come under one heading.
    """
    titles = {passage.path(): passage.title for passage in reversed(found) if passage.number}
    kept: dict[tuple[str, bool], Passage] = {}
    taken: set[int] = set()
    highest = max((passage.number for passage in found), default=0)
    for passage in found:
        key = (passage.location, passage.number == 0)
        if key in kept:
            continue
        if passage.number in taken:
            highest += 1
            passage = replace(passage, number=highest)
        if passage.number == 0:
            passage = replace(passage, title=titles.get(passage.path(), passage.title))
        taken.update({passage.number} - {0})
        kept[key] = passage
    return tuple(kept.values())
