"""Which system answers a question: the one named, the one running on this machine, or a private one for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.cli.serve import free_port, model_sentence
from runtime.client import HeadraceClient
from runtime.config import load

DEFAULT_URL = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class System:
    """Where to ask, and how the run can be seen again."""

    url: str
    private: bool
    replay: str
    """A command with ``{run}`` in it, or a sentence when the run cannot be seen again."""
    resume: str = ""
    """A command with ``{run}`` in it that goes on from a run that ended early; empty when there is none."""
    converse: str = ""
    """A command with ``{conversation}`` in it that asks on in the run's conversation; empty when there is none."""


def at(url: str) -> System:
    """A system that is there already."""
    replay = f"replay: headrace tail {{run}} --url {url}   or  {url}/v1/runs/{{run}}/events"
    go_on = f"go on: headrace resume {{run}} --url {url}"
    return System(url, False, replay, go_on, f'ask on: headrace ask --conversation {{conversation}} --url {url} "…"')


@asynccontextmanager
async def find(
    url: str | None, *, model: str | None, data: Path | None, say: Callable[[str], None]
) -> AsyncIterator[System]:
    """The system to ask; a private one lives as long as the block.

    Raises ``ConfigurationError`` and what starting a private one raises. A model named here can only be the private
    one's: a running server has its own.
    """
    if url:
        yield at(url.rstrip("/"))
        return
    async with HeadraceClient(DEFAULT_URL) as client:
        running = await client.ready()
    if running and model is None and data is None:
        say(f"using the server at {DEFAULT_URL}")
        yield at(DEFAULT_URL)
        return
    async with _private(model=model, data=data, beside=running and data is None, say=say) as system:
        yield system


@asynccontextmanager
async def _private(
    *, model: str | None, data: Path | None, beside: bool, say: Callable[[str], None]
) -> AsyncIterator[System]:
    from runtime.bootstrap.system import (
        in_process_server,  # here: it imports every adapter, which --help must not pay for
    )

    # A running server holds the data directory's lock: beside it the run is kept in memory only.
    settings = load(
        model=model, data_dir=data, port=free_port(), host="127.0.0.1", auth="none", log="memory:" if beside else None
    )
    why = f"the server at {DEFAULT_URL} has a model of its own" if beside else f"no server answers at {DEFAULT_URL}"
    say(f"{why}; starting a private system in this process for this one question")
    say(model_sentence(settings))
    async with in_process_server(settings) as url:
        if settings.log_url().startswith("memory:"):
            replay, resume, converse = "this run was kept in memory only; it cannot be replayed", "", ""
        else:
            chosen = f" --model {model}" if model else ""
            there = f"--data {settings.data_dir}{chosen}"
            resume = f"go on: headrace resume {{run}} {there}"
            converse = f'ask on: headrace ask --conversation {{conversation}} {there} "…"'
            replay = f"replay: headrace serve --data {settings.data_dir}   and then  headrace tail {{run}}"
        yield System(url, True, replay, resume, converse)
