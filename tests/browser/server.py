"""``headrace serve --in-process`` as a person starts it, on a free loopback port."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.end_to_end.conftest import free_port

READY_WITHIN_S = 60.0


@dataclass(frozen=True)
class Server:
    """A running system."""

    url: str
    port: int

    def get(self, path: str) -> Any:
        """JSON from the API."""
        headers = {"Accept": "application/json"}
        return httpx2.get(self.url + path, headers=headers, timeout=10, trust_env=False).raise_for_status().json()

    def ask(self, question: str, **more: object) -> str:
        """A run that goes on without a reader; its id."""
        body = {"input": question, "on_disconnect": "continue", **more}
        answer = httpx2.post(f"{self.url}/v1/runs", json=body, timeout=10, trust_env=False).raise_for_status()
        return str(answer.json()["run_id"])


@contextmanager
def serving(data: Path, *arguments: str, **environment: str) -> Iterator[Server]:
    """A system that is ready; stopped at the end."""
    port = free_port()
    output = data / "serve.out"
    command = [sys.executable, "-m", "runtime.cli", "serve", "--in-process", "--port", str(port), "--data", str(data)]
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("ANTHROPIC_", "HEADRACE_"))}
    with output.open("wb") as sink:
        process = subprocess.Popen([*command, *arguments], stdout=sink, stderr=sink, env={**inherited, **environment})
    try:
        _await_ready(process, output)
        yield Server(f"http://127.0.0.1:{port}", port)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await_ready(process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and process.poll() is None:
        if "ready at" in output.read_text(errors="replace"):
            return
        time.sleep(0.1)
    raise AssertionError(f"the system did not get ready: {output.read_text(errors='replace')[-3000:]}")
