"""Isolated tools as Ray tasks: a worker process for each call, placed by its CPUs, GPUs and memory, on any node.

A task says its frames one by one. Ray holds it at each until the last has been taken (back-pressure of one), so the tool
begins only after its reader has heard ``begun``: what Ray loses before that surely had no effect. ``max_retries=0``: whether
a lost call may be run again is the agent's to decide, never Ray's. ``max_calls=1``: the worker ends with the call, so that
what a tool leaves behind (threads, a poisoned library, memory) meets no other call.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import aclosing, asynccontextmanager
from typing import Any

import ray
from ray.exceptions import RayError

from runtime.clock import Clock
from runtime.tools.call import Call
from runtime.tools.invoke import LocalToolRunner
from runtime.tools.isolated import IsolatingToolRunner, WorkerDied
from runtime.tools.tool import Resources
from runtime.tools.worker import BEGUN, prepare

HELD = 64
"""Frames a tool may be ahead of its reader; then its next ``emit`` waits."""


class RayWorkers:
    """:class:`runtime.tools.isolated.Workers` over Ray tasks."""

    @asynccontextmanager
    async def open(self, call: Call, resources: Resources) -> AsyncIterator[AsyncIterator[bytes]]:
        refs = _task.options(
            name=f"tool:{call.tool}",
            num_cpus=resources.num_cpus,
            num_gpus=resources.num_gpus,
            memory=resources.memory,
            max_retries=0,
            num_returns="streaming",
            _generator_backpressure_num_objects=1,
        ).remote(call.encode())
        try:
            async with aclosing(_frames(refs)) as frames:
                yield frames
        finally:
            ray.cancel(refs, force=True)  # nothing, if it has ended


def ray_tool_runner(clock: Clock) -> IsolatingToolRunner:
    """Runs isolated tools as Ray tasks and the others in this process."""
    return IsolatingToolRunner(LocalToolRunner(clock), RayWorkers(), clock)


async def _frames(refs: Any) -> AsyncGenerator[bytes, None]:
    try:
        async for ref in refs:
            yield await ref
    except RayError as error:
        raise WorkerDied(f"{type(error).__name__}") from error


def perform(data: bytes) -> Generator[bytes, None, None]:
    """Run the call in ``data`` (see :mod:`runtime.tools.worker`); each frame as it comes."""
    ready = prepare(data)
    if isinstance(ready, bytes):
        yield ready
        return
    yield BEGUN  # what follows happens after it has been taken
    frames: queue.Queue[bytes | None] = queue.Queue(HELD)

    def work() -> None:
        try:
            ready.run(frames.put)
        finally:
            frames.put(None)

    threading.Thread(target=work, name="tool", daemon=True).start()
    while (frame := frames.get()) is not None:
        yield frame


_task: Any = ray.remote(max_calls=1, max_retries=0)(perform)  # Any: Ray has no types for tasks that are generators
