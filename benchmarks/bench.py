"""What all parts share: the sizes of this run, its progress, the starts seen, and the way a load is measured."""

from __future__ import annotations

import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from benchmarks.cpu import LOOK_EVERY_S, Ledger
from benchmarks.progress import Progress
from benchmarks.scripts import Turn
from benchmarks.system import ROOT, System, naive, ours

START_S, STOP_S = 15.0, 6.0
"""What starting and stopping a system is expected to take, for the estimate of time left."""
LOAD_WITHIN_S = 400.0
"""A load that takes longer is given up."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    rounds: int = 2
    """Starts of each system in turn, for the hub path."""
    flat_streams: int = 8
    flat_tokens_ours: int = 40_000
    flat_tokens_naive: int = 2_000
    paced_streams: int = 64
    paced_rate: float = 50.0
    paced_s: float = 20.0
    first_bytes: int = 50
    plannings: int = 10
    starts: int = 3
    settle_s: float = 10.0
    """Rest between a start and the measurement of the idle system."""
    idle_s: float = 10.0


QUICK = Sizes(
    rounds=1,
    flat_streams=4,
    flat_tokens_ours=4_000,
    flat_tokens_naive=500,
    paced_streams=8,
    paced_s=4.0,
    first_bytes=10,
    plannings=2,
    starts=1,
    settle_s=2.0,
    idle_s=3.0,
)
"""Enough to see that every part works; its numbers say little."""


@dataclass(frozen=True, slots=True)
class Round:
    """One load on one system."""

    cpu_s: float
    """Of the whole server tree, idle Ray included, from before the first request to after the last byte."""
    ms_per_1000_tokens: float
    cpu_by_process: dict[str, float]
    load: dict[str, Any]
    """What the load generator saw."""

    @property
    def problems(self) -> list[str]:
        return list(self.load["problems"])


class LoadFailed(Exception):
    """The load generator gave no result."""


@dataclass(slots=True)
class Bench:
    """One run of the suite."""

    sizes: Sizes
    progress: Progress
    starts: list[System] = field(default_factory=list)
    """Every start of ours, for ``ready``."""

    @contextmanager
    def ours(self, script: str) -> Iterator[System]:
        with self._up("headrace", ours(script, self.progress.tick)) as system:
            self.starts.append(system)
            yield system

    @contextmanager
    def naive(self, script: str) -> Iterator[System]:
        with self._up("naive", naive(script, self.progress.tick)) as system:
            yield system

    @contextmanager
    def _up(self, name: str, running: AbstractContextManager[System]) -> Iterator[System]:
        with self.progress.step(f"starting {name}", START_S):
            system = running.__enter__()
        try:
            yield system
        finally:
            with self.progress.step(f"stopping {name}", STOP_S):
                running.__exit__(None, None, None)

    def load(self, system: System, turn: Turn, streams: int, *, requests: int = 1) -> Round:
        """Put a load on ``system`` and count what it costs. Raises :class:`LoadFailed`."""
        child = _load_process(system.port, turn, streams, requests)
        try:
            _expect(child, "ready", 30.0)
            ledger = Ledger(system.processes)
            _tell(child, "go")
            self._until_done(child, ledger)
            ledger.look()
            result = orjson.loads(_line(child, 120.0))
        finally:
            child.kill()
            child.wait()
        tokens = result["tokens"]
        cost = ledger.total() / tokens * 1e6 if tokens else 0.0
        by_process = {name: round(used, 2) for name, used in ledger.by_label().items() if used >= 0.005}
        return Round(ledger.total(), cost, by_process, result)

    def _until_done(self, child: subprocess.Popen[bytes], ledger: Ledger) -> None:
        until = time.monotonic() + LOAD_WITHIN_S
        while time.monotonic() < until:
            if _readable(child, LOOK_EVERY_S):
                _expect(child, "done", 1.0)
                return
            ledger.look()
            self.progress.tick(f", {ledger.total():.1f} s of CPU so far")
        raise LoadFailed(f"the load was not over within {LOAD_WITHIN_S:.0f} s")


def round_detail(one: Round) -> dict[str, Any]:
    """A round as plain data."""
    return asdict(one)


def _load_process(port: int, turn: Turn, streams: int, requests: int) -> subprocess.Popen[bytes]:
    numbers = {"port": port, "question": turn.agent, "streams": streams, "requests": requests, "repeat": turn.repeat}
    options = [text for name, value in numbers.items() for text in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "benchmarks.load", *options]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


def _tell(child: subprocess.Popen[bytes], word: str) -> None:
    assert child.stdin is not None
    child.stdin.write(word.encode() + b"\n")


def _readable(child: subprocess.Popen[bytes], within_s: float) -> bool:
    assert child.stdout is not None
    return bool(select.select([child.stdout], [], [], within_s)[0])


def _expect(child: subprocess.Popen[bytes], word: str, within_s: float) -> None:
    said = _line(child, within_s).strip()
    if said != word.encode():
        raise LoadFailed(f"the load generator said {said!r} and not {word!r}")


def _line(child: subprocess.Popen[bytes], within_s: float) -> bytes:
    """The next line. Unbuffered on purpose: ``select`` knows nothing of a buffer of Python's."""
    assert child.stdout is not None
    until = time.monotonic() + within_s
    line = b""
    while not line.endswith(b"\n"):
        if not _readable(child, max(0.0, until - time.monotonic())):
            raise LoadFailed(f"the load generator said nothing for {within_s:.0f} s")
        byte = child.stdout.read(1)
        if not byte:
            raise LoadFailed("the load generator ended early")
        line += byte
    return line
