"""``headrace models fetch`` and ``headrace index``: what a system needs in stock before it is asked."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from runtime.cli.outcome import MISUSED, fail, folder
from runtime.cli.progress import counting, waiting
from runtime.cli.screens import stderr_line, stdout_line
from runtime.cli.terminal import safe
from runtime.config import load


def fetch(name: str, data: Path | None) -> Path:
    """Make sure a model's weights are in the data directory; their path. Raises ConfigurationError with the remedy."""
    if name != "smollm2":
        raise fail(f"there is no model {name!r} to fetch, only smollm2; any other file: serve --gguf FILE", MISUSED)
    from runtime.llm.weights import fetch_smollm2  # here: --help must not pay for it

    with waiting(Console(stderr=True, highlight=False), "SmolLM2-135M-Instruct"):
        return fetch_smollm2(load(data_dir=data).data_dir, stderr_line)


def index(documents: Path, data: Path | None) -> int:
    """Build or refresh the index of a folder, with a bar. Raises ConfigurationError."""
    found = folder(documents)
    assert found is not None
    from runtime.tools.documents.index import build  # here: its readers of PDF and HTML are heavy

    with counting("indexing") as progress:
        summary = build(found, load(data_dir=data).data_dir, progress)
    others = f"; {summary.skipped} files of other kinds left out" if summary.skipped else ""
    stdout_line(f"{summary.files} documents, {summary.passages} passages{others}")
    for problem in summary.problems:
        stderr_line(f"left out: {safe(problem.name)}: {safe(problem.reason)}")
    return 0
