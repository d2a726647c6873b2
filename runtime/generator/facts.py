"""What this process has found out about runs for statistics, so that no log is read twice.

An ended run's facts never change; those of a run under way go on from the last event that was read.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import orjson

from runtime.events.codec import UnknownEvent, decode
from runtime.generator.door import Door
from runtime.log.log import Run
from runtime.statistics import COUNTED, Folding, RunFacts

KEPT: Final = 4096
"""Runs whose facts are kept, a few kilobytes each; the least recently asked about go first."""
PAGE: Final = 512
FIRST_PAGE: Final = 64
"""Events read at a time, deltas included, until the first token has been seen."""


@dataclass(slots=True)
class _Kept:
    seq: int = 0
    folding: Folding | None = field(default_factory=Folding)
    """None once the run has ended."""
    facts: RunFacts | None = None


class KnownFacts:
    """The facts of runs, read through the door when they are asked for."""

    def __init__(self, door: Door, kept: int = KEPT) -> None:
        self._door = door
        self._most = kept
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    async def of(self, run: Run) -> RunFacts | None:
        """The facts of ``run`` as of its row; None when its log is gone. Raises ``StoreUnavailable``."""
        kept = self._kept.pop(run.run_id, None)
        if kept is None or kept.seq > run.last_seq:  # the log is shorter than it was: another one was put in its place
            kept = _Kept()
        if kept.folding is not None and kept.seq < run.last_seq:
            await self._read(run, kept, kept.folding)
        if kept.facts is None or not kept.facts.run_id:
            return None
        if kept.facts.ended:
            kept.folding = None
        self._kept[run.run_id] = kept
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return kept.facts

    async def last_event_at(self, run: Run) -> float | None:
        """When the run's last event was made."""
        found = await self._door.page(run.run_id, after=run.last_seq - 1, limit=1)
        try:
            return float(orjson.loads(found[0].body)["at"]) if found else None
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):  # no event of ours: nothing can be said
            return None

    async def _read(self, run: Run, kept: _Kept, folding: Folding) -> None:
        while kept.seq < run.last_seq:
            limit = PAGE if folding.first_token_seen else FIRST_PAGE
            page = await self._door.page(run.run_id, after=kept.seq, limit=limit, deltas=not folding.first_token_seen)
            for stored in page:
                if stored.type in COUNTED:
                    try:
                        folding.add(decode(stored))
                    except UnknownEvent:  # a newer version's: passed over, as by every reader
                        continue
            kept.seq = page[-1].seq if len(page) == limit else max(run.last_seq, page[-1].seq if page else 0)
        kept.facts = folding.facts()
