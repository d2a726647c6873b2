"""Record what a real model answers, once; replay it from then on, without a key or a network.

The file has one JSON line for each call: a hash of the request, what came, and how it failed, if it did. A prompt that
changes is another request, so a replay notices it: it fails by name and says to record anew. A recording holds all that the
model said, and of what it was told no more than the hash.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from runtime.bootstrap.models import StandIn
from runtime.errors import ConfigurationError, ModelError, ModelRequestRejected
from runtime.llm.client import Chunk, Completed, ModelClient, ModelRequest, TextDelta, ThinkingDelta, ToolInputDelta

_KINDS: dict[str, TypeAdapter[Any]] = {  # Any: one adapter for each class of Chunk
    kind.__name__: TypeAdapter(kind) for kind in (TextDelta, ThinkingDelta, ToolInputDelta, Completed)
}


def recording(path: Path) -> StandIn:
    """The real models, with each of their answers added to the file at ``path``."""
    return lambda real: RecordingClient(real(), path)


def replaying(path: Path) -> StandIn:
    """The answers recorded in the file at ``path``. Raises :class:`ConfigurationError` when it cannot be read."""
    client = ReplayingClient(path)

    def stand_in(real: Callable[[], ModelClient]) -> ModelClient:
        return client

    return stand_in


class RecordingClient:
    """A model client that writes down what another one answers; a call that is left early is not written."""

    def __init__(self, client: ModelClient, path: Path) -> None:
        self._client = client
        self._path = path

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """As the other client's; the line is written before the end is passed on."""
        chunks: list[Chunk] = []
        try:
            async for chunk in self._client.stream(request):
                chunks.append(chunk)
                if isinstance(chunk, Completed):
                    self._write(request, chunks, None)
                yield chunk
        except ModelError as error:
            self._write(request, chunks, error)
            raise

    async def aclose(self) -> None:
        """Close the other client."""
        await self._client.aclose()

    def _write(self, request: ModelRequest, chunks: list[Chunk], error: ModelError | None) -> None:
        line = {
            "request": request_hash(request),
            "agent": request.agent,
            "turn": request.turn,
            "chunks": [[type(chunk).__name__, _KINDS[type(chunk).__name__].dump_python(chunk)] for chunk in chunks],
            "error": None if error is None else [type(error).__name__, list(error.args)],
        }
        with self._path.open("ab") as file:  # one write a line: agents share the file
            file.write(json.dumps(line).encode() + b"\n")


class ReplayingClient:
    """A model client that gives recorded answers: to a request made again the next one, and at last the last one again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._calls: defaultdict[str, deque[dict[str, Any]]] = defaultdict(deque)  # Any: a line of JSON
        try:
            for line in path.read_bytes().splitlines():
                call = json.loads(line)
                self._calls[call["request"]].append(call)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(f"recording {str(path)!r} cannot be read: {error!r}") from error

    async def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """The recorded chunks, and the recorded error. Raises :class:`ModelRequestRejected` for a request never made."""
        calls = self._calls.get(request_hash(request))
        if not calls:
            raise ModelRequestRejected(
                f"{self._path.name} has no answer to this request of agent {request.agent!r}, turn {request.turn}: "
                "what the model is told has changed; record anew"
            )
        call = calls.popleft() if len(calls) > 1 else calls[0]
        for kind, data in call["chunks"]:
            yield _KINDS[kind].validate_python(data)
        if call["error"] is not None:
            kind, arguments = call["error"]
            raise error_named(kind)(*arguments)

    async def aclose(self) -> None:
        """Nothing is held."""


def error_named(name: str) -> type[ModelError]:
    """The class of that name in the tree of errors; a :class:`ModelError` as such when a newer version had one more."""
    kinds = [ModelError]
    for kind in kinds:  # grows as it is walked
        kinds += kind.__subclasses__()
    return next((kind for kind in kinds if kind.__name__ == name), ModelError)


def request_hash(request: ModelRequest) -> str:
    """What tells one request from another: everything the model is told, and for which agent and turn."""
    told = asdict(request) | {
        "messages": [message.model_dump(mode="json") for message in request.messages],
        "options": request.options.model_dump(mode="json"),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:32]
