"""The file a scripted model plays: TOML, validated, with errors that name the file and the field.

::

    rate = 40                        # tokens a second, for turns that do not say; 0 is as fast as possible

    [[turn]]
    agent = "planner"                # whose turn; "*" is anybody's
    turn = 1                         # which turn of a stage; left out: any
    delay_s = 0.5                    # before the first token
    rate = 0
    thinking = "Let me see."         # comes before the answer
    text = "You asked: {question}"   # the answer; or, for an answer that is JSON, a table [turn.output]
    repeat = 3                       # the text this many times over, for load tests
    stop_reason = "end_turn"         # left out: "tool_use" with tool calls, else "end_turn"

    [turn.output]                    # becomes the answer's JSON text
    title = "{topic}"

    [[turn.tool_calls]]              # a turn with calls is played only where these tools are offered
    name = "search_documents"
    input = { query = "{question}" }

    [turn.fault]                     # any leaf of runtime.errors.ModelError, by its name
    error = "ModelOverloaded"
    after = 5                        # tokens shown before it
    times = 2                        # attempts that fail; the next one succeeds; 0: all of them
    retry_after_s = 0.2

The most particular turn wins: one with ``when`` (words that a message to the model must hold), then agent and turn, agent,
turn, neither; among equals the first. ``{question}``, ``{topic}`` (its beginning, for titles), ``{task}``, ``{agent}`` and
``{turn}`` are filled in; other braces are left alone. A token is a word with the space after it.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from runtime import errors
from runtime.llm.client import ModelRequest, StopReason

MODEL_ERRORS: dict[str, type[errors.ModelError]] = {
    kind.__name__: kind
    for kind in (
        errors.ModelRateLimited,
        errors.ModelOverloaded,
        errors.ModelTimeout,
        errors.ModelStreamBroken,
        errors.ModelUnreachable,
        errors.ModelProtocolError,
        errors.ModelRequestRejected,
        errors.ModelUnauthorized,
        errors.ModelRefused,
    )
}
"""What a fault may be."""

ANYBODY = "*"
Rate = Annotated[float, Field(ge=0, le=1_000_000)]


class Piece(BaseModel):
    """Base of a script's parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Fault(Piece):
    """A failure that is part of the script."""

    error: str
    after: Annotated[int, Field(ge=0)] = 0
    times: Annotated[int, Field(ge=0)] = 1
    retry_after_s: Annotated[float, Field(ge=0)] | None = None

    @field_validator("error")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in MODEL_ERRORS:
            raise ValueError(f"no such error; choose one of {', '.join(MODEL_ERRORS)}")
        return name


class ToolCall(Piece):
    """A tool call; text in ``input`` may hold placeholders."""

    name: Annotated[str, Field(min_length=1)]
    input: dict[str, Any] = {}


class ScriptedTurn(Piece):
    """What is played when a turn is asked for; the module's docstring explains each field."""

    agent: Annotated[str, Field(min_length=1)] = ANYBODY
    turn: Annotated[int, Field(ge=1)] | None = None
    when: str = ""
    delay_s: Annotated[float, Field(ge=0)] = 0.0
    rate: Rate | None = None
    thinking: str = ""
    text: str = ""
    repeat: Annotated[int, Field(ge=1)] = 1
    output: dict[str, Any] | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    stop_reason: StopReason | None = None
    fault: Fault | None = None

    @model_validator(mode="after")
    def _one_answer(self) -> ScriptedTurn:
        if self.text and self.output is not None:
            raise ValueError("has both text and output; an answer is one of them")
        return self

    def rank(self, request: ModelRequest) -> int:
        """How well it fits: 0 for not at all, more for more particular."""
        if self.agent not in (ANYBODY, request.agent) or self.turn not in (None, request.turn):
            return 0
        offered = set() if request.tool_choice == "none" else {tool.name for tool in request.tools}
        if not {call.name for call in self.tool_calls} <= offered:
            return 0
        if self.when and not any(self.when.casefold() in message.text().casefold() for message in request.messages):
            return 0
        return 1 + 4 * bool(self.when) + 2 * (self.agent != ANYBODY) + (self.turn is not None)


class Script(Piece):
    """A whole script."""

    rate: Rate = 40.0
    turn: Annotated[tuple[ScriptedTurn, ...], Field(min_length=1)]

    def find(self, request: ModelRequest) -> ScriptedTurn | None:
        """The turn to play for ``request``; None when the script has none."""
        best = max(self.turn, key=lambda turn: turn.rank(request))
        return best if best.rank(request) else None


def load_script(path: Path) -> Script:
    """The script in a file; raises :class:`ConfigurationError` naming file and field."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise errors.ConfigurationError(f"script {str(path)!r} cannot be read: {error}") from error
    return parse_script(text, str(path))


def default_script() -> Script:
    """The script that comes with Headrace: a plan of three stages that take about ten seconds in all."""
    return parse_script(resources.files("runtime.llm.scripts").joinpath("default.toml").read_text("utf-8"), "default")


def parse_script(text: str, name: str) -> Script:
    """The script in a TOML text; ``name`` is what errors call it."""
    try:
        return Script.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise errors.ConfigurationError(f"script {name!r} is not TOML: {error}") from error
    except ValidationError as error:
        problems = "; ".join(f"{_field(e['loc'])}: {e['msg'].removeprefix('Value error, ')}" for e in error.errors())
        raise errors.ConfigurationError(f"script {name!r}: {problems}") from error


def _field(location: tuple[int | str, ...]) -> str:
    # Position counts from one: turn[2].fault.error is in the second [[turn]].
    return "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in location).lstrip(".") or "file"
