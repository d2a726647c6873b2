"""``make demo``: start a system, ask it one question about documents, show everything live, stop it.

Environment: ``Q`` the question, ``DOCS`` the folder, ``MODEL`` the model; each may be left out.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from rich.console import Console

from runtime.cli.ask import Look, ask_at
from runtime.cli.outcome import folder, told
from runtime.cli.serve import free_port, model_sentence, running
from runtime.cli.stock import fetch
from runtime.cli.system import System
from runtime.config import Settings, load

QUESTION = "How does Headrace make sure that no token is lost or doubled when a process dies?"
DATA = Path(".headrace/demo")
REPOSITORY_DOCS = Path(__file__).parents[2] / "docs"


def main() -> int:
    """Run the demonstration; the run's exit code. Leaves with a sentence when the system cannot be started."""
    question = os.environ.get("Q", "").strip() or QUESTION
    with told():
        documents = folder(Path(os.environ.get("DOCS") or REPOSITORY_DOCS))
        model = os.environ.get("MODEL") or None
        if model == "local":
            fetch("smollm2", DATA)
        settings = load(model=model, data_dir=DATA, port=free_port(), documents=documents)
        return asyncio.run(_demo(settings, question, str(documents)))


async def _demo(settings: Settings, question: str, documents: str) -> int:
    console = Console(stderr=True, highlight=False)
    console.print(model_sentence(settings), markup=False, soft_wrap=True)
    # Until ``ask`` takes Ctrl-C over, and for SIGTERM throughout: leave the block below, which stops the system.
    work = asyncio.current_task()
    assert work is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, work.cancel)
    try:
        async with running(settings, console) as (url, _):
            replay = f"replay: make serve ARGS='--data {DATA}'   and then  headrace tail {{run}}"
            code = await ask_at(System(url, True, replay), question, Look(), documents=documents)
            loop.add_signal_handler(signal.SIGINT, work.cancel)
            console.print("stopping the system …", markup=False)
    except asyncio.CancelledError:
        return 130
    console.print("stopped; nothing is left running", markup=False)
    return code


if __name__ == "__main__":
    sys.exit(main())
