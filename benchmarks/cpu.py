"""CPU seconds and memory of a whole process tree, counted from outside.

A tree is everything that descends from one process, whatever sessions it opened. CPU is user + system time of each process. A
process that ends takes its counter with it, so the ledger looks at the tree every now and then and keeps the last value it saw;
what a process used between the last look and its end is lost (at most ``LOOK_EVERY_S`` of it).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import psutil

LOOK_EVERY_S = 1.0
"""Between two looks at the tree while something is measured."""


class Process(Protocol):
    """The part of ``psutil.Process`` that is used, so that a test can stand in for it."""

    @property
    def pid(self) -> int: ...

    def create_time(self) -> float: ...

    def cpu_seconds(self) -> float: ...

    def label(self) -> str: ...


class Living:
    """A process of this machine."""

    def __init__(self, process: psutil.Process) -> None:
        self.process = process

    @property
    def pid(self) -> int:
        return self.process.pid

    def create_time(self) -> float:
        return self.process.create_time()

    def cpu_seconds(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def label(self) -> str:
        return label(self.process.cmdline(), self.process.name())


def tree(root: int) -> list[Living]:
    """The process ``root`` and all that descends from it; empty when it is gone."""
    try:
        process = psutil.Process(root)
        return [Living(p) for p in (process, *process.children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def label(command: list[str], name: str) -> str:
    """What to call a process: Ray's own title for actors, else the program or script it runs."""
    if not command:
        return name
    if command[0].startswith("ray::"):
        return command[0].partition(" ")[0].partition(".")[0]  # without the method it happens to run
    if os.path.basename(command[0]).startswith("python"):
        words = iter(command[1:])
        for word in words:
            if word == "-m":
                return next(words, name)
            if not word.startswith("-"):
                return os.path.basename(word)
    return os.path.basename(command[0])


class Ledger:
    """CPU seconds of a tree since the ledger was opened, by process; ``look`` often enough to miss no short life."""

    def __init__(self, members: Callable[[], Iterable[Process]]) -> None:
        self._members = members
        self._first: dict[tuple[int, float], float] = {}
        self._last: dict[tuple[int, float], float] = {}
        self._labels: dict[tuple[int, float], str] = {}
        self._look(opening=True)

    def look(self) -> None:
        """Read every counter once."""
        self._look(opening=False)

    def total(self) -> float:
        """CPU seconds from the opening to the last look."""
        return sum(self._used(key) for key in self._last)

    def by_label(self) -> dict[str, float]:
        """The same by kind of process, the greatest first."""
        sums: dict[str, float] = {}
        for key in self._last:
            sums[self._labels[key]] = sums.get(self._labels[key], 0.0) + self._used(key)
        return dict(sorted(sums.items(), key=lambda item: -item[1]))

    def _used(self, key: tuple[int, float]) -> float:
        return self._last[key] - self._first.get(key, 0.0)

    def _look(self, *, opening: bool) -> None:
        for process in self._members():
            try:
                key = (process.pid, process.create_time())
                used = process.cpu_seconds()
                self._labels[key] = process.label() or self._labels.get(key, "?")
            except psutil.Error:
                continue  # it ended meanwhile; what was seen of it stays
            self._last[key] = used
            if opening:
                self._first[key] = used  # one that starts later is counted from zero


@dataclass(frozen=True, slots=True)
class Memory:
    """Resident memory of one process. PSS shares out pages that several processes use; the sum of RSS counts them again."""

    label: str
    rss: int
    pss: int | None
    """None where the kernel does not tell."""


def memory(members: Iterable[Living]) -> list[Memory]:
    """Every process's memory, the greatest first."""
    found = []
    for member in members:
        try:
            found.append(Memory(member.label(), member.process.memory_info().rss, _pss(member.pid)))
        except psutil.Error:
            continue
    return sorted(found, key=lambda one: -(one.pss or one.rss))


def _pss(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            for line in file:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        return None
    return None
