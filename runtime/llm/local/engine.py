"""The port to a model in memory: a job in, pieces out, one job at a time, in the calling thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the conversation, as a chat template takes it."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Job:
    """One generation."""

    lines: tuple[Line, ...]
    max_tokens: int
    grammar: str | None = None
    """An llguidance grammar the answer must follow; None: free text."""
    temperature: float = 0.7
    top_p: float = 0.95
    top_k: int = 40
    repeat_penalty: float = 1.0
    """1.0 is none."""


@dataclass(frozen=True, slots=True)
class Prefill:
    """``done`` of the prompt's ``total`` tokens have been read. The first one comes before any work."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class End:
    """The generation is over: ``stop`` when the model or its grammar ended it, ``length`` when the room ran out."""

    reason: Literal["stop", "length"]
    input_tokens: int
    output_tokens: int


Piece = Prefill | Token | End
Emit = Callable[[Piece], bool]
"""Takes a piece; False asks the engine to stop as soon as it can."""


class Engine(Protocol):
    """A loaded model. Its methods block and are called from one thread at a time."""

    def generate(self, job: Job, emit: Emit) -> None:
        """Emit at least one :class:`Prefill`, then tokens, then one :class:`End`; nothing more after ``emit`` said False.

        Raises :class:`runtime.errors.ModelRequestRejected` for a prompt that does not fit or a grammar that cannot be
        followed, before anything is emitted; :class:`runtime.errors.ModelProtocolError` when the engine fails.
        """
        ...

    def close(self) -> None:
        """Give the model's memory back."""
        ...
