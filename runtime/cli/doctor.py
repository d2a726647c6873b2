"""``headrace doctor``: is everything there that a system needs, and if not, how is it mended?"""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import httpx2
import orjson
from rich.console import Console
from rich.text import Text

from runtime.cli.check import Check
from runtime.cli.probe import probe
from runtime.cli.progress import waiting
from runtime.cli.screens import stdout_line
from runtime.clock import SystemClock
from runtime.config import Settings
from runtime.errors import HeadraceError

if TYPE_CHECKING:
    from runtime.llm.local.address import LocalAddress

NEEDED = ("ray", "pydantic", "anthropic", "starlette", "uvicorn", "httpx2", "orjson", "typer", "rich", "psutil")
OLDEST_PYTHON = (3, 11)
RAY_SERIES = "2.60."
SHARED_MEMORY_GB = 1.0
MEMORY_GB = 2.0


def examine(settings: Settings) -> list[Check]:
    """All checks that need no model."""
    looks: tuple[Callable[[Settings], Check], ...] = (
        _python,
        _packages,
        _ray,
        _memory,
        _port,
        _data,
        _store,
        _auth,
        _model,
    )
    return [look(settings) for look in looks]


def _python(_: Settings) -> Check:
    found = ".".join(str(part) for part in sys.version_info[:3])
    if tuple(sys.version_info) >= OLDEST_PYTHON:
        return Check("python", "ok", found)
    return Check("python", "fail", found, "use Python 3.11 or newer")


def _packages(_: Settings) -> Check:
    versions = {name: _version(name) for name in NEEDED}
    missing = [name for name, version in versions.items() if version is None]
    if missing:
        return Check("packages", "fail", f"missing: {', '.join(missing)}", "run `make setup` or `pip install headrace`")
    return Check("packages", "ok", ", ".join(f"{name} {version}" for name, version in versions.items()))


def _ray(_: Settings) -> Check:
    version = _version("ray")  # by its metadata: runtime never imports Ray
    if version is None or importlib.util.find_spec("ray.serve") is None:
        return Check("ray", "fail", f"Ray Serve {version or 'is not installed'}", 'pip install "ray[serve]==2.60.*"')
    if not version.startswith(RAY_SERIES):
        return Check("ray", "fail", version, 'Headrace needs Ray 2.60: pip install "ray[serve]==2.60.*"')
    return Check("ray", "ok", version)


def _memory(_: Settings) -> Check:
    import psutil  # here: only this check needs it

    free = psutil.virtual_memory().available / 2**30
    shared = psutil.disk_usage("/dev/shm").total / 2**30 if os.path.isdir("/dev/shm") else None
    found = f"{free:.1f} GB free" + (f", {shared:.1f} GB shared" if shared is not None else "")
    if free < MEMORY_GB:
        return Check("memory", "warn", found, "a system takes about 1.5 GB; end other programs or use --in-process")
    if shared is not None and shared < SHARED_MEMORY_GB:
        return Check("memory", "warn", found, "Ray will use slow files: start the container with --shm-size=2g")
    return Check("memory", "ok", found)


def _port(settings: Settings) -> Check:
    where = f"{settings.host}:{settings.port}"
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
            return Check("port", "ok", f"{where} is free")
        except OSError as error:
            reason = error.strerror or str(error)
    try:
        answer = httpx2.get(f"http://{where}/readyz", timeout=2.0, trust_env=False)
    except httpx2.TransportError:
        return Check("port", "fail", f"{where}: {reason}", f"stop what uses it, or serve --port {settings.port + 1}")
    if b'"ready"' in answer.content:
        return Check("port", "ok", f"a Headrace server is ready at {where}")
    return Check("port", "fail", f"{where} is used by another program", f"serve --port {settings.port + 1}")


def _data(settings: Settings) -> Check:
    folder = settings.data_dir
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK):
        return Check("data", "ok", f"{folder} is writable" if existing == folder else f"{folder} will be made")
    return Check("data", "fail", f"{existing} cannot be written to", "choose another with --data, or mend its rights")


def _store(settings: Settings) -> Check:
    from runtime.cli.store import examine_store  # here: a store is only looked at for this check

    return examine_store(settings)


def _auth(settings: Settings) -> Check:
    from runtime.cli.access import examine_access  # here: it looks into the store

    return examine_access(settings)


def _model(settings: Settings) -> Check:
    kind = settings.chosen_model()
    if kind == "anthropic":
        return Check("key", "ok", "ANTHROPIC_API_KEY is set" if settings.anthropic_api_key else "none, own base URL")
    if settings.anthropic_api_key:
        return Check("key", "ok", f"ANTHROPIC_API_KEY is set, but --model {kind} does not use it")
    return Check("key", "warn", f"none: model {kind}", "for a language model set ANTHROPIC_API_KEY, or --model local")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def report(checks: list[Check], *, json: bool) -> int:
    """Print the checks; 1 when one failed."""
    if json:
        stdout_line(orjson.dumps([asdict(check) for check in checks]).decode())
    else:
        console = Console(highlight=False)
        marks = {"ok": ("✓", "green"), "warn": ("!", "yellow"), "fail": ("✗", "red")}
        for check in checks:
            mark, style = marks[check.status]
            line = (
                Text()
                .append(f"{mark} ", style=style)
                .append(f"{check.name:<9} ", style="bold")
                .append(check.found, style="")
            )
            console.print(line, soft_wrap=True)
            if check.mend:
                console.print(Text(f"            → {check.mend}", style=style), soft_wrap=True)
    return 1 if any(check.status == "fail" for check in checks) else 0


def doctor(settings: Settings, *, json: bool) -> int:
    """Examine everything, the model last; 1 when something failed. Raises ConfigurationError."""
    checks = examine(settings)
    quiet = Console(stderr=True, highlight=False, quiet=json)
    with waiting(quiet, "probing the model"):
        checks += asyncio.run(_probe(settings))
    return report(checks, json=json)


async def _probe(settings: Settings) -> list[Check]:
    from runtime.bootstrap.models import model_client  # here: it imports every adapter

    kind = settings.chosen_model()
    if kind == "scripted":
        return [Check("model", "ok", "scripted: it plays what is written, so there is nothing to probe")]
    try:
        async with _local(settings) as address:
            return await probe(*model_client(settings, kind, SystemClock(), address))
    except HeadraceError as error:
        return [Check("model", "fail", error.message, "mend this, or use --model offline")]


@asynccontextmanager
async def _local(settings: Settings) -> AsyncIterator[LocalAddress | None]:
    """The local model, started for the probe; None when another is configured. Raises ConfigurationError."""
    if settings.chosen_model() != "local":
        yield None
        return
    from runtime.composition import gguf_of
    from runtime.llm.local.server import LocalServer  # here: it needs the extra headrace[local]

    server = LocalServer(gguf_of(settings))
    try:
        yield await server.start()
    finally:
        await server.stop()
