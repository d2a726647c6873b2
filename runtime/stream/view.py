"""What a viewer is shown: the per-viewer end of ``process``, applied at the door after the log.

The log holds everything. A rule says what a viewer may see of an event::

    @view("object")
    def mask_amounts(draft: Draft, viewer: Viewer) -> Draft | None: ...      # None hides the event

A hidden event arrives as ``hidden``, of family system, under its own number: so ids stay gapless, and two viewers with the
same roles get the same bytes. A rule that fails hides its event. Families without rules, and events that cannot concern a
rule because they do not hold any of its ``mentions``, are passed on as the bytes they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson

from runtime.events.catalog import Family, Hidden
from runtime.events.codec import UnknownEvent, decode, encode
from runtime.events.envelope import Draft, Envelope, Stored
from runtime.stream.chain import ALL
from runtime.telemetry import Counts, logger

_log = logger("view")


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who looks: everybody with the same roles is shown the same bytes."""

    name: str = "default"
    roles: frozenset[str] = frozenset()

    def may_see(self, visible: frozenset[str] | None) -> bool:
        """Whether one of the roles is among ``visible``; None is for everyone."""
        return visible is None or not visible.isdisjoint(self.roles)


ViewStep = Callable[[Draft, Viewer], Draft | None]


@dataclass(frozen=True, slots=True)
class ViewFunction:
    """One rule: still callable as itself."""

    families: frozenset[Family]
    function: ViewStep
    mentions: tuple[bytes, ...] = ()
    """Only events whose bytes hold one of these concern it; empty: all of its families."""

    @property
    def name(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))

    def __call__(self, draft: Draft, viewer: Viewer) -> Draft | None:
        return self.function(draft, viewer)

    def concerns(self, stored: Stored) -> bool:
        """Whether it has to look at the event; without decoding it."""
        return not self.mentions or any(word in stored.body for word in self.mentions)


def view(*families: Family) -> Callable[[ViewStep], ViewFunction]:
    """Mark a rule of what a viewer may see; no families means all."""
    return lambda function: ViewFunction(frozenset(families) or ALL, function)


class View:
    """The events of a run as one viewer sees them."""

    def __init__(self, functions: Sequence[ViewFunction] = (), viewer: Viewer | None = None) -> None:
        self._viewer = viewer or Viewer()
        self._functions: dict[Family, tuple[ViewFunction, ...]] = {
            family: tuple(f for f in functions if family in f.families) for family in ALL
        }
        self.open = not functions
        """Everything is shown as it is."""
        self.counts = Counts()

    def shown(self, stored: Stored) -> Stored:
        """``stored`` as the viewer sees it: itself, changed, or hidden; always under the same number."""
        steps = [f for f in self._functions[stored.family] if f.concerns(stored)]
        if not steps:
            return stored
        try:
            envelope = decode(stored)
        except UnknownEvent as error:  # written by a newer version, and a rule cannot judge it: nobody sees it
            _log.warning("an event is hidden, since its rules cannot read it: %s", error)
            return _hidden(stored)
        before = current = _draft(envelope)
        for step in steps:
            after = self._stepped(step, current)
            if after is None:
                self.counts.add("hidden")
                return _hidden(stored)
            current = after
        return stored if current is before else _encoded(stored, current, envelope)

    def _stepped(self, step: ViewFunction, draft: Draft) -> Draft | None:
        try:
            return step(draft, self._viewer)
        except Exception as error:
            self.counts.add("failures")
            _log.error("view %s failed on %s: %r", step.name, draft.event.type, error, exc_info=error)
            return None


def _draft(envelope: Envelope) -> Draft:
    return Draft(envelope.event, envelope.stage, envelope.agent, envelope.turn, envelope.attempt, envelope.call)


def _encoded(stored: Stored, draft: Draft, envelope: Envelope) -> Stored:
    record = encode(draft, envelope.run_id, envelope.at)
    return Stored(stored.seq, stored.epoch, record.type, record.family, record.stage, record.body)


def _hidden(stored: Stored) -> Stored:
    """The stub in its place: when and in which run, and nothing more."""
    body = orjson.loads(stored.body)
    record = encode(Draft(Hidden()), body["run_id"], body["at"])
    return Stored(stored.seq, stored.epoch, record.type, record.family, None, record.body)
