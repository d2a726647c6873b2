"""Draws docs/images/terminal.svg: a real run of the offline model over this repository's docs/, caught in the middle.

python docs/images/make_terminal.py
"""

from __future__ import annotations

import asyncio
import io
import re
import tempfile
from pathlib import Path

from rich.console import Console, Group
from rich.text import Text

from runtime.bootstrap.system import in_process_server
from runtime.cli.activity import Activity
from runtime.cli.demo import QUESTION
from runtime.cli.view import Size, render
from runtime.client import HeadraceClient
from runtime.clock import SystemClock
from runtime.config import load
from runtime.events.fold import RunState, fold
from runtime.events.texts import Texts

TARGET = Path(__file__).with_name("terminal.svg")
DOCUMENTS = Path(__file__).parents[1]
WIDTH, HEIGHT = 114, 30
_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
CHARACTERS = 480
"""Of text under the running stage when the picture is taken."""


async def picture() -> str:
    """The terminal in the middle of the first stage, as SVG."""
    with tempfile.TemporaryDirectory() as data:
        settings = load(model="offline", data_dir=Path(data), log="memory:", documents=DOCUMENTS)
        async with in_process_server(settings) as url, HeadraceClient(url) as client:
            return await _watch(client)


async def _watch(client: HeadraceClient) -> str:
    state, texts, activity = RunState(), Texts(), Activity()
    async for event in client.stream(QUESTION):
        envelope = event.envelope
        if envelope is None:
            continue
        state = fold(state, envelope)
        texts.apply(envelope)
        activity.apply(envelope)
        if _good_moment(state, texts, activity):
            break
    return _drawn(state, texts, activity)


def _good_moment(state: RunState, texts: Texts, activity: Activity) -> bool:
    """Tools have answered, and some of the findings are written."""
    running = [name for name, stage in state.stages.items() if stage.status == "running"]
    return any(activity.of(name).calls and len(texts.of_stage(name)) >= CHARACTERS for name in running)


def _drawn(state: RunState, texts: Texts, activity: Activity) -> str:
    console = Console(record=True, width=WIDTH, height=HEIGHT, file=io.StringIO(), force_terminal=True)
    size = Size(WIDTH, HEIGHT)
    command = Text.assemble(("$ ", "dim"), f'headrace ask "{QUESTION}" --docs docs')
    console.print(Group(command, Text(), render(state, texts, activity, SystemClock().now(), size)))
    svg = console.export_svg(title="headrace", unique_id="headrace")
    return _FONT.sub("", svg)  # rich names fonts on a server elsewhere; any monospace font of the reader's will do


if __name__ == "__main__":
    TARGET.write_text(asyncio.run(picture()), encoding="utf-8")
