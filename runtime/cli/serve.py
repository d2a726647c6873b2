"""``headrace serve``: check the settings, start the system, stay until it is told to stop."""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace

from rich.console import Console

from runtime.cli.outcome import fail
from runtime.cli.parent import Limits, Parent
from runtime.cli.progress import waiting
from runtime.config import Settings, to_json
from runtime.generator.auth import operator
from runtime.telemetry import guard

SETTINGS = "HEADRACE_SETTINGS_JSON"
"""Environment variable in which the child finds its settings; secrets travel beside it, never in it."""

COMMAND = (sys.executable, "-m", "serve_app")


def model_sentence(settings: Settings) -> str:
    """Which model agents use, with what a person must know about it. Raises ConfigurationError without its weights."""
    from runtime.composition import model_words  # here: it imports all agents and tools, which --help must not pay for

    return f"model: {model_words(settings)}"


def child_environment(settings: Settings) -> dict[str, str]:
    """The child's environment: the settings as JSON, and the key where only the environment has it."""
    own = {SETTINGS: to_json(settings), "PYTHONUNBUFFERED": "1"}
    for name, value in (
        ("ANTHROPIC_API_KEY", settings.anthropic_api_key),
        ("ANTHROPIC_BASE_URL", settings.anthropic_base_url),
        ("HEADRACE_LOG", settings.log),
    ):
        if value:
            own[name] = value
    return {**os.environ, **own}


def check_port(host: str, port: int) -> None:
    """Leaves with one sentence when that address cannot be bound."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                words = f"port {port} on {host} is in use; stop what uses it, or choose another with --port {port + 1}"
            elif error.errno == errno.EACCES:
                words = f"port {port} needs rights this user does not have; choose one above 1023 with --port"
            else:
                words = f"{host}:{port} cannot be bound: {error.strerror}; choose another with --host and --port"
            raise fail(words) from error


def check_composition(settings: Settings) -> None:
    """Make once here what every process will make of the settings: a mistake shows now, not in a process far away.

    Raises ConfigurationError.
    """
    from runtime.composition import compose  # here: it imports all agents and tools, which --help must not pay for
    from runtime.llm.script import load_script

    guard(compose(settings).chain.redactor.text)
    if settings.script is not None:
        load_script(settings.script)


def page_sentence(url: str) -> str:
    """Where the page is, or how to get it."""
    from runtime.generator.page import FOLDER  # here: it imports starlette, which --help must not pay for

    if (FOLDER / "index.html").is_file():
        return f"open {url}/ in a browser"
    return "there is no page at / in this installation: make web builds it"


def free_port() -> int:
    """A loopback port nobody uses just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running(settings: Settings, console: Console) -> AsyncIterator[tuple[str, Parent]]:
    """The system, ready; stopped with everything it started when the block is left. Raises ``ChildFailed``."""
    parent = _parent(settings, console)
    try:
        with waiting(console, "starting Ray, the actors and the HTTP door"):
            url, took = await parent.start()
        _print(console, f"ready in {took:.1f} s at {url}")
        _print(console, page_sentence(url))
        yield url, parent
    finally:
        await _surely_stop(parent)


def _parent(settings: Settings, console: Console) -> Parent:
    usual = Limits()
    limits = replace(usual, grace_s=usual.grace_s + settings.drain_s)
    return Parent(COMMAND, child_environment(settings), say=lambda words: _print(console, words), limits=limits)


async def _surely_stop(parent: Parent) -> None:
    """Stop it whatever cancels the caller: a second Ctrl-C makes it quicker and never leaves a cluster behind."""
    stopping = asyncio.create_task(parent.stop())
    try:
        await asyncio.shield(stopping)
    except asyncio.CancelledError:
        await parent.stop(at_once=True)
        await stopping
        raise


def serve(settings: Settings, *, in_process: bool) -> int:
    """Run until SIGINT or SIGTERM; the exit code. Raises HeadraceError when the system cannot be started."""
    check_port(settings.host, settings.port)
    console = Console(stderr=True, highlight=False)
    check_composition(settings)
    _print(console, model_sentence(settings))
    if settings.auth != "none":
        _print(console, f"auth: {settings.auth}, told in {settings.audit_path()}")
    _print(console, f"data: {settings.data_dir}, runs in {settings.log_words()}")
    if in_process:
        return _in_process(settings, console)
    return asyncio.run(_serve(settings, console))


def _in_process(settings: Settings, console: Console) -> int:
    from runtime.bootstrap.system import serve_in_process  # here: it imports every adapter, unlike --help

    with ExitStack() as stack:

        def ready(url: str) -> None:
            stack.enter_context(operated(settings, url))
            _print(console, f"ready at {url}; Ctrl-C stops it")
            _print(console, page_sentence(url))
            if "keys" in settings.auth:
                _print(console, f"keys are made with: headrace keys create --name NAME --data {settings.data_dir}")

        asyncio.run(serve_in_process(settings, ready))
    _print(console, "stopped; nothing is left running")
    return 0


async def _serve(settings: Settings, console: Console) -> int:
    parent = _parent(settings, console)
    work = asyncio.create_task(_start_and_watch(parent, settings, console))
    stops: list[asyncio.Task[None]] = []
    _on_signals(lambda: _stop(parent, work, stops, console))
    try:
        return await work
    except asyncio.CancelledError:
        return 0
    finally:
        if not stops:
            await parent.stop()
        for stop in stops:
            await stop
        _print(console, "stopped; nothing is left running")


async def _start_and_watch(parent: Parent, settings: Settings, console: Console) -> int:
    with waiting(console, "starting Ray, the actors and the HTTP door"):
        url, took = await parent.start()
    with operated(settings, url):
        words = await key_words(settings)
        _print(console, f"ready in {took:.1f} s at {url}")
        _print(console, page_sentence(url))
        if words:
            _print(console, words)
        _print(console, "Ctrl-C stops everything")
        return await parent.watch()


@contextmanager
def operated(settings: Settings, url: str) -> Iterator[None]:
    """While the server runs, `headrace keys` finds it."""
    operator.write(settings.data_dir, url, secrets.token_bytes)
    try:
        yield
    finally:
        operator.remove(settings.data_dir)


async def key_words(settings: Settings) -> str:
    """How to make the first key, where there is none and one is needed."""
    from runtime.cli.keys import desk  # here: it imports HTTP, which --help must not pay for

    if "keys" not in settings.auth:
        return ""
    async with desk(settings, None) as keys:
        there = (await keys.ask("GET", "/v1/keys?limit=1"))["keys"]
    data = f" --data {settings.data_dir}"
    return "" if there else f"nobody has a key yet; make the first: headrace keys create --name NAME{data}"


def _stop(parent: Parent, work: asyncio.Task[int], stops: list[asyncio.Task[None]], console: Console) -> None:
    """The first signal ends the system in order, each further one at once."""
    if not stops:
        _print(console, "stopping … (Ctrl-C again kills)")
    stops.append(asyncio.create_task(parent.stop(at_once=bool(stops))))
    stops[-1].add_done_callback(lambda _: work.cancel())


def _on_signals(handler: Callable[[], None]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, handler)


def _print(console: Console, words: str) -> None:
    console.print(words, markup=False, soft_wrap=True)
