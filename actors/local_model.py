"""LocalModel: a process because llama.cpp takes a core, hundreds of megabytes, and may crash by itself."""

from __future__ import annotations

import ray

from actors.shell import Pulse, Shell, as_actor
from runtime.composition import gguf_of
from runtime.llm.local.address import LocalAddress
from runtime.llm.local.server import LocalServer


class LocalModelHost(Shell):
    """Hosts :class:`runtime.llm.local.server.LocalServer`."""

    def __init__(self, settings: str) -> None:
        super().__init__(settings)
        self._server = LocalServer(gguf_of(self.settings))
        self._address: LocalAddress | None = None

    async def begin(self) -> None:
        self._address = await self._server.start()

    async def address(self) -> LocalAddress:
        """Where the model answers, with its random key."""
        await self.started()
        assert self._address is not None  # begin() made it
        return self._address

    async def stop(self) -> None:
        await self._server.stop()

    @ray.method(concurrency_group="control")
    async def ping(self) -> Pulse:
        return self.pulse(ray.get_runtime_context().get_node_id())


LocalModel = as_actor(LocalModelHost)
