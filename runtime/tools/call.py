"""One isolated call on its way to a process of its own and back: plain JSON both ways, the tool itself by import path.

Nothing but JSON text crosses (JOURNAL.md P17): the call names module and tool, and the other process imports them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from runtime.errors import ConfigurationError
from runtime.events.attachments import Attachment
from runtime.modules import collect, load_modules
from runtime.tools.tool import Citation, Resources, Tool, ToolContext, ToolResult

MAX_FRAME_BYTES = 8 * 1024 * 1024
"""Of one frame; a result's text is cut at 32 KiB long before, so this bounds what a tool emits and cites."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call: which tool, with what, for whom."""

    module: str
    tool: str
    arguments: dict[str, Any]
    run_id: str
    stage: str
    documents: str | None
    data_dir: str
    agent: str
    idempotency_key: str
    memory: int | None

    def encode(self) -> bytes:
        """The call as JSON. Raises ``TypeError``, ``ValueError`` for arguments that are none."""
        return json.dumps(asdict(self), allow_nan=False).encode()


def call_of(tool: Tool, arguments: dict[str, Any], context: ToolContext, resources: Resources) -> Call:
    """The call of ``tool`` with what another process needs of its context."""
    return Call(
        tool.module,
        tool.name,
        arguments,
        context.run_id,
        context.stage,
        context.documents,
        context.data_dir,
        context.agent,
        context.idempotency_key,
        resources.memory,
    )


def decode_call(data: bytes) -> Call:
    """What :meth:`Call.encode` gave."""
    return Call(**json.loads(data))


def find_tool(module: str, name: str) -> Tool:
    """The isolated tool called ``name`` at the top level of ``module``, imported if need be.

    Raises :class:`ConfigurationError`.
    """
    found = next((tool for tool in collect(load_modules([module]), Tool) if tool.name == name), None)
    if found is None:
        raise ConfigurationError(f"module {module!r} has no tool {name!r} at its top level")
    return found


def check_importable(tool: Tool) -> None:
    """Raises :class:`ConfigurationError` if a process of its own could not import ``tool``."""
    words = f"tool {tool.name!r} is isolated, so it must stand at the top level of the module that defines its function"
    if tool.module == "__main__":
        raise ConfigurationError(
            f"{words}, and that must be importable by name: 'python script.py' makes it '__main__'"
        )
    if find_tool(tool.module, tool.name) is not tool:
        raise ConfigurationError(f"{words}; {tool.module!r} has another one of that name there")


# --- what the process says -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Frame:
    """One thing the process says.

    ``refused``: the tool was not and will not be run; ``begun``: from now on it may have had its effect; ``custom``: an
    event of the tool's own; ``answer``: the last.
    """

    kind: Literal["refused", "begun", "custom", "answer"]
    text: str = ""
    """Words for the model; for ``custom`` the event's name."""
    value: Any = None  # any JSON value: it is the user's
    is_error: bool = False
    citations: Sequence[Sequence[str]] = ()
    attachments: Sequence[dict[str, Any]] = ()
    """As JSON of theirs."""
    trace: str = ""
    """For the log: it is written where secrets are known."""

    def encode(self) -> bytes:
        """The frame as JSON. Raises ``TypeError``, ``ValueError``, ``RecursionError`` for a value that JSON cannot hold."""
        data = json.dumps(asdict(self), allow_nan=False).encode()
        if len(data) > MAX_FRAME_BYTES:
            raise ValueError(f"{len(data)} bytes are more than the {MAX_FRAME_BYTES} that fit")
        return data

    def result(self) -> ToolResult:
        """The answer as the tool gave it."""
        files = tuple(map(Attachment.model_validate, self.attachments))
        return ToolResult(self.text, tuple(Citation(*citation) for citation in self.citations), files)


def decode_frame(data: bytes) -> Frame:
    """What :meth:`Frame.encode` gave."""
    return Frame(**json.loads(data))
