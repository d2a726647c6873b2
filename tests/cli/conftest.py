"""The raw server in a thread: commands run their own event loop in the main one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import pytest

from tests.client.raw_server import RawServer, serving


@contextmanager
def in_a_thread(server: RawServer) -> Iterator[RawServer]:
    loop = asyncio.new_event_loop()
    up, down = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with serving(server):
            up.set()
            await down.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()), daemon=True)
    thread.start()
    assert up.wait(5)
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(down.set)
        thread.join(5)
        loop.close()


@pytest.fixture
def serve_raw() -> Iterator[Callable[[RawServer], RawServer]]:
    """Gives a function that serves a ``RawServer`` until the test ends."""
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(in_a_thread(server))
