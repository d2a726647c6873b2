"""How a model is to be asked: what an agent may choose beside its prompt and its tools. Data only."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

ServerTool = Literal["web_search", "web_fetch", "code_execution"]
"""A tool that the provider runs itself, within the model's turn. Only the Messages API of Anthropic has them."""

_OURS = frozenset({"model", "messages", "system", "tools", "stream", "max_tokens"})
"""Fields of a request that are never an agent's to overrule."""


class ModelOptions(BaseModel):
    """Choices of an agent that go with each of its turns; what is left out is as the provider likes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool_choice: str | None = None
    """``any``: the first turn must call a tool; a tool's name: it must call that one. Later turns are free."""
    parallel_tool_calls: bool = True
    """False: at most one tool call a turn."""
    thinking: Literal["off", "adaptive"] | Annotated[int, Field(ge=1024)] | None = None
    """``adaptive``: the model decides; a number: at most so many tokens of it, part of ``max_tokens``."""
    stop_sequences: tuple[Annotated[str, Field(min_length=1, pattern=r"\S")], ...] = ()
    """Texts at which the model stops."""
    extra_body: dict[str, Any] = {}
    """Further fields of the request, for servers that know more than the Messages API; sent as they are."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.tool_choice is not None and self.thinking not in (None, "off"):
            raise ValueError("a model that thinks cannot be made to call a tool: leave out tool_choice or thinking")
        if taken := sorted(_OURS & self.extra_body.keys()):
            raise ValueError(f"extra_body may not name {', '.join(taken)}")
        return self

    def check_room(self, max_tokens: int) -> None:
        """Raises ``ValueError`` when all of an answer could be thinking."""
        if isinstance(self.thinking, int) and self.thinking >= max_tokens:
            raise ValueError(f"thinking ({self.thinking} tokens) must be less than max_tokens ({max_tokens})")
