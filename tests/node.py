"""Node programs in tests: clients that others publish, and the page's own tests. Without Node they are skipped, but not in CI."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLIENTS = ROOT / "tests" / "clients"
"""One package with all the published clients; see its package.json."""
WEB = ROOT / "web"


def node() -> str:
    """The program; skips the test where there is none."""
    found = shutil.which("node")
    if found is None or shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("Node and npm are needed here: CI runs these tests")
        pytest.skip("there is no Node on this machine (20.19 or newer, with npm)")
    return found


def installed(package: Path) -> Path:
    """The folder, with what its package-lock.json names; installed when it is not there, or is another."""
    node()
    lock, made = package / "package-lock.json", package / "node_modules" / ".package-lock.json"
    if not made.exists() or made.stat().st_mtime < lock.stat().st_mtime:
        subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=package, check=True, timeout=300)
        made.touch()
    return package


@contextlib.asynccontextmanager
async def running(script: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A script of ours, with its output to read; ended with the context."""
    process = await asyncio.create_subprocess_exec(
        node(),
        str(script),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=2**24,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process._transport.close()  # type: ignore[attr-defined]  # its pipes would be closed only by the collector
