"""What models are saying, on its way into the log: pieces of text, redacted without waiting for the whole."""

from __future__ import annotations

from dataclasses import replace

from runtime.events.catalog import TurnDelta
from runtime.events.envelope import Draft
from runtime.stream.redactor import Pieces, Redactor

ENDS = frozenset({"turn.started", "turn.completed", "turn.superseded", "turn.failed"})
"""Types before which the text under way has ended. Others, such as a tool's own, may come in the middle of it."""


class Said:
    """The text under way of each conversation: a stage's own, and its delegates'."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._texts: dict[str | None, _Text] = {}

    def take(self, draft: Draft) -> tuple[Draft, ...]:
        """What is to be written now that ``draft`` is there, in its order: perhaps nothing, if it is a delta."""
        event = draft.event
        if not isinstance(event, TurnDelta):
            return (*self.rest(draft.call), draft) if event.type in ENDS else (draft,)
        text = self._texts.get(draft.call)
        if text is not None and text.goes_on_with(draft, event):
            return text.more(draft, event)
        ended = self.rest(draft.call)
        text = self._texts[draft.call] = _Text(draft, event, self._redactor)
        return (*ended, *text.more(draft, event))

    def rest(self, call: str | None) -> tuple[Draft, ...]:
        """The end of that conversation's text, if something of it was held back; no piece follows."""
        text = self._texts.pop(call, None)
        return () if text is None else text.end()


class _Text:
    """One block's text."""

    def __init__(self, draft: Draft, event: TurnDelta, redactor: Redactor) -> None:
        self._first = draft
        self._turn, self._attempt, self._kind, self._call_id = draft.turn, draft.attempt, event.kind, event.call_id
        call_id, name = redactor.data([event.call_id, event.name])
        self._written_as: dict[str, str | None] = {"call_id": call_id, "name": name}
        self._renamed = (call_id, name) != (event.call_id, event.name)
        self._pieces = Pieces(redactor)

    def goes_on_with(self, draft: Draft, event: TurnDelta) -> bool:
        """Whether ``draft`` is another piece of it."""
        return (
            event.kind == self._kind
            and event.call_id == self._call_id
            and draft.turn == self._turn
            and draft.attempt == self._attempt
        )

    def more(self, draft: Draft, event: TurnDelta) -> tuple[Draft, ...]:
        passed = self._pieces.feed(event.text)
        if passed is event.text and not self._renamed:
            return (draft,)
        return (self._written(draft, passed),) if passed or not event.text else ()

    def end(self) -> tuple[Draft, ...]:
        rest = self._pieces.flush()
        return (self._written(self._first, rest),) if rest else ()

    def _written(self, draft: Draft, text: str) -> Draft:
        return replace(draft, event=TurnDelta(kind=self._kind, text=text, **self._written_as))
