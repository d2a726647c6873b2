"""``headrace ask``, ``resume`` and ``tail``: one run, from the question, an earlier run or the log, drawn until its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.cli import screens
from runtime.cli.attach import attachments
from runtime.cli.ending import guarded
from runtime.cli.outcome import MISUSED, fail, folder
from runtime.cli.show import show
from runtime.cli.system import System, at, find
from runtime.cli.wishes import Wishes
from runtime.client import HeadraceClient, RunEvent
from runtime.client.client import is_loopback
from runtime.clock import SystemClock

UNDONE = ("failed", "expired", "cancelled")
"""Ends after which there may be something to go on with."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked, and in which conversation."""

    question: str
    documents: Path | None = None
    budget_usd: float | None = None
    conversation: str | None = None
    """Its id; None: a new one, unless ``go_on``."""
    go_on: bool = False
    """In the conversation that was asked in last."""
    attach: tuple[Path, ...] = ()
    """Files for the question."""
    approve_plan: bool = False
    """Do nothing before a person has approved the plan."""


@dataclass(frozen=True, slots=True)
class Look:
    """How a run is shown."""

    json: bool = False
    plain: bool = False


async def ask(
    asked: Asked,
    *,
    url: str | None,
    model: str | None = None,
    data: Path | None = None,
    look: Look,
    detach: bool = False,
) -> int:
    """Ask, wherever a system is found; the exit code. Raises HeadraceError."""
    if not asked.question.strip():
        raise fail('ask something: headrace ask "How does … work?"', MISUSED)
    if url and (model or data):
        raise fail("--model and --data belong to a private system; the server at --url has its own", MISUSED)
    if asked.conversation and asked.go_on:
        raise fail(
            "--continue asks on in the newest conversation, --conversation in the one it names: give one", MISUSED
        )
    options: dict[str, object] = {
        "documents": _documents(asked.documents, url),
        "budget_usd": asked.budget_usd,
        "attachments": attachments(asked.attach),
        "approve_plan": asked.approve_plan or None,
    }
    async with find(url, model=model, data=data, say=screens.stderr_line) as system:
        if detach and system.private:
            raise fail("--detach needs a server that stays: start one with `headrace serve`", MISUSED)
        if asked.approve_plan and system.private:
            raise fail("--approve-plan needs a server that others reach too: start one with `headrace serve`", MISUSED)
        options["conversation_id"] = await _newest(system) if asked.go_on else asked.conversation
        if detach:
            return await _detached(system, asked.question, options)
        return await ask_at(system, asked.question, look, **options)


async def ask_at(system: System, question: str, look: Look, **options: Any) -> int:
    """Ask there and draw the run until its end; the exit code. Raises HeadraceError.

    ``options`` are the request's; Any: they are JSON.
    """
    return await _drawn(system, look, lambda client: client.stream(question, **options))


async def _newest(system: System) -> str:
    """The conversation there that was asked in last."""
    async with HeadraceClient(system.url) as client:
        found = (await client.conversations(limit=1))["conversations"]
    if not found:
        raise fail("there is no conversation yet to go on with; ask without --continue first", MISUSED)
    return str(found[0]["conversation_id"])


async def resume(
    run_id: str,
    wishes: Wishes,
    *,
    url: str | None,
    model: str | None = None,
    data: Path | None = None,
    look: Look,
    detach: bool = False,
) -> int:
    """Go on from an ended run in a new one, wherever its system is found; the exit code. Raises HeadraceError."""
    if url and (model or data):
        raise fail("--model and --data belong to a private system; the server at --url has its own", MISUSED)
    async with find(url, model=model, data=data, say=screens.stderr_line) as system:
        if detach and system.private:
            raise fail("--detach needs a server that stays: start one with `headrace serve`", MISUSED)
        if detach:
            async with HeadraceClient(system.url) as client:
                return _left_alone(system, await client.resume(run_id, **wishes.fields()))
        return await _drawn(system, look, lambda client: client.resume_stream(run_id, **wishes.fields()))


async def _drawn(system: System, look: Look, begin: Callable[[HeadraceClient], AsyncGenerator[RunEvent, None]]) -> int:
    """Draw the run that ``begin`` creates until its end, and say how to see it again and how to go on."""
    screen = screens.choose(json=look.json, plain=look.plain, clock=SystemClock())
    async with HeadraceClient(system.url) as client:
        code = await show(client, begin(client), screen)
    if screen.state.run_id:
        screen.say(system.replay.format(run=screen.state.run_id))
    _say_how_to_go_on(screen, system)
    return code


async def tail(run_id: str, *, url: str, after: int, look: Look) -> int:
    """Draw a run from its log, and live when it is not over. Ctrl-C leaves the run alone. Raises HeadraceError."""
    screen = screens.choose(json=look.json, plain=look.plain, clock=SystemClock(), after=after)
    async with HeadraceClient(url) as client:
        # A picture or a line builds on what came before, so only JSON can begin in the middle.
        events = client.follow(run_id, after if look.json else 0)
        code = await show(client, events, screen, cancel_on_interrupt=False)
    _say_how_to_go_on(screen, at(url))
    return code


def _say_how_to_go_on(screen: screens.Screen, system: System) -> None:
    if screen.state.status in UNDONE and system.resume and not guarded(screen.state):
        screen.say(system.resume.format(run=screen.state.run_id))
    accepted = screen.state.accepted
    if accepted is not None and accepted.conversation_id and system.converse:
        screen.say(system.converse.format(conversation=accepted.conversation_id))


async def _detached(system: System, question: str, options: dict[str, Any]) -> int:
    async with HeadraceClient(system.url) as client:
        return _left_alone(system, await client.create(question, **options))


def _left_alone(system: System, run: dict[str, Any]) -> int:
    """Print the id of a run that goes on without us; Any: it is the server's JSON."""
    screens.stdout_line(run["run_id"])
    screens.stderr_line(f"watch it: headrace tail {run['run_id']} --url {system.url}")
    if run.get("conversation_id") and system.converse:
        screens.stderr_line(system.converse.format(conversation=run["conversation_id"]))
    return 0


def _documents(docs: Path | None, url: str | None) -> str | None:
    """The folder to name in the request: on this machine an existing one, on another whatever was given."""
    if docs is None or (url and not is_loopback(url)):
        return None if docs is None else str(docs)
    return str(folder(docs))
