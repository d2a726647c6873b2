"""What an agent knows of its conversation, and the only way it advances: with events, as they were written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from runtime.events import catalog as ev
from runtime.events.calls import joined
from runtime.events.conversations import conversations, withdrawal
from runtime.events.transcript import Transcript, advance, with_child
from runtime.stream.emitter import Emitter


class StageRecord:
    """One conversation and its writer; always what the log folds to."""

    def __init__(
        self, transcript: Transcript, emitter: Emitter, *, advanced: Callable[[Transcript], None] | None = None
    ) -> None:
        """``advanced`` is told of every step."""
        self.emitter = emitter
        self._transcript = transcript
        self._advanced = advanced
        self._writing: asyncio.Future[None] | None = None

    @property
    def transcript(self) -> Transcript:
        return self._transcript

    @transcript.setter
    def transcript(self, after: Transcript) -> None:
        self._transcript = after
        if self._advanced is not None:
            self._advanced(after)

    async def say(self, event: ev.Event) -> None:
        """Write ``event`` without waiting for its commit."""
        written = await self.emitter.emit(event, turn=self.transcript.turns_done)
        self.transcript = advance(self.transcript, written, None, None)

    async def commit(self, *events: ev.Event) -> None:
        """Write ``events`` and wait until they are durable."""
        for written in await self.emitter.commit(*events, turn=self.transcript.turns_done):
            self.transcript = advance(self.transcript, written, None, None)

    async def commit_at(self, turn: int, attempt: int, *events: ev.Event) -> None:
        """The same for events of an attempt at a turn.

        Whoever is cancelled here leaves the write to itself, so that this record knows of what the log then has.
        """
        self._writing = asyncio.ensure_future(self._write_at(turn, attempt, events))
        self._writing.add_done_callback(lambda done: done.cancelled() or done.exception())
        await asyncio.shield(self._writing)

    async def _write_at(self, turn: int, attempt: int, events: tuple[ev.Event, ...]) -> None:
        for written in await self.emitter.commit(*events, turn=turn, attempt=attempt):
            self.transcript = advance(self.transcript, written, turn, attempt)

    async def cut_off(self, why: str, reason: str) -> None:
        """The work was stopped for good: say so of every call and turn, delegates' included, that is left open."""
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)
        for path, each in conversations(self.transcript):
            emitter = self.emitter.of(joined(self.emitter.call, path), each.agent) if path else self.emitter
            for use in each.in_doubt():
                unknown = ev.ToolOutcomeUnknown(call_id=use.id, name=use.name, known=why)
                written = await emitter.emit(unknown, turn=each.turns_done)
                self.transcript = advance(self.transcript, written, None, None, path)
            if each.open:
                place = each.turn, each.attempt
                (written,) = await emitter.commit(withdrawal(each, reason), turn=place[0], attempt=place[1])
                self.transcript = advance(self.transcript, written, *place, path)

    def child(self, key: str, path: str) -> StageRecord:
        """The record of the delegate of that call; each of its steps is one of this record's as well."""
        known = self.transcript.children[key]

        def keep(after: Transcript) -> None:
            self.transcript = with_child(self.transcript, key, after)

        return StageRecord(known, self.emitter.of(path, known.agent), advanced=keep)
