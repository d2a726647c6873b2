"""The page's half of the client: its event types are made from ours, and its fold, decoder and follower pass their own tests."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

from tests.node import ROOT, WEB, installed


def test_the_event_types_are_those_of_the_catalog() -> None:
    spec = importlib.util.spec_from_file_location("make_event_types", ROOT / "docs" / "make_event_types.py")
    assert spec is not None
    assert spec.loader is not None
    make_event_types = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_event_types)
    written = Path(make_event_types.TARGET).read_text(encoding="utf-8")
    assert written == make_event_types.module(), "run `python docs/make_event_types.py`"


def test_the_fold_the_decoder_and_the_follower_pass_their_tests() -> None:
    """Among them the files in tests/fixtures/folds, which hold the Python client's fold to account as well."""
    installed(WEB)
    done = subprocess.run(
        ["npx", "--no-install", "vitest", "run"], cwd=WEB, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "folds.test.ts" in done.stdout
