"""Real systems for end-to-end tests: ``headrace serve`` as a person starts it, on Ray and Serve, on free loopback ports."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import pytest

READY_WITHIN_S = 150.0
"""CI's machine has two cores and other work; how fast a start is belongs to benchmarks, not here."""


@dataclass
class Served:
    """A running system."""

    url: str
    port: int
    data: Path
    process: subprocess.Popen[bytes]
    output: Path

    def family(self) -> set[int]:
        """Every process that came of it."""
        root = psutil.Process(self.process.pid)
        return {root.pid, *(child.pid for child in root.children(recursive=True))}

    def pid_of(self, title: str) -> list[int]:
        """Processes of this system whose title contains ``title``, such as ``ray::StreamHub``."""
        return [pid for pid in self.family() if title in " ".join(psutil.Process(pid).cmdline())]

    def stop(self, within_s: float = 10.0) -> float:
        """Ctrl-C; the seconds until the command was over. Asserts that nothing is left running."""
        family = {pid: psutil.Process(pid).create_time() for pid in self.family()}
        begun = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=within_s + 20)
        took = time.monotonic() - begun
        left = [pid for pid, born in family.items() if _alive(pid, born)]
        assert not left, f"still running: {[psutil.Process(pid).cmdline() for pid in left]}"
        return took


def _alive(pid: int, born: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.create_time() == born and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def served(data: Path, *arguments: str, port: int | None = None, **environment: str) -> Iterator[Served]:
    """A system started with ``headrace serve``, ready; stopped at the end if the test has not done so."""
    port = port or free_port()
    data.mkdir(parents=True, exist_ok=True)
    output = data / f"serve-{port}.out"
    command = [sys.executable, "-m", "runtime.cli", "serve", "--port", str(port), "--data", str(data), *arguments]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ANTHROPIC_", "HEADRACE_"))}
    with output.open("wb") as sink:
        process = subprocess.Popen(command, stdout=sink, stderr=sink, env={**inherited, **environment})
    system = Served(f"http://127.0.0.1:{port}", port, data, process, output)
    try:
        _await_ready(system)
        yield system
    finally:
        if process.poll() is None:
            system.stop()


def _await_ready(system: Served) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        words = system.output.read_text(errors="replace")
        if re.search(r"^ready in", words, re.MULTILINE):
            assert httpx2.get(f"{system.url}/readyz", timeout=10).status_code == 200
            return
        if system.process.poll() is not None:
            break
        time.sleep(0.2)
    raise AssertionError(f"the system did not get ready: {system.output.read_text(errors='replace')[-3000:]}")


FAKE = Path(__file__).parents[1] / "fakes" / "messages_server.py"


class Provider:
    """The fake Messages API server as a process of its own, so that it can be unplugged."""

    def __init__(self) -> None:
        command = [sys.executable, str(FAKE), "--port", "0", "--token-rate", "40"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=FAKE.parents[2])
        assert self.process.stdout is not None
        self.url = f"http://127.0.0.1:{self.process.stdout.readline().split()[-1]}"

    def environment(self, model: str = "") -> dict[str, str]:
        """For a system that is to ask this one; ``model`` names the pace and the faults it wishes."""
        return {
            "ANTHROPIC_API_KEY": "a-key-for-the-fake",
            "ANTHROPIC_BASE_URL": self.url,
            **({"HEADRACE_ANTHROPIC_MODEL": model} if model else {}),
        }

    def calls(self) -> list[dict[str, object]]:
        return list(httpx2.get(f"{self.url}/calls", timeout=10).json()["calls"])

    def unplug(self) -> None:
        """End it; a second time does nothing."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    running = Provider()
    yield running
    running.unplug()


@pytest.fixture(scope="session")
def documents(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small folder of documents with an answer in it."""
    folder = tmp_path_factory.mktemp("documents")
    (folder / "hub.md").write_text(
        "# The stream hub\n\n"
        "The stream hub is the single writer of every run's log. An event is durable before any reader sees it.\n\n"
        "## When a process dies\n\n"
        "When a process dies, another one reads the log and goes on from the last committed event. "
        "No token is lost, because each was committed before it was sent. "
        "No token is doubled, because readers resume by its number.\n"
    )
    (folder / "food.md").write_text("# Lunch\n\nThe kitchen serves soup on Mondays and noodles on Tuesdays.\n")
    return folder
