"""``headrace keys``, with and without a server over the data directory."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from runtime.cli.app import app
from tests.end_to_end.conftest import free_port

runner = CliRunner()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("HEADRACE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HEADRACE_API_KEY", "")  # what --key sets goes with it


def keys(*arguments: str) -> str:
    result = runner.invoke(app, ["keys", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


def listed(data: Path) -> list[dict[str, object]]:
    return list(json.loads(keys("--data", str(data), "--json")))


def test_keys_are_made_and_ended_without_a_server(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path))
    assert "no keys yet" in keys(*data)
    key = keys(
        "create", "--name", "ci", "--tenant", "acme", "--scope", "runs:read", "--role", "x", "--days", "2", *data
    )
    assert re.fullmatch(r"hr_[0-9a-f]{16}\.[A-Za-z0-9_-]{43}\n", key)
    (kept,) = listed(tmp_path)
    assert (kept["tenant_id"], kept["name"], kept["scopes"], kept["roles"]) == ("acme", "ci", ["runs:read"], ["x"])
    assert re.search(r"acme +ci +runs:read +x .* (1\.9|2\.0) days left", keys(*data))
    new = keys("rotate", str(kept["key_id"]), "--keep-hours", "1", *data)
    assert new != key
    keys("revoke", key.strip(), *data)
    assert [one["revoked_at"] is None for one in listed(tmp_path)] == [True, False]
    assert "revoked" in keys(*data)
    audit = tmp_path / "audit.log"
    assert not audit.exists(), "in development mode nobody asked for one"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("revoke", "nobody"), 1, "nothing here"),
        (("create", "--name", "a", "--scope", "root"), 2, "scopes"),
        (("create", "--name", "a", "--tenant", "a/b"), 2, "tenant_id"),
        (("create", "--name", "a", "--log", "memory:"), 2, "keeps no keys"),
    ],
)
def test_mistakes_are_one_sentence(tmp_path: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    result = runner.invoke(app, ["keys", *arguments, "--data", str(tmp_path)])
    assert (result.exit_code, result.stderr.count("\n")) == (code, 1)
    assert words in result.stderr


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    port, data = free_port(), tmp_path / "data"
    command = [sys.executable, "-m", "runtime.cli", "serve", "--in-process", "--model", "offline", "--auth", "keys"]
    with (tmp_path / "out").open("wb") as out:
        process = subprocess.Popen([*command, "--port", str(port), "--data", str(data)], stdout=out, stderr=out)
    try:
        deadline = time.monotonic() + 60
        while "ready at" not in (tmp_path / "out").read_text():
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "out").read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}", data
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
    assert not (data / "operator.json").exists(), "the operator's key ends with the server"


def test_keys_are_made_and_ended_beside_a_running_server(served: tuple[str, Path]) -> None:
    url, data = served
    assert "headrace keys create" in (data.parent / "out").read_text()
    key = keys("create", "--name", "ci", "--data", str(data)).strip()
    bearer = {"Authorization": f"Bearer {key}"}
    assert httpx2.get(f"{url}/v1/runs").status_code == 401
    assert httpx2.get(f"{url}/v1/runs", headers=bearer).status_code == 200
    result = runner.invoke(app, ["runs", "--url", url])
    assert (result.exit_code, "HEADRACE_API_KEY" in result.stderr) == (1, True)
    result = runner.invoke(app, ["--key", key, "runs", "--url", url])
    assert (result.exit_code, "no runs yet" in result.stdout) == (0, True)
    assert (
        "1 of 1 are live"
        in runner.invoke(
            app, ["doctor", "--data", str(data), "--model", "offline"], env={"HEADRACE_AUTH": "keys"}
        ).stdout
    )
    result = runner.invoke(app, ["--key", key, "keys", "--url", url])
    assert (result.exit_code, "'admin'" in result.stderr) == (1, True), "it is no administrator's"
    keys("revoke", key, "--data", str(data))
    deadline = time.monotonic() + 5
    while httpx2.get(f"{url}/v1/runs", headers=bearer).status_code == 200:
        assert time.monotonic() < deadline, "a revocation takes effect within 5 s"
        time.sleep(0.1)
    lines = [json.loads(line) for line in (data / "audit.log").read_text().splitlines()]
    assert {"createKey", "revokeKey", "listRuns"} == {line["action"] for line in lines}
    assert key.partition(".")[2] not in (data / "audit.log").read_text()
