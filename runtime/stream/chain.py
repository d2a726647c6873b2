"""The chain: transform (pure, structure only) -> enrich (adds data from outside) -> process (business rules).

A user's function says for which family it is::

    @enrich("object")
    async def add_price(draft: Draft) -> Draft: ...

    @process("error")
    def alert(draft: Draft) -> Draft | None: ...      # None withholds the event

Families without functions cost nothing: tokens usually pass untouched.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from runtime.events.catalog import Custom, Family
from runtime.events.envelope import Draft
from runtime.stream.redactor import Redactor
from runtime.telemetry import Counts, logger

_log = logger("chain")

Phase = Literal["transform", "enrich", "process"]
Step = Callable[[Draft], Draft | Awaitable[Draft | None] | None]

PHASES: tuple[Phase, ...] = ("transform", "enrich", "process")


@dataclass(frozen=True, slots=True)
class ChainFunction:
    """One marked function: still callable as itself."""

    phase: Phase
    families: frozenset[Family]
    function: Step

    @property
    def name(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))

    def __call__(self, draft: Draft) -> Draft | Awaitable[Draft | None] | None:
        return self.function(draft)


ALL: frozenset[Family] = frozenset({"token", "object", "status", "error", "system"})


def transform(*families: Family) -> Callable[[Step], ChainFunction]:
    """Mark a pure function that changes an event's form; no families means all."""
    return _marker("transform", families)


def enrich(*families: Family) -> Callable[[Step], ChainFunction]:
    """Mark a function that adds data from outside; its failure lets the event pass as it is."""
    return _marker("enrich", families)


def process(*families: Family) -> Callable[[Step], ChainFunction]:
    """Mark a business rule; returning None (or failing) withholds the event from the stream."""
    return _marker("process", families)


def _marker(phase: Phase, families: tuple[Family, ...]) -> Callable[[Step], ChainFunction]:
    return lambda function: ChainFunction(phase, frozenset(families) or ALL, function)


class Chain:
    """The three phases over a list of functions, each phase in the order given; what they made is then redacted."""

    def __init__(self, functions: Sequence[ChainFunction] = (), redactor: Redactor | None = None) -> None:
        """``redactor``: applied by the emitter after everything else; left out, it knows the patterns of keys only."""
        self._steps: dict[Family, tuple[ChainFunction, ...]] = {
            family: tuple(f for phase in PHASES for f in functions if f.phase == phase and family in f.families)
            for family in ALL
        }
        self.redactor = redactor or _patterns_only()
        self.counts = Counts()

    async def run(self, draft: Draft) -> Draft:
        """The event as it is to be appended. Raises what a transform raises.

        A withheld event becomes a ``custom`` stub in its place, so that a run's story has no hole nobody can explain.
        """
        current = draft
        for step in self._steps[draft.event.family]:
            try:
                result = step(current)
                after = await result if inspect.isawaitable(result) else result
            except Exception as error:
                if step.phase == "transform":
                    raise
                after = self._failed(step, current, error)
            if after is None:
                return _withheld(current)
            current = after
        return current

    def _failed(self, step: ChainFunction, draft: Draft, error: Exception) -> Draft | None:
        self.counts.add(f"{step.phase}_failures")
        _log.error("%s %s failed on %s: %r", step.phase, step.name, draft.event.type, error, exc_info=error)
        return draft if step.phase == "enrich" else None


@cache
def _patterns_only() -> Redactor:
    return Redactor()


def _withheld(draft: Draft) -> Draft:
    stub = Custom(name="withheld", value={"type": draft.event.type})
    return replace(draft, event=stub)
