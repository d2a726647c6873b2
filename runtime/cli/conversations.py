"""``headrace conversations``: list, show, delete."""

from __future__ import annotations

import time
from typing import Any

import orjson
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from runtime.cli.outcome import Leave, fail
from runtime.cli.screens import stdout_line
from runtime.cli.terminal import counted, one_line, safe
from runtime.client import HeadraceClient
from runtime.errors import NotFound


async def conversations(*, url: str, limit: int, json: bool) -> int:
    """Print the newest conversations. Raises HeadraceError."""
    async with HeadraceClient(url) as client:
        found = (await client.conversations(limit=limit))["conversations"]
    if json:
        stdout_line(orjson.dumps(found).decode())
    elif found:
        Console().print(table(found))
    else:
        stdout_line(f'no conversations yet at {url}; ask something with `headrace ask "…"`')
    return 0


async def show(conversation_id: str, *, url: str, json: bool) -> int:
    """Print what was asked and answered in a conversation. Raises HeadraceError."""
    async with HeadraceClient(url) as client:
        try:
            found = await client.conversation(conversation_id)
        except NotFound as error:
            raise unknown(conversation_id, url) from error
    if json:
        stdout_line(orjson.dumps(found).decode())
        return 0
    console = Console()
    title = one_line(str(found.get("title") or found.get("question", "")), 200)
    console.print(Text(title, style="bold"), Text(_sums(found), style="dim"), sep="\n")
    for run in found.get("runs", []):
        console.print()
        console.print(Text(f"> {safe(str(run.get('question', '')))}", style="cyan"))
        console.print(_answer(run))
    return 0


async def delete(conversation_id: str, *, url: str) -> int:
    """Delete a conversation with all its runs. Raises Conflict while it is busy, HeadraceError."""
    async with HeadraceClient(url) as client:
        try:
            await client.delete_conversation(conversation_id)
        except NotFound as error:
            raise unknown(conversation_id, url) from error
    stdout_line(f"deleted conversation {conversation_id} with all its runs")
    return 0


def unknown(conversation_id: str, url: str) -> Leave:
    """What to raise for a conversation that is not there."""
    listing = "`headrace conversations` lists what there is"
    return fail(f"there is no conversation {one_line(conversation_id, 64)} at {url} ({listing})")


def table(found: list[dict[str, Any]]) -> Table:
    """The conversations as a table; Any: it is the server's JSON."""
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("conversation", no_wrap=True)
    grid.add_column("runs", justify="right")
    grid.add_column("last asked", no_wrap=True)
    grid.add_column("title")
    for one in found:
        asked = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(one.get("updated_at", 0))))
        title = one_line(str(one.get("title") or one.get("question", "")), 70)
        grid.add_row(str(one.get("conversation_id")), str(one.get("run_count")), asked, Text(title))
    return grid


def _sums(found: dict[str, Any]) -> str:
    words = f"{found.get('conversation_id')}  {counted(int(found.get('run_count', 0)), 'run')}"
    cost = float(found.get("cost_usd", 0))
    earlier = "  (its newest)" if found.get("next_before") else ""
    return f"{words}{earlier}" + (f"  {cost:.4f} USD" if cost else "")


def _answer(run: dict[str, Any]) -> Markdown | Text:
    answer = run.get("answer")
    if answer:
        return Markdown(safe(str(answer)))
    return Text(f"({run.get('state')}: headrace tail {run.get('run_id')})", style="yellow")
