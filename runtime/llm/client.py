"""The port to a model: a request in, chunks out, the last one carrying the canonical message.

Rules every adapter keeps, examined by ``tests/contracts/test_model_client.py``:

- chunks end with exactly one :class:`Completed`, or the stream raises a :class:`runtime.errors.ModelError`;
- a stream that ends early raises; it never looks complete;
- tool arguments are strict JSON objects; anything else makes the block land in ``Completed.invalid_calls`` and never in
  ``content`` as something that could be run;
- what the provider said that has no class here is kept and sent back as it came, never dropped;
- adapters never retry: one retry authority, in the agent loop;
- closing the iterator (``aclose``) or cancelling its task closes the connection to the provider.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from runtime.events.messages import ContentBlock, Conversation, Usage
from runtime.llm.options import ModelOptions, ServerTool

StopReason = Literal[
    "end_turn", "stop_sequence", "tool_use", "max_tokens", "pause_turn", "refusal", "model_context_window_exceeded"
]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as a model sees it; ``input_schema`` is a JSON Schema object."""

    name: str
    description: str
    input_schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """One turn to be made."""

    model: str
    """The provider's name of the model, without the adapter's prefix."""
    system: str
    messages: Conversation
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: str | None = None
    """None: as the model likes; ``"none"``: no tools; ``"any"``: one of them; any other word: that tool must be called."""
    server_tools: tuple[ServerTool, ...] = ()
    """Tools the provider runs itself; adapters of others leave them out."""
    options: ModelOptions = field(default_factory=ModelOptions)
    """What else the agent chose; adapters take what they can."""
    output_schema: dict[str, Any] | None = None
    """When given, the answer's text is one JSON object that fits this JSON Schema."""
    max_tokens: int = 4096
    agent: str = ""
    """The agent that asks: scripted and offline models act by it, others may ignore it."""
    turn: int = 1


@dataclass(frozen=True, slots=True)
class TextDelta:
    """A piece of the answer."""

    text: str


@dataclass(frozen=True, slots=True)
class ThinkingDelta:
    """A piece of the model's thinking."""

    text: str


@dataclass(frozen=True, slots=True)
class ToolInputDelta:
    """A piece of a tool call's arguments, not yet whole JSON."""

    call_id: str
    name: str
    partial_json: str


@dataclass(frozen=True, slots=True)
class InvalidCall:
    """A tool call whose arguments do not parse: to be told to the model, never to be run."""

    call_id: str
    name: str
    raw: str
    problem: str


@dataclass(frozen=True, slots=True)
class Completed:
    """The canonical message. The stream is over."""

    content: tuple[ContentBlock, ...]
    stop_reason: StopReason
    usage: Usage
    model: str
    invalid_calls: tuple[InvalidCall, ...] = field(default=())


Chunk = TextDelta | ThinkingDelta | ToolInputDelta | Completed


class ModelClient(Protocol):
    """Makes turns. One instance serves any number of turns at once."""

    def stream(self, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        """Make one turn. Raises :class:`runtime.errors.ModelError` subclasses, also in mid-stream."""
        ...

    async def aclose(self) -> None:
        """Close what the client holds; further turns are not possible."""
        ...


@runtime_checkable
class CountsTokens(Protocol):
    """A client that can also ask how long a request is for its model; not every one can."""

    async def count(self, request: ModelRequest) -> int | None:
        """How many tokens the model would read; None when it cannot be said now. Never raises a ``ModelError``."""
        ...


async def count_tokens(client: ModelClient, request: ModelRequest) -> int | None:
    """How many tokens ``request`` has, if ``client`` can say."""
    return await client.count(request) if isinstance(client, CountsTokens) else None


@dataclass(frozen=True, slots=True)
class ModelNote:
    """How a model introduces itself to operators and readers."""

    name: str
    is_language_model: bool
    words: str = ""
    """One sentence that goes with every answer it makes; empty when there is nothing to warn of."""
