"""``headrace doctor``: what it finds wrong, and that it probes the model for what servers ignore silently."""

from __future__ import annotations

import fcntl
import json
import socket
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from runtime.cli.check import Check
from runtime.cli.doctor import examine, report
from runtime.cli.probe import probe
from runtime.cli.store import examine_sqlite
from runtime.config import Settings, load
from runtime.errors import ModelUnauthorized
from runtime.events.messages import ContentBlock, TextBlock, ToolUseBlock, Usage
from runtime.llm.client import Chunk, Completed, ModelRequest


class Model:
    """Answers a forced tool call and a schema-bound request with what it is given."""

    def __init__(self, tool: ContentBlock, schema: ContentBlock, error: Exception | None = None) -> None:
        self.answers = {"research": tool, "titler": schema}
        self.error = error
        self.closed = False

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        if self.error is not None:
            raise self.error
        yield Completed((self.answers[request.agent],), "end_turn", Usage(), request.model)

    async def aclose(self) -> None:
        self.closed = True


GOOD_CALL = ToolUseBlock(id="1", name="search_documents", input={"query": "lease"})
GOOD_TITLE = TextBlock(text='{"title": "Rivers"}')


async def test_a_good_model_passes_and_is_closed() -> None:
    model = Model(GOOD_CALL, GOOD_TITLE)
    assert [check.status for check in await probe(model, "m")] == ["ok", "ok"]
    assert model.closed


async def test_a_model_that_ignores_both_silently_is_found_out() -> None:
    checks = await probe(Model(TextBlock(text="Sure!"), TextBlock(text="A title")), "m")
    assert [check.status for check in checks] == ["fail", "fail"]
    assert "tool_choice is ignored" in checks[0].found
    assert "output schemas are ignored" in checks[1].found


async def test_arguments_that_do_not_fit_are_found_out() -> None:
    wrong = ToolUseBlock(id="1", name="search_documents", input={"q": 1})
    checks = await probe(Model(wrong, TextBlock(text='{"name": 1}')), "m")
    assert all("does not fit its schema" in check.found for check in checks)


async def test_a_wrong_key_names_its_mend() -> None:
    checks = await probe(Model(GOOD_CALL, GOOD_TITLE, ModelUnauthorized("the key is refused")), "m")
    assert checks[0].mend == "set ANTHROPIC_API_KEY to a valid key"


def settings(tmp_path: Path, **given: object) -> Settings:
    return load(data_dir=tmp_path, model="offline", **given)


def test_a_sound_machine_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as probe_socket:
        probe_socket.bind(("127.0.0.1", 0))
        port = probe_socket.getsockname()[1]
    checks = examine(settings(tmp_path, port=port))
    assert [c for c in checks if c.status == "fail"] == []
    assert report(checks, json=True) == 0
    assert {c["name"] for c in json.loads(capsys.readouterr().out)} >= {"python", "ray", "port", "data", "store", "key"}


def test_a_taken_port_and_a_file_for_a_folder_fail_with_their_mend(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        taken.close()
        with socket.socket() as held:
            held.bind(("127.0.0.1", port))
            found = {c.name: c for c in examine(settings(tmp_path / "file", port=port))}
    assert found["port"].mend == f"stop what uses it, or serve --port {port + 1}"
    assert found["data"].status == "fail"


def test_the_store_tells_who_holds_it(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    assert examine_sqlite(path).status == "ok"
    path.write_bytes(b"")
    lock = tmp_path / "log.db.lock"
    lock.write_text("4711\n")
    assert examine_sqlite(path).status == "ok"
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert "in use by process 4711" in examine_sqlite(path).found
    path.write_bytes(b"no database at all, but long enough to be looked at as one" * 20)
    assert examine_sqlite(path).status == "fail"


def test_a_failed_check_makes_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert report([Check("x", "fail", "broken", "mend it")], json=False) == 1
    assert "mend it" in capsys.readouterr().out
