"""The ``@tool`` decorator: a typed function becomes a tool with a JSON Schema a model can follow.

::

    @tool
    async def convert(amount: float, to: Literal["EUR", "USD"]) -> str:
        '''Convert an amount of money.'''

Parameters become the input schema (``Annotated[int, Field(description=...)]`` works); a parameter annotated
:class:`ToolContext` is filled in by us and hidden from the model. The docstring is the description. Sync functions run
in a thread. The result is a string, anything JSON can hold, or a :class:`ToolResult` with citations.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, create_model

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
    """Validates a call; each field's alias is the parameter's name."""
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
    ``at_most_once`` is never repeated. Raises :class:`ConfigurationError` for a function that has no
    docstring, or parameters without a schema.
    """
    if function is not None:
        return _build(function, name, title, kind, timeout_s)
    return lambda f: _build(f, name, title, kind, timeout_s)


def _build(function: ToolFunction, name: str | None, title: str | None, kind: ToolKind, timeout_s: float) -> Tool:
    tool_name = name or str(getattr(function, "__name__", ""))
    if not IDENTIFIER.match(tool_name):
        raise ConfigurationError(f"tool name {tool_name!r} must fit {IDENTIFIER.pattern}")
    description = inspect.getdoc(function)
    if not description:
        raise ConfigurationError(f"tool {tool_name!r} needs a docstring: the model reads it")
    if timeout_s <= 0:
        raise ConfigurationError(f"tool {tool_name!r}: timeout_s must be above 0, not {timeout_s}")
    fields, context_parameter = _fields(tool_name, function)
    try:
        arguments = create_model(f"{tool_name}_arguments", __config__=ConfigDict(extra="forbid"), **fields)
        schema = arguments.model_json_schema()
    except PydanticUserError as error:
        raise ConfigurationError(
            f"tool {tool_name!r}: a parameter's type has no JSON Schema ({error.message})"
        ) from error
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


def _fields(tool_name: str, function: ToolFunction) -> tuple[dict[str, Any], str | None]:
    """The model's fields, and the name of the parameter that takes the context.

    A field has a name of ours and the parameter's as its alias: so a parameter may be called ``json``, ``copy`` or
    ``_id``, which pydantic refuses or warns of as field names.
    """
    fields: dict[str, Any] = {}
    context_parameter: str | None = None
    hints = _hints(tool_name, function)
    for number, parameter in enumerate(inspect.signature(function).parameters.values()):
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigurationError(f"tool {tool_name!r}: *args and **kwargs have no schema")
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigurationError(f"tool {tool_name!r}: parameter {parameter.name!r} cannot be given by name")
        if parameter.name not in hints:
            raise ConfigurationError(f"tool {tool_name!r}: parameter {parameter.name!r} needs a type hint")
        if hints[parameter.name] is ToolContext:
            if context_parameter is not None:
                raise ConfigurationError(f"tool {tool_name!r} has two parameters of type ToolContext")
            context_parameter = parameter.name
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[f"argument_{number}"] = (hints[parameter.name], Field(default, alias=parameter.name))
    return fields, context_parameter


def _hints(tool_name: str, function: ToolFunction) -> dict[str, Any]:
    try:
        return get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigurationError(
            f"tool {tool_name!r}: a type hint names {error.name!r}, which its module does not have when it runs; "
            "import it outside 'if TYPE_CHECKING'"
        ) from error
