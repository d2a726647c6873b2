"""Requests of the Messages API, as far as the facade reads them; what it cannot honour is refused, not ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, ValidationError

from runtime.errors import ModelRequestRejected


class Part(BaseModel):
    """Base of all shapes here: unknown fields (cache_control, metadata) are harmless and dropped."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Text(Part):
    """Plain text."""

    type: Literal["text"]
    text: str


class Thinking(Part):
    """Earlier thinking: accepted, and not shown to the model again."""

    type: Literal["thinking", "redacted_thinking"]


class Foreign(Part):
    """What another provider did by itself, earlier: accepted, and not shown to the model."""

    type: str


class ToolUse(Part):
    """An earlier call."""

    type: Literal["tool_use"]
    id: str
    name: str
    input: dict[str, Any]


class ToolResult(Part):
    """What a tool answered."""

    type: Literal["tool_result"]
    tool_use_id: str
    content: str | tuple[Text, ...] = ""
    is_error: bool = False

    def text(self) -> str:
        """The result as one text."""
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)


def _tag(block: Any) -> str:
    """Which class reads a block; Any: it is JSON of a request, or a block already."""
    kind = str(block.get("type") if isinstance(block, dict) else getattr(block, "type", ""))
    return "foreign" if kind == "server_tool_use" or kind.endswith("_tool_result") else kind


Content = Annotated[
    Annotated[Text, Tag("text")]
    | Annotated[Thinking, Tag("thinking")]
    | Annotated[Thinking, Tag("redacted_thinking")]
    | Annotated[ToolUse, Tag("tool_use")]
    | Annotated[ToolResult, Tag("tool_result")]
    | Annotated[Foreign, Tag("foreign")],
    Discriminator(_tag),
]


class WireMessage(Part):
    """One message."""

    role: Literal["user", "assistant"]
    content: str | tuple[Content, ...]

    def blocks(self) -> tuple[Content, ...]:
        """The content as blocks, also when it was sent as a string."""
        return (Text(type="text", text=self.content),) if isinstance(self.content, str) else self.content


class WireTool(Part):
    """A tool on offer. Tools that run at the provider have no ``input_schema`` and are refused."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]
    description: str = ""
    input_schema: dict[str, Any]


class ToolChoice(Part):
    """Which tools may or must be called."""

    type: Literal["auto", "any", "none", "tool"] = "auto"
    name: str | None = None


class OutputFormat(Part):
    """The schema an answer must fit."""

    type: Literal["json_schema"]
    schema_: Annotated[dict[str, Any], Field(alias="schema")]


class OutputConfig(Part):
    """``output_config`` as the SDK 2.12 sends it."""

    format: OutputFormat | None = None


class MessagesRequest(Part):
    """The body of ``POST /v1/messages``."""

    model: str
    max_tokens: Annotated[int, Field(ge=1)]
    messages: Annotated[tuple[WireMessage, ...], Field(min_length=1)]
    system: str | tuple[Text, ...] = ""
    stream: bool = False
    tools: tuple[WireTool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    output_config: OutputConfig = OutputConfig()
    stop_sequences: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None

    def system_text(self) -> str:
        """The system prompt as one text."""
        return self.system if isinstance(self.system, str) else "\n\n".join(part.text for part in self.system)

    def results(self) -> tuple[ToolResult, ...]:
        """Every tool result in the conversation, in order."""
        return tuple(b for message in self.messages for b in message.blocks() if isinstance(b, ToolResult))


def read(body: bytes) -> MessagesRequest:
    """The request in ``body``. Raises :class:`ModelRequestRejected` naming the first field that is wrong."""
    try:
        return MessagesRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise ModelRequestRejected(f"{where}: {first['msg']}") from error
