"""The events of a run, with what tests ask of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar, overload

from runtime.client.events import RunEvent
from runtime.events.catalog import Event
from runtime.events.envelope import Envelope
from runtime.events.fold import RunState, fold_all
from runtime.events.texts import Texts
from runtime.testing.grammar import check_grammar

E = TypeVar("E", bound=Event)


class RunEvents(Sequence[Envelope]):
    """A run's whole log, decoded: a sequence of envelopes. A client's events will do; those it does not know are left out."""

    def __init__(self, events: Iterable[Envelope | RunEvent]) -> None:
        envelopes = (event.envelope if isinstance(event, RunEvent) else event for event in events)
        self._envelopes = tuple(envelope for envelope in envelopes if envelope is not None)

    @overload
    def __getitem__(self, index: int) -> Envelope: ...
    @overload
    def __getitem__(self, index: slice) -> RunEvents: ...
    def __getitem__(self, index: int | slice) -> Envelope | RunEvents:
        return RunEvents(self._envelopes[index]) if isinstance(index, slice) else self._envelopes[index]

    def __iter__(self) -> Iterator[Envelope]:
        return iter(self._envelopes)

    def __len__(self) -> int:
        return len(self._envelopes)

    def __repr__(self) -> str:
        return f"RunEvents({', '.join(self.types())})"

    def types(self) -> list[str]:
        """The events' types in order, without the tokens: how many of these there are is chance."""
        return [e.event.type for e in self if e.event.type != "turn.delta"]

    def of(self, kind: type[E], *, stage: str | None = None) -> list[E]:
        """The events of a class of ``runtime.events.catalog``, of one stage when it is named."""
        return [e.event for e in self if isinstance(e.event, kind) and stage in (None, e.stage)]

    def text(self, stage: str) -> str:
        """What the stage's agent said, as a client shows it: withdrawn attempts are left out."""
        texts = Texts()
        for envelope in self:
            texts.apply(envelope)
        return texts.of_stage(stage)

    @property
    def state(self) -> RunState:
        """The run as the whole system sees it: the fold of its events."""
        return fold_all(list(self))

    @property
    def end(self) -> Event:
        """The last event."""
        return self._envelopes[-1].event

    def assert_grammar(self) -> None:
        """Raises ``AssertionError`` naming the event that breaks a rule of :mod:`runtime.testing.grammar`."""
        check_grammar(self)
