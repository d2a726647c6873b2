"""``headrace ask`` and ``headrace tail``: one run, from the question or from the log, drawn until its end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runtime.cli import screens
from runtime.cli.outcome import MISUSED, fail, folder
from runtime.cli.show import show
from runtime.cli.system import System, find
from runtime.client import HeadraceClient
from runtime.client.client import is_loopback
from runtime.clock import SystemClock


@dataclass(frozen=True, slots=True)
class Look:
    """How a run is shown."""

    json: bool = False
    plain: bool = False


async def ask(
    question: str,
    *,
    docs: Path | None,
    url: str | None,
    model: str | None = None,
    data: Path | None = None,
    look: Look,
    detach: bool = False,
) -> int:
    """Ask, wherever a system is found; the exit code. Raises HeadraceError."""
    if not question.strip():
        raise fail('ask something: headrace ask "How does … work?"', MISUSED)
    if url and (model or data):
        raise fail("--model and --data belong to a private system; the server at --url has its own", MISUSED)
    documents = _documents(docs, url)
    async with find(url, model=model, data=data, say=screens.stderr_line) as system:
        if detach and system.private:
            raise fail("--detach needs a server that stays: start one with `headrace serve`", MISUSED)
        if detach:
            return await _detached(system, question, documents)
        return await ask_at(system, question, documents, look)


async def ask_at(system: System, question: str, documents: str | None, look: Look) -> int:
    """Ask there and draw the run until its end; the exit code. Raises HeadraceError."""
    screen = screens.choose(json=look.json, plain=look.plain, clock=SystemClock())
    async with HeadraceClient(system.url) as client:
        code = await show(client, client.stream_raw(question, documents=documents), screen)
    if screen.state.run_id:
        screen.say(system.replay.format(run=screen.state.run_id))
    return code


async def tail(run_id: str, *, url: str, after: int, look: Look) -> int:
    """Draw a run from its log, and live when it is not over. Ctrl-C leaves the run alone. Raises HeadraceError."""
    screen = screens.choose(json=look.json, plain=look.plain, clock=SystemClock(), after=after)
    async with HeadraceClient(url) as client:
        # A picture or a line builds on what came before, so only JSON can begin in the middle.
        events = client.follow_raw(run_id, after if look.json else 0)
        return await show(client, events, screen, cancel_on_interrupt=False)


async def _detached(system: System, question: str, documents: str | None) -> int:
    async with HeadraceClient(system.url) as client:
        run = await client.create(question, documents=documents)
    screens.stdout_line(run["run_id"])
    screens.stderr_line(f"watch it: headrace tail {run['run_id']} --url {system.url}")
    return 0


def _documents(docs: Path | None, url: str | None) -> str | None:
    """The folder to name in the request: on this machine an existing one, on another whatever was given."""
    if docs is None or (url and not is_loopback(url)):
        return None if docs is None else str(docs)
    return str(folder(docs))
