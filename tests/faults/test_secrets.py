"""No configured secret in any artefact (JOURNAL.md P16): twenty are planted, and tools, models and hooks tell them all.

What is searched: the store's file and its WAL, event streams, pages, snapshots, lists, error answers, log lines, and the command
lines of all processes. What a person writes is not redacted, so nothing is planted there.
"""

from __future__ import annotations

import io
import logging
import os
import random
from pathlib import Path

import httpx2
import pytest

import runtime.composition
from runtime.bootstrap.system import in_process
from runtime.config import load
from runtime.stream.redactor import REDACTED, Redactor
from tests.fakes.messages_server import MessagesServer
from tests.faults.canaries import MODELS, MODULE, Planted, answers, files_below, process_list, tape
from tests.faults.report import record


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Planted:
    made = Planted(int(os.environ.get("SEED", random.randrange(2**32))), tmp_path)
    assert len(made.values) == len(set(made.values)) == 20
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


class Logs:
    """Everything that is logged in this process, at every level, tracebacks included."""

    def __init__(self) -> None:
        self.text = io.StringIO()
        self._handler = logging.StreamHandler(self.text)

    def __enter__(self) -> Logs:
        logging.getLogger().addHandler(self._handler)
        self._level = logging.getLogger().level
        logging.getLogger().setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._handler)
        logging.getLogger().setLevel(self._level)


async def artefacts(planted: Planted, data: Path) -> dict[str, bytes]:
    """What a run that tells everything leaves behind, while the system is up and after it has stopped."""
    found: dict[str, bytes] = {}
    async with MessagesServer(recordings=tape(planted)) as server:
        settings = load(
            data_dir=data,
            anthropic_base_url=server.base_url,
            modules=(MODULE,),
            hooks=(f"{MODULE}:hook",),
            agent_models=MODELS,
            model="anthropic",
        )
        with Logs() as logs:
            async with in_process(settings) as system:
                transport = httpx2.ASGITransport(app=system.app, raise_app_exceptions=False)
                async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
                    found |= await answers(http, planted)
                found |= {f"live {name}": content for name, content in files_below(data).items()}
                found["process list"] = process_list()
        found["log lines"] = logs.text.getvalue().encode()
    return found | files_below(data)


async def test_no_planted_secret_is_in_anything_that_is_left_behind(planted: Planted, tmp_path: Path) -> None:
    found = await artefacts(planted, tmp_path / "data")
    hits = {name: planted.hits(content) for name, content in found.items()}
    told = {name: content for name, content in found.items() if REDACTED.encode() in content}
    violations = sum(map(len, hits.values()))
    floor = f"{len(found)} artefacts, in {len(told)} of them something was taken out"
    what = "secrets told by tools, models and hooks, found in what is left behind"
    record(
        promise="P16",
        what=what,
        n=len(planted.values) * len(found),
        violations=violations,
        seed=planted.seed,
        floor=floor,
    )
    assert not violations, {name: values for name, values in hits.items() if values}
    first, second = (content for name, content in found.items() if name.startswith("POST"))
    for expected in ("tool.completed", "turn.delta", "title.set", "plan.committed", "custom", "citation.added"):
        assert _redacted(first, expected), f"no {expected} with something taken out"
    assert _redacted(first, "run.completed") and _redacted(second, "run.failed")
    assert b"tool.arguments_invalid" in first and b"I was told" not in first, "no tool is run with redacted arguments"
    assert any(b'"local__add"' in content for name, content in found.items() if "/v1/tools" in name)
    assert "log lines" in told and "live log.db-wal" in told


def _redacted(stream: bytes, kind: str) -> bool:
    return any(f'"type":"{kind}"'.encode() in line and REDACTED.encode() in line for line in stream.split(b"\n"))


async def test_without_redaction_they_are_everywhere(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The negative control: the search finds what is there."""
    monkeypatch.setattr(runtime.composition, "redactor_of", lambda _: Redactor((), ()))
    found = await artefacts(planted, tmp_path / "data")
    hits = {name: planted.hits(content) for name, content in found.items()}
    assert hits["process list"] == []
    streams = [name for name in found if name.startswith("POST")]
    assert all(set(hits[name]) == set(planted.values) for name in hits if name.startswith("texts of"))
    for name in ("log lines", streams[0], "live log.db-wal"):
        assert set(hits[name]) == set(planted.values), f"{name}: {hits[name]}"
    assert sum(bool(hits[name]) for name in hits if name.startswith("error answer")) >= len(planted.values) - 1
    assert b"I was told" in found[streams[0]]
