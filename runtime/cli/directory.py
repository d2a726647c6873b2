"""``headrace agents`` and ``headrace tools``."""

from __future__ import annotations

from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.cli.screens import stdout_line
from runtime.cli.terminal import one_line
from runtime.client import HeadraceClient

_WORDS = 90
"""Characters of a description in the table; the JSON has all."""


async def agents(*, url: str, json: bool) -> int:
    """Print the agents. Raises HeadraceError."""
    async with HeadraceClient(url) as client:
        found = await client.agents()
    if json:
        stdout_line(orjson.dumps(found).decode())
    else:
        rows = [(one, (*_listed(one, "tools"), *_listed(one, "models"))) for one in found]
        Console().print(_table("agent", "tools and models", rows))
    return 0


async def tools(*, url: str, json: bool) -> int:
    """Print the tools agents may call. Raises HeadraceError."""
    async with HeadraceClient(url) as client:
        found = await client.tools()
    if json:
        stdout_line(orjson.dumps(found).decode())
    else:
        Console().print(_table("tool", "agents", [(one, _listed(one, "agents")) for one in found]))
    return 0


def _table(what: str, others: str, rows: list[tuple[dict[str, Any], tuple[str, ...]]]) -> Table:
    """Name, kind or role, others and description; Any: it is the server's JSON."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column(what, no_wrap=True)
    grid.add_column("kind", no_wrap=True)
    grid.add_column(others)
    grid.add_column("description")
    for one, names in rows:
        kind = str(one.get("kind") or one.get("role") or "?")
        words = one_line(str(one.get("description", "")), _WORDS)
        grid.add_row(Text(one_line(str(one.get("name")), 64)), Text(kind), Text(", ".join(names) or "-"), Text(words))
    return grid


def _listed(one: dict[str, Any], field: str) -> tuple[str, ...]:
    return tuple(one_line(str(name), 64) for name in one.get(field, []))
