"""A conversation with a model: messages made of content blocks, in the shapes of the Messages API.

They live with the events because ``turn.completed`` carries the canonical blocks, and a conversation is a fold of the log.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, TypeAdapter

Json = dict[str, Any]
"""A piece of the API's JSON that is kept as it came and sent back unchanged. ``Any``: the provider decides what is in it."""


def _nothing(value: object) -> bool:
    return not value


class Block(BaseModel):
    """Base of all content blocks."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TextBlock(Block):
    """Plain text, and what the provider itself says it rests on."""

    type: Literal["text"] = "text"
    text: str
    citations: tuple[Json, ...] = Field(default=(), exclude_if=_nothing)
    """The API's citations, each as it came; sent back unchanged. Marks such as ``[1]`` in the text are another thing."""


class ThinkingBlock(Block):
    """The model's thinking with the signature the next turn must send back unchanged."""

    type: Literal["thinking"] = "thinking"
    thinking: str
    signature: str = ""


class RedactedThinkingBlock(Block):
    """Thinking the provider encrypted; sent back unchanged."""

    type: Literal["redacted_thinking"] = "redacted_thinking"
    data: str


class ToolUseBlock(Block):
    """The model asks for a tool. ``input`` is whole, strictly parsed JSON."""

    type: Literal["tool_use"] = "tool_use"
    id: str
    name: str
    input: dict[str, Any]
    caller: Json | None = Field(default=None, exclude_if=_nothing)
    """Who asks when it is not the model itself, such as code it runs at the provider; sent back unchanged."""


class ImageBlock(Block):
    """A picture."""

    type: Literal["image"] = "image"
    source: Json
    """``{"type": "base64", "media_type", "data"}`` or ``{"type": "url", "url"}``."""


class DocumentBlock(Block):
    """A PDF or a text to read as a document."""

    type: Literal["document"] = "document"
    source: Json
    """``{"type": "base64", "media_type", "data"}``, the same with ``text``, or ``{"type": "url", "url"}``."""
    title: str | None = Field(default=None, exclude_if=_nothing)
    citations: Json | None = Field(default=None, exclude_if=_nothing)
    """``{"enabled": true}`` asks the model to cite it."""


ResultPart = Annotated[TextBlock | ImageBlock | DocumentBlock, Field(discriminator="type")]


class ToolResultBlock(Block):
    """What a tool answered; ``is_error`` tells the model it failed."""

    type: Literal["tool_result"] = "tool_result"
    tool_use_id: str
    content: str | tuple[ResultPart, ...]
    is_error: bool = False

    def text(self) -> str:
        """Its words; pictures and documents left out."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content if isinstance(part, TextBlock))


class ServerToolUseBlock(Block):
    """The provider ran a tool of its own, such as a web search: nothing for us to run."""

    type: Literal["server_tool_use"] = "server_tool_use"
    id: str
    name: str
    input: dict[str, Any]
    caller: Json | None = Field(default=None, exclude_if=_nothing)
    """As in a call of ours."""


class OpaqueBlock(Block):
    """A block of any other type, whole: results of the provider's own tools, and what a later version of the API brings.

    Kept with all its fields and sent back unchanged: leaving one out may make the next request invalid.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    type: str


def _tag(block: Any) -> str:
    """Which class reads a block; Any: it is one already, or JSON of a stored event."""
    kind = block.get("type") if isinstance(block, dict) else getattr(block, "type", None)
    return kind if isinstance(kind, str) and kind in KNOWN_TYPES else "opaque"


ContentBlock = Annotated[
    Annotated[TextBlock, Tag("text")]
    | Annotated[ThinkingBlock, Tag("thinking")]
    | Annotated[RedactedThinkingBlock, Tag("redacted_thinking")]
    | Annotated[ToolUseBlock, Tag("tool_use")]
    | Annotated[ToolResultBlock, Tag("tool_result")]
    | Annotated[ImageBlock, Tag("image")]
    | Annotated[DocumentBlock, Tag("document")]
    | Annotated[ServerToolUseBlock, Tag("server_tool_use")]
    | Annotated[OpaqueBlock, Tag("opaque")],
    Discriminator(_tag),
]
KNOWN_TYPES = frozenset(
    {"text", "thinking", "redacted_thinking", "tool_use", "tool_result", "image", "document", "server_tool_use"}
)
"""Types of blocks that have a class of their own."""


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: Literal["user", "assistant"]
    content: tuple[ContentBlock, ...]

    def text(self) -> str:
        """All its text, thinking and tools left out."""
        return text_of(self.content)


Conversation = tuple[Message, ...]
_conversation = TypeAdapter(Conversation)


def user(text: str) -> Message:
    """A user message of plain text."""
    return Message(role="user", content=(TextBlock(text=text),))


def text_of(content: tuple[ContentBlock, ...]) -> str:
    """The text blocks of ``content``, joined."""
    return "".join(block.text for block in content if isinstance(block, TextBlock))


def tool_uses(content: tuple[ContentBlock, ...]) -> tuple[ToolUseBlock, ...]:
    """The tool calls in ``content``, in order."""
    return tuple(block for block in content if isinstance(block, ToolUseBlock))


def dump_conversation(conversation: Conversation) -> str:
    """JSON text of a conversation."""
    return _conversation.dump_json(conversation).decode()


def load_conversation(text: str) -> Conversation:
    """The conversation in a JSON text; raises ``ValueError`` when it is none."""
    return _conversation.validate_json(text)


class Usage(BaseModel):
    """Tokens and money of one turn, or a sum of turns."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    web_searches: int = Field(default=0, exclude_if=_nothing)
    """Searches the provider made itself; it charges for each."""
    web_fetches: int = Field(default=0, exclude_if=_nothing)
    """Pages the provider fetched itself; paid for as tokens."""
    cost_usd: float = 0.0
    """US dollars by the price table; 0 for models that cost nothing or have no known price."""

    @property
    def tokens(self) -> int:
        """All of them, in and out."""
        return self.input_tokens + self.output_tokens + self.cache_read_tokens + self.cache_write_tokens

    def plus(self, other: Usage) -> Usage:
        """The sum of both."""
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            cache_read_tokens=self.cache_read_tokens + other.cache_read_tokens,
            cache_write_tokens=self.cache_write_tokens + other.cache_write_tokens,
            web_searches=self.web_searches + other.web_searches,
            web_fetches=self.web_fetches + other.web_fetches,
            cost_usd=self.cost_usd + other.cost_usd,
        )
