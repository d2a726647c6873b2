"""Child processes for isolated calls, one each: what a system without Ray has (``--in-process``, tests)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

from runtime.tools.call import MAX_FRAME_BYTES, Call
from runtime.tools.isolated import WorkerDied
from runtime.tools.tool import Resources
from runtime.tools.worker import HEADER

AT_ONCE = 4
"""Isolated calls of one agent at one time in one process; each is a Python of about 50 MB."""


class ChildProcesses:
    """:class:`runtime.tools.isolated.Workers` by ``python -m runtime.tools.worker``; cores and GPUs are not counted."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._places = asyncio.Semaphore(at_once)

    @asynccontextmanager
    async def open(self, call: Call, resources: Resources) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self._places:
            process = await _started()
            try:
                async with aclosing(_frames(process, call.encode())) as frames:
                    yield frames
            finally:
                await _kill(process)


async def _started() -> Process:
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "runtime.tools.worker", str(os.getpid())),
            stdin=PIPE,
            stdout=PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            start_new_session=True,  # a group of its own, which can be killed whole
        )
    except OSError as error:
        raise WorkerDied(f"it could not be started: {error}") from error


async def _frames(process: Process, call: bytes) -> AsyncGenerator[bytes, None]:
    assert process.stdin is not None
    assert process.stdout is not None  # both are pipes, as asked for
    try:
        process.stdin.write(call)
        process.stdin.write_eof()
        await process.stdin.drain()
        while True:
            (length,) = HEADER.unpack(await process.stdout.readexactly(HEADER.size))
            if length > MAX_FRAME_BYTES:
                raise WorkerDied(f"it spoke out of turn ({length} bytes announced)")
            yield await process.stdout.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise WorkerDied(_how(await process.wait())) from error


async def _kill(process: Process) -> None:
    with suppress(ProcessLookupError):  # it has ended, and so has its group
        os.killpg(process.pid, signal.SIGKILL)
    waiting = asyncio.ensure_future(process.wait())
    try:
        await asyncio.shield(waiting)
    except asyncio.CancelledError:
        await waiting  # a moment: it has been killed, and must not be left unread
        raise
    if process.stdin is not None:
        process.stdin.close()


def _how(code: int) -> str:
    if code < 0:
        return f"it was killed by {signal.Signals(-code).name}"
    return f"it exited with code {code}"
