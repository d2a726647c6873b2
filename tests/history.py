"""What happened in a test, as data: the final logs, what clients saw of them, model calls and effects counted outside.

A history is JSON, so that a failing one can be kept, checked again (``python -m tests.checker FILE``) and given to Elle
as list-append (``elle``). Nothing in it comes from the code under test's memory: logs are read from the store, the rest
is counted by the model, the tools and the clients themselves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from runtime.events.envelope import Stored
from runtime.generator.sse import frame
from runtime.log.log import Run


def digest(data: bytes) -> str:
    """A short fingerprint of one event's bytes as a client gets them (its SSE frame, ``id:`` to the blank line)."""
    return hashlib.sha256(data).hexdigest()[:16]


def seen(stored: Stored) -> tuple[str, str]:
    """An event as an honest client records it: its id and its fingerprint."""
    return f"{stored.seq}.{stored.epoch}", digest(frame(stored))


@dataclass
class RunHistory:
    """A run's whole log, and its row at the end."""

    events: list[Stored]
    status: str = "completed"
    budget: int | None = None
    reserved: int = 0
    spent: int = 0


@dataclass
class Segment:
    """What one connection of one client brought: whole events only."""

    client: str
    run: str
    after: str
    """The cursor it asked with: ``seq``, ``seq.epoch`` or empty."""
    events: list[tuple[str, str]] = field(default_factory=list)
    """``(id, digest)`` in order of arrival."""
    end: str = ""
    """How it ended: ``whole`` after the run's last event; anything else is for people."""


@dataclass
class Effect:
    """One execution of a tool, noted by the tool itself before it answered."""

    run: str
    stage: str
    kind: str
    call: str
    """The logical call: what the model asked for, whatever attempt it is."""
    key: str
    """The idempotency key it was given."""


@dataclass
class History:
    """One test's whole history."""

    seed: int
    runs: dict[str, RunHistory] = field(default_factory=dict)
    segments: list[Segment] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    """``run/agent/turn`` -> requests the model received for it."""
    effects: list[Effect] = field(default_factory=list)
    counts_calls: bool = False
    """Whether ``calls`` covers every run; only then is it compared with the logs."""

    def add_run(self, run: Run, events: Iterable[Stored]) -> None:
        """Note a run as the store has it at the end."""
        self.runs[run.run_id] = RunHistory(list(events), run.status, run.budget, run.reserved, run.spent)

    def to_json(self) -> str:
        data = asdict(self)
        for run_id, run in self.runs.items():
            data["runs"][run_id]["events"] = [[*e[:-1], e.body.decode()] for e in run.events]
        return json.dumps(data)

    @classmethod
    def from_json(cls, text: str) -> History:
        data: dict[str, Any] = json.loads(text)
        runs = {
            run_id: RunHistory(**{**run, "events": [Stored(*e[:-1], e[-1].encode()) for e in run["events"]]})
            for run_id, run in data["runs"].items()
        }
        segments = [Segment(**{**s, "events": [tuple(e) for e in s["events"]]}) for s in data["segments"]]
        effects = [Effect(**e) for e in data["effects"]]
        return cls(data["seed"], runs, segments, data["calls"], effects, data["counts_calls"])

    def save(self, folder: Path, name: str) -> Path:
        """Keep it as ``folder/name.json``, with ``name.elle.json`` beside it."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.json"
        path.write_text(self.to_json())
        (folder / f"{name}.elle.json").write_text("\n".join(json.dumps(op) for op in elle(self)))
        return path


def elle(history: History) -> list[dict[str, Any]]:
    """The history as Elle's list-append transactions: an append for each event, a read for each client's whole list."""
    operations: list[dict[str, Any]] = []

    def ok(process: str, value: list[Any]) -> None:
        operations.append({"index": len(operations), "type": "ok", "process": process, "f": "txn", "value": value})

    for run_id, run in history.runs.items():
        for event in run.events:
            ok(f"writer-{run_id}-{event.epoch}", [["append", run_id, seen(event)[1]]])
    lists: dict[tuple[str, str], list[str]] = {}
    for segment in history.segments:
        whole = lists.setdefault((segment.client, segment.run), [])
        whole += [fingerprint for _, fingerprint in segment.events]
        ok(segment.client, [["r", segment.run, list(whole)]])
    return operations
