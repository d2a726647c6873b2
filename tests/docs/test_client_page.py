"""Every example of docs/client.md runs, and the page names every method."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import io
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runtime.bootstrap.system import in_process_server
from runtime.client import HeadraceClient, errors
from runtime.config import Settings
from runtime.events.plan import Todo
from runtime.testing.scripted import calls, plans, says, scripted

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text("utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
SAID = (
    "completed Taken over",
    "completed Taken over",
    "Taken over",
    "run.completed",
    "True",
    "completed 0.0",
    "404 not_found",
)
"""What each of them prints, among other things."""


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    model = scripted(
        plans(
            Todo(id="find", title="Find", agent="analysis"),
            Todo(id="tell", title="Tell", agent="writing", depends_on=("find",)),
        ),
        calls("analysis", "calculate", text="Let me see.", expression="1 + 1"),
        says("analysis", "It is 2.", turn=2),
        says("writing", "Taken over."),
    )
    async with in_process_server(Settings(model="scripted", log="memory:", data_dir=tmp_path), stand_in=model) as url:
        yield url


@pytest.mark.parametrize(("example", "said"), list(zip(EXAMPLES, SAID, strict=True)))
async def test_example_runs(example: str, said: str, url: str) -> None:
    printed = io.StringIO()

    def program() -> None:
        with contextlib.redirect_stdout(printed):
            exec(compile(example.replace("http://127.0.0.1:8000", url), "docs/client.md", "exec"), {})

    async with asyncio.timeout(60):
        await asyncio.to_thread(program)
    assert said in printed.getvalue()


def test_the_page_names_every_method_and_error() -> None:
    methods = [n for n, f in vars(HeadraceClient).items() if inspect.isfunction(f) and not n.startswith("_")]
    assert [name for name in methods if f"`{name}(" not in PAGE] == []
    kinds = [n for n, kind in vars(errors).items() if inspect.isclass(kind) and kind.__module__ == errors.__name__]
    told = {kind for kind in kinds if issubclass(getattr(errors, kind), Exception)} - {"Gap"}
    assert {kind for kind in told if f"`{kind}`" not in PAGE} == {"ApiError"}
