"""What all shells share: start once, answer pings from a loop of their own."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from abc import ABC, abstractmethod
from typing import Any, TypedDict

import ray

from runtime.config import from_json
from runtime.secret_values import redactor_of
from runtime.telemetry import guard

BEAT_S = 1.0
"""Between two signs of life of the loop on which the work is done."""
LOG_FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"


class Pulse(TypedDict):
    """The answer to a ping."""

    pid: int
    node: str
    started: bool
    owner: str
    """Of executors: the name under which it holds its lease; else empty."""
    blocked_s: float
    """For how long the loop on which the work is done has shown no sign of life; pings come from a loop of their own."""


class Shell(ABC):
    """Base of the hosts. ``begin`` starts what is hosted; every method that needs it awaits ``started`` first.

    A restarted actor has only run its constructor: whoever comes first, a caller or the supervisor, starts it.
    """

    def __init__(self, settings: str) -> None:
        logging.basicConfig(level=os.environ.get("HEADRACE_LOG_LEVEL", "WARNING"), format=LOG_FORMAT)
        self.settings = from_json(settings)
        guard(redactor_of(self.settings).text)
        self._starting: asyncio.Task[None] | None = None
        self._done = False
        self._beaten = time.monotonic()
        self._beating: asyncio.Task[None] | None = None

    @abstractmethod
    async def begin(self) -> None:
        """Start what is hosted; called once per process."""

    async def started(self) -> None:
        """Wait until ``begin`` is through; a failed one is tried again by the next caller."""
        if self._done:
            return
        if self._starting is None or (self._starting.done() and self._starting.exception() is not None):
            self._starting = asyncio.create_task(self._begin())
        await asyncio.shield(self._starting)

    async def _begin(self) -> None:
        await self.begin()
        self._beaten = time.monotonic()
        self._beating = asyncio.create_task(self._beat_forever())
        self._done = True

    async def _beat_forever(self) -> None:
        while True:
            self._beaten = time.monotonic()
            await asyncio.sleep(BEAT_S)

    def pulse(self, node: str, owner: str = "") -> Pulse:
        """Who and where this is; must not wait for anything."""
        blocked_s = max(0.0, time.monotonic() - self._beaten - BEAT_S) if self._done else 0.0
        return {"pid": os.getpid(), "node": node, "started": self._done, "owner": owner, "blocked_s": blocked_s}


def as_actor(host: type[Shell]) -> Any:
    """The actor class of a host, with its control group. Any: Ray's decorator has no type for concurrency groups."""
    return ray.remote(concurrency_groups={"control": 4})(host)  # type: ignore[call-overload]
