"""The ``@tool`` decorator: a typed function becomes a tool with a JSON Schema a model can follow.

::

    @tool
    async def convert(amount: float, to: Literal["EUR", "USD"]) -> str:
        '''Convert an amount of money.'''

Parameters become the input schema (``Annotated[int, Field(description=...)]`` works); a parameter annotated
:class:`ToolContext` is filled in by us and hidden from the model. The docstring is the description. Sync functions run in
a thread. The result is a string, anything JSON can hold, or a :class:`ToolResult` with citations.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, create_model

from runtime.errors import ConfigurationError
from runtime.ids import IDENTIFIER

ToolKind = Literal["read", "idempotent", "at_most_once"]


@dataclass(frozen=True, slots=True)
class Citation:
    """A source of something a tool returned: ``quote`` stands in the document at ``location``."""

    title: str
    location: str
    """Path and line, or page: ``guide.md:120``, ``paper.pdf#page=3``."""
    quote: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answers: ``text`` for the model, ``citations`` for the reader."""

    text: str
    citations: tuple[Citation, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolContext:
    """What a tool may know about the run it works for."""

    run_id: str
    stage: str
    documents: str | None = None
    """The folder the person named, already checked against the allowed roots."""
    data_dir: str = "."
    """Where a tool may keep files of its own, such as an index."""
    emit: Callable[[str, Any], None] = field(default=lambda name, value: None)
    """``emit(name, value)`` puts a ``custom`` event into the run's stream; may be called from any thread."""
    idempotency_key: str = ""
    """The same on every attempt at this call."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A callable tool with its schema."""

    name: str
    title: str
    description: str
    input_schema: dict[str, Any]
    arguments: type[BaseModel]
    function: Callable[..., Any]
    kind: ToolKind = "read"
    timeout_s: float = 60.0
    context_parameter: str | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The plain function, so that a decorated tool is still testable as one."""
        return self.function(*args, **kwargs)


ToolFunction = Callable[..., Any | Awaitable[Any]]


@overload
def tool(function: ToolFunction) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    title: str | None = None,
    kind: ToolKind = "read",
    timeout_s: float = 60.0,
) -> Callable[[ToolFunction], Tool]: ...
def tool(
    function: ToolFunction | None = None,
    *,
    name: str | None = None,
    title: str | None = None,
    kind: ToolKind = "read",
    timeout_s: float = 60.0,
) -> Tool | Callable[[ToolFunction], Tool]:
    """Make a typed function a :class:`Tool`.

    ``kind`` says what repeating a call does: ``read`` is free, ``idempotent`` is safe with the same key,
    ``at_most_once`` is never repeated. Raises :class:`ConfigurationError` for a function without docstring or type hints.
    """
    if function is not None:
        return _build(function, name, title, kind, timeout_s)
    return lambda f: _build(f, name, title, kind, timeout_s)


def _build(function: ToolFunction, name: str | None, title: str | None, kind: ToolKind, timeout_s: float) -> Tool:
    tool_name = name or function.__name__
    if not IDENTIFIER.match(tool_name):
        raise ConfigurationError(f"tool name {tool_name!r} must fit {IDENTIFIER.pattern}")
    description = inspect.getdoc(function)
    if not description:
        raise ConfigurationError(f"tool {tool_name!r} needs a docstring: the model reads it")
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    context_parameter = None
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigurationError(f"tool {tool_name!r}: *args and **kwargs have no schema")
        if parameter.name not in hints:
            raise ConfigurationError(f"tool {tool_name!r}: parameter {parameter.name!r} needs a type hint")
        if hints[parameter.name] is ToolContext:
            context_parameter = parameter.name
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], default)
    arguments = create_model(f"{tool_name}_arguments", __config__=ConfigDict(extra="forbid"), **fields)
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    return Tool(
        name=tool_name,
        title=title or tool_name.replace("_", " ").capitalize(),
        description=description,
        input_schema=schema,
        arguments=arguments,
        function=function,
        kind=kind,
        timeout_s=timeout_s,
        context_parameter=context_parameter,
    )
