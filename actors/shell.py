"""What all shells share: start once, answer pings from a loop of their own."""

from __future__ import annotations

import asyncio
import logging
import os
from abc import ABC, abstractmethod
from typing import Any, TypedDict

import ray

from runtime.config import from_json

LOG_FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"


class Pulse(TypedDict):
    """The answer to a ping."""

    pid: int
    node: str
    started: bool
    owner: str
    """Of executors: the name under which it holds its lease; else empty."""


class Shell(ABC):
    """Base of the hosts. ``begin`` starts what is hosted; every method that needs it awaits ``started`` first.

    A restarted actor has only run its constructor: whoever comes first, a caller or the supervisor, starts it.
    """

    def __init__(self, settings: str) -> None:
        logging.basicConfig(level=os.environ.get("HEADRACE_LOG_LEVEL", "WARNING"), format=LOG_FORMAT)
        self.settings = from_json(settings)
        self._starting: asyncio.Task[None] | None = None
        self._done = False

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
        self._done = True

    def pulse(self, node: str, owner: str = "") -> Pulse:
        """Who and where this is; must not wait for anything."""
        return {"pid": os.getpid(), "node": node, "started": self._done, "owner": owner}


def as_actor(host: type[Shell]) -> Any:
    """The actor class of a host, with its control group. Any: Ray's decorator has no type for concurrency groups."""
    return ray.remote(concurrency_groups={"control": 4})(host)  # type: ignore[call-overload]
