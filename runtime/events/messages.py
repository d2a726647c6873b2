"""A conversation with a model: messages made of content blocks, in the shapes of the Messages API.

They live with the events because ``turn.completed`` carries the canonical blocks, and a conversation is a fold of the log.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter


class Block(BaseModel):
    """Base of all content blocks."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class TextBlock(Block):
    """Plain text."""

    type: Literal["text"] = "text"
    text: str


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


class ToolResultBlock(Block):
    """What a tool answered; ``is_error`` tells the model it failed."""

    type: Literal["tool_result"] = "tool_result"
    tool_use_id: str
    content: str
    is_error: bool = False


ContentBlock = Annotated[
    TextBlock | ThinkingBlock | RedactedThinkingBlock | ToolUseBlock | ToolResultBlock, Field(discriminator="type")
]


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
            cost_usd=self.cost_usd + other.cost_usd,
        )
