"""Keys on Ray and Serve: made beside the running server, asked for at its door, ended with effect on open streams."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.end_to_end.conftest import Provider, Served, served

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

REFUSED_WITHIN_S = 5.0
ENDED_WITHIN_S = 60.0
"""SECURITY.md 2.2: of a revocation, for requests and for open streams."""


@pytest.fixture(scope="module")
def system(provider: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    environment = provider.environment("rate-20x100")
    with served(tmp_path_factory.mktemp("tenants"), "--auth", "keys", **environment) as running:
        yield running


def keys(system: Served, *arguments: str) -> Any:
    command = [sys.executable, "-m", "runtime.cli", "keys", *arguments, "--data", str(system.data)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def client(system: Served, key: str) -> httpx2.Client:
    return httpx2.Client(base_url=system.url, headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False)


class Reader(threading.Thread):
    """Reads a run's stream to its end."""

    def __init__(self, http: httpx2.Client, path: str) -> None:
        super().__init__(daemon=True)
        self._http, self._path = http, path
        self.begun = threading.Event()
        self.body = b""
        self.ended_at = 0.0

    def run(self) -> None:
        headers = {"Accept": "text/event-stream"}
        with self._http as http, http.stream("GET", self._path, headers=headers) as answer:
            for chunk in answer.iter_raw():
                self.body += chunk
                self.begun.set()
        self.ended_at = time.monotonic()


def test_key_opens_its_tenants_runs_until_it_is_revoked(system: Served) -> None:
    deadline = time.monotonic() + 10
    while "nobody has a key yet; make the first: headrace keys create" not in system.output.read_text():
        assert time.monotonic() < deadline, system.output.read_text()
        time.sleep(0.1)
    acme, second, umbra = (
        keys(system, "create", "--json", "--name", "ci", "--tenant", tenant) for tenant in ("acme", "acme", "umbra")
    )
    assert [key["tenant_id"] for key in keys(system, "--json")] == ["umbra", "acme", "acme"]
    assert httpx2.get(f"{system.url}/v1/runs", trust_env=False).status_code == 401
    with (
        client(system, acme["key"]) as mine,
        client(system, second["key"]) as also,
        client(system, umbra["key"]) as theirs,
    ):
        # It waits for a person, so its stream is open for as long as it is let.
        run = mine.post("/v1/runs", json={"input": "Why?", "approve_plan": True, "on_disconnect": "continue"}).json()
        path = run["links"]["events"]
        reader = Reader(client(system, acme["key"]), path)
        reader.start()
        assert reader.begun.wait(30)
        foreign, absent = theirs.get(run["links"]["self"]), theirs.get("/v1/runs/99999999-9999-4999-8999-999999999999")
        assert (foreign.status_code, foreign.content) == (404, absent.content)
        assert run["run_id"] not in theirs.get("/v1/runs").text
        assert mine.post("/v1/keys", json={"name": "x"}).status_code == 403
        keys(system, "revoke", acme["key_id"])
        revoked = time.monotonic()
        while mine.get("/v1/runs").status_code == 200:
            assert time.monotonic() < revoked + REFUSED_WITHIN_S
            time.sleep(0.1)
        assert also.get(run["links"]["self"]).status_code == 200, "the tenant's other key is as good as before"
        reader.join(ENDED_WITHIN_S + 5)
        assert reader.ended_at, "the stream goes on although its key is revoked"
        assert reader.ended_at - revoked <= ENDED_WITHIN_S
        assert reader.body.endswith(b"retry: 5000\n\n")
        assert b"run.accepted" in reader.body
        assert also.post(run["links"]["cancel"]).status_code == 202
    lines = [json.loads(line) for line in (Path(system.data) / "audit.log").read_text().splitlines()]
    assert {"createKey", "createRun", "revokeKey", "cancelRun"} <= {line["action"] for line in lines}
    assert acme["key"].partition(".")[2] not in (Path(system.data) / "audit.log").read_text()
