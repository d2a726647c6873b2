"""``headrace runs`` and ``headrace cancel``."""

from __future__ import annotations

import time
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.cli.screens import stdout_line
from runtime.cli.terminal import one_line
from runtime.client import HeadraceClient

_STYLES = {"completed": "green", "failed": "red", "expired": "red", "cancelled": "yellow"}


async def runs(*, url: str, limit: int, json: bool) -> int:
    """Print the newest runs. Raises HeadraceError."""
    async with HeadraceClient(url) as client:
        found = await client.runs(limit=limit)
    if json:
        stdout_line(orjson.dumps(found).decode())
    elif found:
        Console().print(table(found))
    else:
        stdout_line(f'no runs yet at {url}; ask something with `headrace ask "…"`')
    return 0


def table(found: list[dict[str, Any]]) -> Table:
    """The runs as a table; Any: it is the server's JSON."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("run", no_wrap=True)
    grid.add_column("state", no_wrap=True)
    grid.add_column("created", no_wrap=True)
    grid.add_column("question")
    for run in found:
        state = str(run.get("state", "?"))
        created = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(run.get("created_at", 0))))
        question = one_line(str(run.get("question", "")), 70)
        grid.add_row(str(run.get("run_id")), Text(state, style=_STYLES.get(state, "")), created, Text(question))
    return grid


async def cancel(run_id: str, *, url: str) -> int:
    """Ask for a run's end. Raises NotFound, Conflict when it is over, HeadraceError."""
    async with HeadraceClient(url) as client:
        await client.cancel(run_id)
    stdout_line(f"cancel requested; what was completed stays: headrace tail {run_id} --url {url}")
    return 0
