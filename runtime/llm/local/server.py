"""Starts and stops the local model: loads the weights in a thread, then serves the facade on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Callable, Generator
from pathlib import Path

import uvicorn

from runtime.errors import ConfigurationError
from runtime.ids import new_id
from runtime.llm.local import grammar, prompt, small
from runtime.llm.local.address import LocalAddress
from runtime.llm.local.desk import Desk
from runtime.llm.local.engine import Engine
from runtime.llm.local.facade import Facade
from runtime.llm.local.llama import LlamaEngine
from runtime.llm.local.note import is_default

GRACE_S = 2
"""Time for connections to end at a stop; their jobs have been told before."""


class LocalServer:
    """A model in this process behind the Messages API. It isolates nothing: host it in an actor of its own.

    ``guided`` (default: by the file's name) narrows what small weights may write, see :mod:`runtime.llm.local.small`.
    """

    def __init__(
        self,
        gguf: Path,
        n_ctx: int = 4096,
        *,
        guided: bool | None = None,
        load: Callable[[Path, int], Engine] = LlamaEngine,
    ) -> None:
        self._gguf = gguf
        self._n_ctx = n_ctx
        self._guided = is_default(gguf) if guided is None else guided
        self._load = load
        self._desk: Desk | None = None
        self._http: _Http | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> LocalAddress:
        """Load the model and open a random port. Raises :class:`ConfigurationError` with the remedy."""
        if self._desk is not None:
            raise ConfigurationError("this local model has been started already")
        engine = await asyncio.to_thread(self._load, self._gguf, self._n_ctx)
        self._desk = Desk(engine)
        key = secrets.token_urlsafe(32)
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        self._http = _Http(self._facade(self._desk, key))
        self._serving = asyncio.create_task(self._http.serve(sockets=[listener]), name="local-model-http")
        # the socket listens already: requests sent from now on wait until uvicorn accepts them
        return LocalAddress(f"http://127.0.0.1:{port}", key, self._gguf.stem)

    async def stop(self) -> None:
        """Stop the job under way, close the port, free the memory. Doing it twice is harmless."""
        desk, http, serving = self._desk, self._http, self._serving
        self._desk = self._http = self._serving = None
        if http is not None and serving is not None:
            http.should_exit = True
        if desk is not None:
            await desk.aclose()
        if serving is not None:
            await serving

    def _facade(self, desk: Desk, key: str) -> uvicorn.Config:
        form, job = (small.guided_form, small.guided_job) if self._guided else (grammar.form_of, prompt.job_of)
        facade = Facade(desk, key, self._gguf.stem, form, job, lambda: new_id().replace("-", ""))
        return uvicorn.Config(
            facade.app(),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=GRACE_S,
        )


class _Http(uvicorn.Server):
    """uvicorn without its signal handlers: Ctrl-C belongs to whoever hosts us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
