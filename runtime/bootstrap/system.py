"""The whole system in one process without Ray, for tests, debugging and one question at a time."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass

import uvicorn
from starlette.applications import Starlette

from runtime.agents.agent import Agent
from runtime.bootstrap.auth import HubCredentials, build_audit, build_authenticator
from runtime.bootstrap.control import build_agent, build_executor, build_orchestrator
from runtime.bootstrap.doors import FoundByAgents, build_door, directories
from runtime.bootstrap.mcp import build_servers
from runtime.bootstrap.models import StandIn
from runtime.bootstrap.store import build_hub, build_publisher, open_reader
from runtime.clock import Clock, SystemClock
from runtime.composition import Composition, compose, gguf_of
from runtime.config import Settings
from runtime.executor.executor import Executor
from runtime.generator.app import build_app
from runtime.generator.connection import Connection
from runtime.generator.tail import LogDoor
from runtime.ids import new_id
from runtime.llm.local.server import LocalServer
from runtime.log.hub import Hub, Store
from runtime.orchestrator.orchestrator import Orchestrator
from runtime.recovery.breaker import Breakers
from runtime.telemetry import guarding


@dataclass(frozen=True, slots=True)
class System:
    """A running system in this process."""

    parts: Composition
    hub: Hub
    agents: Mapping[str, Agent]
    orchestrator: Orchestrator
    executors: tuple[Executor, ...]
    door: LogDoor
    app: Starlette


@asynccontextmanager
async def in_process(
    settings: Settings, clock: Clock | None = None, *, stand_in: StandIn | None = None, log: Store | None = None
) -> AsyncIterator[System]:
    """The whole system without Ray. Raises :class:`ConfigurationError`, :class:`StoreLocked`.

    ``stand_in`` and ``log`` are for tests: what is asked in the place of the models, and the store to use.
    """
    parts = compose(settings)
    with guarding(parts.chain.redactor.text):
        async with _composed(parts, clock or SystemClock(), stand_in, log) as system:
            yield system


@asynccontextmanager
async def _composed(
    parts: Composition, clock: Clock, stand_in: StandIn | None, log: Store | None
) -> AsyncIterator[System]:
    settings = parts.settings
    hub = build_hub(settings, clock, log)
    await hub.start()
    publisher = build_publisher(settings, f"process-{new_id()[:8]}", hub, clock)
    await publisher.start()
    local = LocalServer(gguf_of(settings)) if parts.needs_local else None
    address = await local.start() if local else None
    breakers = Breakers()
    agents: dict[str, Agent] = {}
    servers = build_servers(parts, parts.specs, clock)
    if servers is not None:
        plain = parts
        parts = plain.with_tools(await servers.start(lambda tools: _equip(agents, plain.with_tools(tools))))
    agents |= {
        name: build_agent(parts, spec, publisher, clock, address, breakers, stand_in=stand_in)
        for name, spec in parts.specs.items()
    }
    orchestrator = build_orchestrator(parts, agents, publisher, clock)
    async with open_reader(settings, hub) if log is None else nullcontext(hub) as reader:
        executor = build_executor(parts, "executor", hub, orchestrator, agents, publisher, clock, reader)
        await executor.start()
        door = build_door(settings, f"door-{new_id()[:8]}", hub, (executor,), clock, reader)
        await door.start()
        credentials = HubCredentials(reader, hub)
        whole = parts
        team = {spec.name for spec in parts.team}
        audit = build_audit(settings)
        found = FoundByAgents(settings, lambda names: {name: agents[name] for name in names}, clock)
        app = build_app(
            door,
            settings,
            clock=clock,
            new_id=new_id,
            team=lambda: team,
            directory=directories(lambda: whole),
            found_tools=found,
            authenticate=build_authenticator(settings, reader, clock),
            credentials=credentials,
            audit=audit,
        )
        try:
            yield System(parts, hub, agents, orchestrator, (executor,), door, app)
        finally:
            audit.close()
            await door.stop()
            await executor.stop(drain_s=settings.drain_s)
            if servers is not None:
                await servers.stop()
            await publisher.stop()
            await hub.stop()
            if local:
                await local.stop()


def _equip(agents: Mapping[str, Agent], parts: Composition) -> None:
    """An MCP server that was away at the start has come: its tools for all who may use them."""
    for name, agent in agents.items():
        agent.equip(parts.specs[name], parts.registry, parts.chain)


async def serve_in_process(settings: Settings, ready: Callable[[str], None]) -> None:
    """Serve the whole system from this process until SIGINT or SIGTERM; ``ready`` is told the URL."""
    async with in_process(settings) as system:
        listener = socket.create_server((settings.host, settings.port))
        server = _server(system.app)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            # ours, not uvicorn's: it would raise the signal again before the system below has stopped in order
            loop.add_signal_handler(number, setattr, server, "should_exit", True)
        ready(f"http://{settings.host}:{settings.port}")
        await server.serve(sockets=[listener])


@asynccontextmanager
async def in_process_server(settings: Settings, *, stand_in: StandIn | None = None) -> AsyncIterator[str]:
    """The same on a free loopback port, for the length of the context; gives the base URL."""
    async with in_process(settings, stand_in=stand_in) as system:
        listener = socket.create_server(("127.0.0.1", 0))
        server = _server(system.app)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


def _server(app: Starlette) -> uvicorn.Server:
    config = uvicorn.Config(app, http=Connection, log_level="warning", lifespan="off", timeout_graceful_shutdown=2)
    return _QuietServer(config)


class _QuietServer(uvicorn.Server):
    """Leaves the process's signals to whoever owns them."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
