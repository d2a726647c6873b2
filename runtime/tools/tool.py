"""The ``@tool`` decorator: a typed function becomes a tool with a JSON Schema a model can follow.

::

    @tool
    async def convert(amount: float, to: Literal["EUR", "USD"]) -> str:
        '''Convert an amount of money.'''

Parameters become the input schema (``Annotated[int, Field(description=...)]`` works); a parameter annotated
:class:`ToolContext` is filled in by us and hidden from the model. The docstring is the description. Sync functions run
in a thread. The result is a string, anything JSON can hold, or a :class:`ToolResult` with citations.

What a call may end with, for every kind: an exception the tool raises is its own answer, told to the model as an error
(raise :class:`runtime.errors.ToolFailed` to choose the words). A call that took too long, whose process died, or that
was interrupted has no answer: ``read`` is told to the model as an error, ``idempotent`` is tried again with the same key,
and what then is still open, as any such call of ``at_most_once``, is reported as ``tool.outcome_unknown``.

A tool that may crash, hang or eat memory runs in a process of its own::

    @tool(isolate=True)
    @tool(num_cpus=2, num_gpus=1, memory=2 * 1024**3)     # resources imply isolate

The process imports it by name, so it stands at the top level of an importable module.

A tool says what it does to a conversation, so that words planted in what it reads cannot make a model carry data out
(:mod:`runtime.tools.containment`). What it does not say is guessed from its kind, on the careful side::

    @tool(reads_private=False, untrusted=False)           # arithmetic
    @tool(sends_out=True)                                 # a read that asks a server outside
    @tool(kind="at_most_once", sends_out=False)           # writes, but nothing leaves the system
    @tool(needs_approval=True)                            # a person must agree to every call
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_type_hints, overload

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, create_model

from runtime.errors import ConfigurationError
from runtime.events.attachments import Attachment
from runtime.events.tool_events import Tag, guessed
from runtime.ids import IDENTIFIER

ToolKind = Literal["read", "idempotent", "at_most_once"]

SEPARATOR = "__"
"""Between an MCP server's name and its tool's."""
ISOLATED_CPUS = 0.25
"""What an isolated call asks of Ray when it does not say: a laptop's two cores, mostly given away, hold a few at once."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A source of something a tool returned: ``quote`` stands in the document at ``location``."""

    title: str
    location: str
    """Path and line, or page: ``guide.md:120``, ``paper.pdf#page=3``."""
    quote: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answers: ``text`` for the model, ``citations`` for the reader, ``attachments`` for both.

    Attachments are pictures and PDFs, made with :func:`runtime.tools.files.attached`.
    """

    text: str
    citations: tuple[Citation, ...] = ()
    attachments: tuple[Attachment, ...] = ()


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
    cancelled: Callable[[], bool] = field(default=lambda: False)
    """Whether nobody waits for this call any more: it was cancelled or took too long. A sync function, which no one can
    stop, looks at it between its steps; an async one is cancelled, an isolated one killed."""
    agent: str = ""
    """The agent that calls."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What an isolated call asks for. Ray places calls by all three; without Ray only ``memory`` has a meaning."""

    num_cpus: float = ISOLATED_CPUS
    num_gpus: float = 0.0
    memory: int | None = None
    """Bytes the call may allocate beyond what its process starts with; more raises ``MemoryError`` in the tool."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A callable tool with its schema."""

    name: str
    title: str
    description: str
    input_schema: dict[str, Any]
    arguments: type[BaseModel] | None
    """Validates a call; each field's alias is the parameter's name. None: ``input_schema`` does, and the function takes all
    of them as ``arguments``."""
    function: Callable[..., Any]
    kind: ToolKind = "read"
    timeout_s: float = 60.0
    context_parameter: str | None = None
    icon: str = ""
    """An emoji, or the address of a picture; for people."""
    visible: frozenset[str] | None = None
    """Roles of viewers who see its calls; None: everyone, empty: nobody."""
    isolation: Resources | None = None
    """What a process of its own asks for; None: runs in the agent's process."""
    reads_private: bool = True
    """Its answers may hold data that is not for everybody. This and what follows: see :mod:`runtime.tools.containment`."""
    untrusted: bool = True
    """Its answers may hold words of strangers, who may address the model."""
    sends_out: bool = True
    """A call may carry its arguments out of the system."""
    needs_approval: bool = False
    """A person must agree to every call."""

    @property
    def tags(self) -> tuple[Tag, ...]:
        """What it does to a conversation, as its calls say it in the log."""
        tags: dict[Tag, bool] = {
            "reads_private": self.reads_private,
            "untrusted": self.untrusted,
            "sends_out": self.sends_out,
        }
        return tuple(tag for tag, true in tags.items() if true)

    @property
    def module(self) -> str:
        """Where its function is defined; an isolated call imports it from there."""
        return str(self.function.__module__)

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
    isolate: bool = False,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    memory: int | None = None,
    reads_private: bool | None = None,
    untrusted: bool | None = None,
    sends_out: bool | None = None,
    needs_approval: bool = False,
    icon: str = "",
    visible: bool | Collection[str] = True,
) -> Callable[[ToolFunction], Tool]: ...
def tool(
    function: ToolFunction | None = None,
    *,
    name: str | None = None,
    title: str | None = None,
    kind: ToolKind = "read",
    timeout_s: float = 60.0,
    isolate: bool = False,
    num_cpus: float | None = None,
    num_gpus: float | None = None,
    memory: int | None = None,
    reads_private: bool | None = None,
    untrusted: bool | None = None,
    sends_out: bool | None = None,
    needs_approval: bool = False,
    icon: str = "",
    visible: bool | Collection[str] = True,
) -> Tool | Callable[[ToolFunction], Tool]:
    """Make a typed function a :class:`Tool`.

    ``kind`` says what repeating a call does: ``read`` is free, ``idempotent`` is safe with the same key,
    ``at_most_once`` is never repeated. ``isolate`` gives each call a process of its own; so does naming any of
    ``num_cpus`` (a quarter if left out), ``num_gpus`` or ``memory`` (bytes). ``reads_private``, ``untrusted`` and
    ``sends_out`` say what it does to a conversation; left out, every tool brings in words of strangers, ``read`` reads private
    data, and the other kinds send out. ``icon`` is an emoji or the address of a picture. ``visible``: False hides its calls
    from every viewer, roles show them only to viewers who have one.

    Raises :class:`ConfigurationError` for a function that has no docstring or parameters without a schema, and for one
    inside another function that is to be isolated.
    """
    isolation: Resources | None = None
    if isolate or not (num_cpus is None and num_gpus is None and memory is None):
        isolation = Resources(ISOLATED_CPUS if num_cpus is None else num_cpus, num_gpus or 0.0, memory)
    guess, seen = guessed(kind), _roles(visible)

    def build(f: ToolFunction) -> Tool:
        made = _build(f, name, title, kind, timeout_s, isolation)
        return replace(
            made,
            icon=icon,
            visible=seen,
            reads_private="reads_private" in guess if reads_private is None else reads_private,
            untrusted="untrusted" in guess if untrusted is None else untrusted,
            sends_out="sends_out" in guess if sends_out is None else sends_out,
            needs_approval=needs_approval,
        )

    return build if function is None else build(function)


def _roles(visible: bool | Collection[str]) -> frozenset[str] | None:
    if isinstance(visible, bool):
        return None if visible else frozenset()
    if isinstance(visible, str):
        raise ConfigurationError(f"visible={visible!r} is a text; write a list of roles, such as [{visible!r}]")
    return frozenset(visible)


def _build(
    function: ToolFunction,
    name: str | None,
    title: str | None,
    kind: ToolKind,
    timeout_s: float,
    isolation: Resources | None,
) -> Tool:
    tool_name = name or str(getattr(function, "__name__", ""))
    if not IDENTIFIER.match(tool_name):
        raise ConfigurationError(f"tool name {tool_name!r} must fit {IDENTIFIER.pattern}")
    description = inspect.getdoc(function)
    if not description:
        raise ConfigurationError(f"tool {tool_name!r} needs a docstring: the model reads it")
    if timeout_s <= 0:
        raise ConfigurationError(f"tool {tool_name!r}: timeout_s must be above 0, not {timeout_s}")
    if isolation is not None:
        _check_isolation(tool_name, function, isolation)
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
        isolation=isolation,
    )


def _check_isolation(tool_name: str, function: ToolFunction, isolation: Resources) -> None:
    if "<locals>" in getattr(function, "__qualname__", "<locals>"):
        raise ConfigurationError(
            f"tool {tool_name!r} cannot be isolated: it is defined inside a function, and a process of its own imports it "
            "by name; move it to the top level of its module"
        )
    if min(isolation.num_cpus, isolation.num_gpus) < 0 or (isolation.memory is not None and isolation.memory <= 0):
        raise ConfigurationError(f"tool {tool_name!r}: num_cpus, num_gpus and memory cannot be below 0")


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
