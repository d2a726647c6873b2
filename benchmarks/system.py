"""Starting and stopping what is measured: the real ``headrace serve``, and the naive application beside it.

Each is a child of this process in a session of its own, with a private data folder, Ray folder and port. When this process dies,
the kernel tells the child (Linux). Only processes that descend from the child are ever ended.
"""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.cpu import Living, tree

ROOT = Path(__file__).resolve().parent.parent
READY = re.compile(r"^(?:ready in (?P<took>[\d.]+) s at |READY )(?P<url>http://\S+)", re.MULTILINE)
READY_WITHIN_S = 180.0
STOP_WITHIN_S = 20.0
_POLL_S = 0.05
_PR_SET_PDEATHSIG = 1


class SystemFailed(Exception):
    """It did not start; the message holds its last words."""


@dataclass(frozen=True, slots=True)
class System:
    """A system that takes requests."""

    kind: str
    root: int
    """Process id of the parent of all its processes."""
    port: int
    ready_s: float
    """From spawning the command to its word that it is ready."""
    stages: dict[str, float]
    """Seconds after the spawn at which each kind of process was created."""

    def processes(self) -> list[Living]:
        """All of it, as it is now."""
        return tree(self.root)


@contextmanager
def ours(script: str, tick: Callable[[], None]) -> Iterator[System]:
    """``headrace serve --model scripted`` with ``script``, as a user starts it, on a log of its own."""
    with _folder(script) as folder:
        arguments = ("serve", "--model", "scripted", "--script", folder / "script.toml", "--data", folder / "data")
        with _running("ours", [sys.executable, "-m", "runtime.cli", *map(str, arguments)], folder, tick) as system:
            yield system


@contextmanager
def naive(script: str, tick: Callable[[], None]) -> Iterator[System]:
    """The naive application with the same script."""
    with _folder(script) as folder:
        arguments = ("--script", folder / "script.toml", "--data", folder / "data")
        command = [sys.executable, "-m", "benchmarks.naive_serve", *map(str, arguments)]
        with _running("naive", command, folder, tick) as system:
            yield system


@contextmanager
def _folder(script: str) -> Iterator[Path]:
    # Short: Ray puts sockets below it, whose paths may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="hb-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "script.toml").write_text(script, encoding="utf-8")
        (folder / "ray").mkdir()
        yield folder


@contextmanager
def _running(kind: str, command: list[str], folder: Path, tick: Callable[[], None]) -> Iterator[System]:
    port = _free_port()
    with open(folder / "output", "wb") as output:
        began = time.monotonic()
        child = subprocess.Popen(
            [*command, "--port", str(port)],
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_die_with_parent,  # safe: this process has one thread
        )
    try:
        _wait_until_ready(child, folder / "output", tick)
        took = time.monotonic() - began
        yield System(kind, child.pid, port, took, _stages(child.pid))
    finally:
        _stop(child)


def _environment(folder: Path) -> dict[str, str]:
    """This process's environment without anybody's settings for Headrace and Ray, and with a Ray folder of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HEADRACE_", "RAY_", "ANTHROPIC_"))}
    return {**kept, "RAY_TMPDIR": str(folder / "ray"), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def _wait_until_ready(child: subprocess.Popen[bytes], output: Path, tick: Callable[[], None]) -> None:
    until = time.monotonic() + READY_WITHIN_S
    next_tick = 0.0
    while time.monotonic() < until:
        words = output.read_text(encoding="utf-8", errors="replace")
        if READY.search(words):
            return
        if child.poll() is not None:
            raise SystemFailed(f"it ended with code {child.returncode} before it was ready:\n{words[-2000:]}")
        if time.monotonic() > next_tick:
            tick()
            next_tick = time.monotonic() + 1.0
        time.sleep(_POLL_S)
    raise SystemFailed(f"it was not ready within {READY_WITHIN_S:.0f} s:\n{words[-2000:]}")


def _stages(root: int) -> dict[str, float]:
    """When the first process of each kind was created, after the first of all: a breakdown of the start that costs nothing."""
    first: dict[str, float] = {}
    for member in tree(root):
        try:
            created, name = member.create_time(), member.label()
        except psutil.Error:
            continue
        first[name] = min(created, first.get(name, created))
    began = min(first.values(), default=0.0)
    return {name: round(created - began, 2) for name, created in sorted(first.items(), key=lambda item: item[1])}


def _stop(child: subprocess.Popen[bytes]) -> None:
    """In order, and then by force whatever is left of what the child had started."""
    members = [member.process for member in tree(child.pid)]
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
        try:
            child.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            members += [member.process for member in tree(child.pid)]
    for member in members:
        try:
            member.kill()  # psutil compares creation times: a number that is another's by now is not hit
        except psutil.NoSuchProcess:
            continue
    child.wait()
    psutil.wait_procs([member for member in members if member.pid != child.pid], timeout=5.0)
