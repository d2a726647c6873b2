"""The one place that chooses concrete adapters. Actors and the in-process server are both built from these functions.

``in_process`` is the whole system in one process without Ray, for tests and debugging; the same objects as in production,
joined by plain calls instead of handles.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from runtime import __version__
from runtime.agents.agent import Agent
from runtime.agents.loop import LoopTools
from runtime.agents.request import AgentPort
from runtime.agents.spec import AgentSpec
from runtime.agents.turn import Rung, TurnTools
from runtime.clock import Clock, SystemClock
from runtime.composition import Composition, compose, gguf_of, model_words
from runtime.config import ModelKind, Settings
from runtime.errors import ConfigurationError
from runtime.executor.executor import Executor, ExecutorPort
from runtime.executor.run import RunTools
from runtime.executor.stage import StageTools
from runtime.generator.app import build_app
from runtime.generator.tail import LogDoor
from runtime.ids import new_id
from runtime.llm.client import ModelClient
from runtime.llm.local.server import LocalAddress, LocalServer
from runtime.llm.offline.client import OfflineClient
from runtime.llm.script import default_script, load_script
from runtime.llm.scripted import ScriptedClient
from runtime.log.hub import Hub
from runtime.log.log import Log, LogReader
from runtime.log.memory import MemoryLog
from runtime.log.publisher import AppendPort, Publisher
from runtime.log.sqlite import SqliteLog, SqliteReader
from runtime.log.wire import HubPort
from runtime.orchestrator.orchestrator import Orchestrator, OrchestratorPort
from runtime.recovery.policy import LimitPolicy, RetryPolicy
from runtime.telemetry import Counts
from runtime.tools.invoke import LocalToolRunner

__all__ = ["compose", "model_words"]


# --- parts -----------------------------------------------------------------------------------------------------------


def build_log(settings: Settings, clock: Clock) -> Log:
    """The store that ``settings.log`` names. Raises :class:`ConfigurationError`."""
    kind, _, rest = settings.log_url().partition(":")
    if kind == "memory":
        return MemoryLog(clock)
    if kind == "sqlite" and rest:
        return SqliteLog(Path(rest), clock)
    raise ConfigurationError(f"log {settings.log_url()!r}: write sqlite:PATH or memory:")


def build_reader(settings: Settings, hub: HubPort) -> LogReader:
    """The reading half beside the hub: the SQLite file itself, or the hub where there is no file."""
    kind, _, rest = settings.log_url().partition(":")
    return SqliteReader(Path(rest)) if kind == "sqlite" else hub


def build_hub(settings: Settings, clock: Clock) -> Hub:
    """A stream hub; ``start`` it."""
    return Hub(build_log(settings, clock), clock)


def build_publisher(settings: Settings, name: str, hub: AppendPort, clock: Clock) -> Publisher:
    """A publisher; ``start`` it. ``name`` must be new for every process."""
    return Publisher(name, hub, clock, interval_s=settings.flush_interval_s)


def model_client(
    settings: Settings, kind: ModelKind, clock: Clock, local: LocalAddress | None = None
) -> tuple[ModelClient, str]:
    """A client of that kind, and the model's name at its provider. ``local`` is where a local model listens."""
    match kind:
        case "offline":
            return OfflineClient(clock), "extractive"
        case "scripted":
            script = load_script(settings.script) if settings.script else default_script()
            return ScriptedClient(script, clock), "script"
        case "anthropic":
            return _anthropic(settings, settings.anthropic_api_key, settings.anthropic_base_url, clock), (
                settings.anthropic_model
            )
        case "local":
            if local is None:
                raise ConfigurationError("the local model has not been started")
            return _anthropic(settings, local.api_key, local.base_url, clock), local.model


def _anthropic(settings: Settings, key: str, url: str, clock: Clock) -> ModelClient:
    from runtime.llm.anthropic import AnthropicClient  # here: importing the SDK takes a second few processes need

    return AnthropicClient(
        key,
        url,
        clock,
        first_content_timeout_s=settings.first_content_timeout_s,
        progress_timeout_s=settings.progress_timeout_s,
    )


def build_agent(
    parts: Composition, spec: AgentSpec, publisher: Publisher, clock: Clock, local: LocalAddress | None = None
) -> Agent:
    """One agent with its ladder of models."""
    counts = Counts()
    turn = TurnTools(_ladder(parts, spec, clock, local), RetryPolicy(), clock, random.random, counts)
    runner = LocalToolRunner(clock)
    return Agent(LoopTools(spec, turn, parts.registry, runner, str(parts.settings.data_dir)), publisher, parts.chain)


def _ladder(parts: Composition, spec: AgentSpec, clock: Clock, local: LocalAddress | None) -> tuple[Rung, ...]:
    clients: dict[str, ModelClient] = {}
    rungs = []
    for at, model in enumerate(parts.ladders[spec.name]):
        adapter, _, name = model.partition(":")
        if adapter not in clients:
            clients[adapter], _ = model_client(parts.settings, adapter, clock, local)  # type: ignore[arg-type]  # checked by compose
        simpler = spec.simpler_instructions if at > 0 else None
        asked = local.model if adapter == "local" and local is not None else name
        rungs.append(Rung(model, asked, clients[adapter], simpler or spec.instructions))
    if len(rungs) == 1 and spec.simpler_instructions:
        first = rungs[0]
        rungs.append(Rung(f"{first.name} (simpler prompt)", first.model, first.client, spec.simpler_instructions))
    return tuple(rungs)


def build_orchestrator(
    parts: Composition, agents: Mapping[str, AgentPort], publisher: Publisher, clock: Clock
) -> Orchestrator:
    """The orchestrator over the planning agents' ports."""
    return Orchestrator(
        agents,
        parts.planners,
        parts.team,
        parts.models,
        publisher,
        parts.chain,
        clock,
        timeout_s=parts.settings.planning_timeout_s,
        guardrail_failure=parts.settings.guardrail_failure,
    )


def build_executor(
    parts: Composition,
    name: str,
    hub: HubPort,
    orchestrator: OrchestratorPort,
    agents: Mapping[str, AgentPort],
    publisher: Publisher,
    clock: Clock,
) -> Executor:
    """An executor; ``start`` it. ``name`` is made unique per incarnation."""
    stages = StageTools(agents, parts.specs, parts.hooks, LimitPolicy(), publisher, parts.chain, clock, Counts())
    tools = RunTools(
        build_reader(parts.settings, hub),
        orchestrator,
        stages,
        parts.models,
        parts.note(),
        __version__,
        parts.settings.max_parallel,
    )
    return Executor(lambda: f"{name}-{new_id()[:8]}", hub, tools, clock, lease_ttl_s=parts.settings.lease_ttl_s)


def build_door(settings: Settings, name: str, hub: HubPort, executors: Sequence[ExecutorPort], clock: Clock) -> LogDoor:
    """A door; ``start`` it."""
    return LogDoor(
        name,
        hub,
        build_reader(settings, hub),
        executors,
        clock,
        max_readers_per_run=settings.max_readers_per_run,
    )


# --- the whole in one process ------------------------------------------------------------------------------------------


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
async def in_process(settings: Settings, clock: Clock | None = None) -> AsyncIterator[System]:
    """The whole system without Ray. Raises :class:`ConfigurationError`, :class:`StoreLocked`."""
    clock = clock or SystemClock()
    parts = compose(settings)
    hub = build_hub(settings, clock)
    await hub.start()
    publisher = build_publisher(settings, f"process-{new_id()[:8]}", hub, clock)
    await publisher.start()
    local = LocalServer(gguf_of(settings)) if parts.needs_local else None
    address = await local.start() if local else None
    agents = {name: build_agent(parts, spec, publisher, clock, address) for name, spec in parts.specs.items()}
    orchestrator = build_orchestrator(parts, agents, publisher, clock)
    executor = build_executor(parts, "executor", hub, orchestrator, agents, publisher, clock)
    await executor.start()
    door = build_door(settings, f"door-{new_id()[:8]}", hub, (executor,), clock)
    await door.start()
    app = build_app(door, settings, clock=clock, new_id=new_id)
    try:
        yield System(parts, hub, agents, orchestrator, (executor,), door, app)
    finally:
        await door.stop()
        await executor.stop()
        await publisher.stop()
        await hub.stop()
        if local:
            await local.stop()


async def serve_in_process(settings: Settings) -> None:
    """Serve the whole system from this process until signalled."""
    async with in_process(settings) as system:
        config = uvicorn.Config(system.app, host=settings.host, port=settings.port, log_level="warning", lifespan="off")
        await uvicorn.Server(config).serve()


@asynccontextmanager
async def in_process_server(settings: Settings) -> AsyncIterator[str]:
    """The same on a free loopback port, for the length of the context; gives the base URL."""
    async with in_process(settings) as system:
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(system.app, log_level="warning", lifespan="off", timeout_graceful_shutdown=2)
        server = _QuietServer(config)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


class _QuietServer(uvicorn.Server):
    """Leaves the process's signals to whoever owns them."""

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
