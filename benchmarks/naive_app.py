"""The same service as a careful first version would be: one Ray streaming item per token, from agent to hub to door.

Door: a Serve deployment that streams SSE through Starlette. For each request it calls the hub actor's generator, which calls the
agent actor's, which plays the same scripted model at the same pace. Every token is one item of each generator: encoded once, as
bytes, with an event of the size of ours; the hub numbers it. Generators have back-pressure (64 items) and are cancelled when the
reader leaves. There is no log, no plan, no recovery: all that ours does beyond this costs ours, not this.

No ``from __future__ import annotations`` here: Serve needs real annotations.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncGenerator
from typing import Any
from uuid import uuid4

import orjson
import ray
from ray import serve
from ray.serve.config import HTTPOptions
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from runtime.clock import SystemClock
from runtime.events.messages import user
from runtime.llm.client import ModelRequest, TextDelta
from runtime.llm.script import parse_script
from runtime.llm.scripted import ScriptedClient

BACKPRESSURE = 64
CONCURRENCY = 1000
OBJECT_STORE_BYTES = 80 * 1024 * 1024


class Agent:
    """Plays the script: one item per token."""

    def __init__(self, script: str) -> None:
        self._client = ScriptedClient(parse_script(script, "benchmark"), SystemClock())

    async def run(self, run_id: str, agent: str) -> AsyncGenerator[bytes, None]:
        message = user(f"<question>{agent}</question>")
        request = ModelRequest(model="script", system="", messages=(message,), max_tokens=4096, agent=agent, turn=1)
        async for chunk in self._client.stream(request):
            if isinstance(chunk, TextDelta):
                yield event(run_id, agent, chunk.text)


class Hub:
    """Numbers the events of every run: one item in, one item out."""

    def __init__(self, agent: Any) -> None:  # Any: Ray's handles have no types
        self._agent = agent

    async def run(self, run_id: str, agent: str) -> AsyncGenerator[bytes, None]:
        items = _streaming(self._agent.run).remote(run_id, agent)
        number = 0
        try:
            async for ref in items:
                number += 1
                yield b'{"seq":%d,"epoch":1,' % number + (await ref)[1:]
        finally:
            ray.cancel(items)


class Door:
    """The Serve deployment."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub

    def __serve_build_asgi_app__(self) -> Starlette:
        return Starlette(routes=[Route("/v1/runs", self._run, methods=["POST"])])

    async def _run(self, request: Request) -> StreamingResponse:
        agent = orjson.loads(await request.body())["input"]
        return StreamingResponse(self._frames(agent), media_type="text/event-stream")

    async def _frames(self, agent: str) -> AsyncGenerator[bytes, None]:
        items = _streaming(self._hub.run).remote(str(uuid4()), agent)
        yield b": open\n\n"
        number = 0
        try:
            async for ref in items:
                number += 1
                yield b"id: %d.1\nevent: token\ndata: " % number + await ref + b"\n\n"
        finally:
            ray.cancel(items)


def event(run_id: str, agent: str, text: str) -> bytes:
    """One token as an event: the same fields as ours."""
    data = {"kind": "text", "text": text, "call_id": None, "name": None}
    where = {"stage": "answer", "agent": agent, "turn": 1, "attempt": 1}
    head = {"run_id": run_id, "family": "token", "type": "turn.delta", "at": time.time()}
    return orjson.dumps({**head, **where, "data": data})


def _streaming(method: Any) -> Any:
    return method.options(num_returns="streaming", _generator_backpressure_num_objects=BACKPRESSURE)


def _start(script: str, port: int) -> None:
    """Ray and Serve with the same options as ours, two actors and one replica."""
    cluster: dict[str, Any] = {"num_cpus": os.cpu_count(), "object_store_memory": OBJECT_STORE_BYTES}
    ray.init(address="local", namespace="naive", log_to_driver=False, include_dashboard=False, **cluster)
    serve.start(http_options=HTTPOptions(host="127.0.0.1", port=port))
    options: dict[str, Any] = {"num_cpus": 0, "max_concurrency": CONCURRENCY, "enable_task_events": False}
    agent = ray.remote(Agent).options(**options).remote(script)
    hub = ray.remote(Hub).options(**options).remote(agent)
    deployment = serve.deployment(
        name="Door",
        max_ongoing_requests=CONCURRENCY,
        graceful_shutdown_timeout_s=1,
        ray_actor_options={"num_cpus": 0.1},
    )(serve.ingress()(Door))
    serve.run(deployment.bind(hub), name="naive", route_prefix="/", blocking=False)


async def _until_signalled() -> None:
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    await told.wait()


def run(script: str, port: int) -> None:
    """Serve until signalled; prints READY and the address."""
    _start(script, port)
    print(f"READY http://127.0.0.1:{port}", flush=True)
    try:
        asyncio.run(_until_signalled())
    finally:
        ray.shutdown()
