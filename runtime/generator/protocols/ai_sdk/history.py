"""The runs of a chat, as the messages that a page shows when it is loaded.

A conversation is a row of runs. A message that was edited or answered anew stands in the place of an earlier one: what came from
there on is no part of the chat any more, though its runs are still there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from runtime.errors import InternalError
from runtime.events import catalog as ev
from runtime.events.attachments import Attachment
from runtime.events.codec import UnknownEvent, decode
from runtime.generator.door import Door
from runtime.generator.protocols.ai_sdk.message import Message
from runtime.generator.protocols.ai_sdk.projection import Projection
from runtime.generator.protocols.ai_sdk.requests import MESSAGE_KEY, REPLACES_KEY
from runtime.generator.protocols.ai_sdk.response import version_of
from runtime.generator.snapshot import PAGE
from runtime.log.log import Run
from runtime.stream.view import View

MAX_TURNS: Final = 100
"""Runs looked through for one page of messages, and for what an edited message replaces."""


@dataclass(frozen=True, slots=True)
class Turn:
    """A question of a chat and its run."""

    run: Run
    accepted: ev.RunAccepted

    @property
    def message_id(self) -> str:
        """The id of the person's message."""
        return self.accepted.input.metadata.get(MESSAGE_KEY) or f"{self.run.run_id}-question"

    @property
    def replaces(self) -> str | None:
        """The run in whose place this one stands."""
        return self.accepted.input.metadata.get(REPLACES_KEY) or self.accepted.resumed_from

    @property
    def comes_after(self) -> str:
        """The run before which the chat's older turns are."""
        return self.replaces or self.run.run_id


async def turns_of(door: Door, runs: Sequence[Run]) -> list[Turn]:
    """The turns of those runs that are part of the chat, the oldest first; ``runs``: the newest first."""
    turns: list[Turn] = []
    for run in reversed(runs):
        turn = await _turn(door, run)
        if turn is None:
            continue
        turns = [*_standing(turns, turn.replaces), turn]
    return turns


def _standing(turns: list[Turn], replaced: str | None) -> list[Turn]:
    """What is left of ``turns`` when one of them, or one older than all of them, is replaced."""
    if replaced is None:
        return turns
    names = [turn.run.run_id for turn in turns]
    return turns[: names.index(replaced)] if replaced in names else []


async def messages_of(door: Door, turn: Turn, view: View) -> list[dict[str, Any]]:
    """The person's message and the assistant's; of a run under way only the first: its stream tells the other."""
    asked = {"id": turn.message_id, "role": "user", "parts": _parts(turn.accepted)}
    if not (turn.run.terminal or turn.run.status == "waiting"):
        return [asked]
    return [asked, await _answer(door, turn.run, view)]


async def _turn(door: Door, run: Run) -> Turn | None:
    """None for a run whose first event is gone, or of a newer version."""
    found = await door.page(run.run_id, after=0, limit=1)
    try:
        event = decode(found[0]).event if found else None
    except UnknownEvent:
        return None
    return Turn(run, event) if isinstance(event, ev.RunAccepted) else None


async def _answer(door: Door, run: Run, view: View) -> dict[str, Any]:
    message, projection, after = Message(), None, 0
    while page := await door.page(run.run_id, after=after, limit=PAGE):
        projection = projection or Projection(version_of(page[0]))
        for stored in page:
            for chunk in projection.project(view.shown(stored)):
                message.add(chunk)
        after = page[-1].seq
        await asyncio.sleep(0)  # a long log must not hold up the streams of this process
    if projection is None:
        raise InternalError(f"run {run.run_id} has no events")
    return message.whole()


def _parts(accepted: ev.RunAccepted) -> list[dict[str, Any]]:
    """As a client sends them: files, then the text."""
    files = [_file(attachment) for attachment in accepted.input.attachments]
    return [*files, {"type": "text", "text": accepted.input.question}]


def _file(attachment: Attachment) -> dict[str, Any]:
    media = attachment.media_type or ("application/pdf" if attachment.type == "pdf" else "image")
    url = attachment.url or f"data:{media};base64,{attachment.data}"
    name = {"filename": attachment.name} if attachment.name else {}
    return {"type": "file", "mediaType": media, **name, "url": url}
