"""The built-in rules of tools: what people are told of a call, and who may see it."""

from __future__ import annotations

from dataclasses import replace

from runtime.events import catalog as ev
from runtime.events.envelope import Draft
from runtime.events.messages import ContentBlock, ToolUseBlock
from runtime.stream.chain import ALL, ChainFunction, enrich
from runtime.stream.view import Viewer, ViewFunction
from runtime.tools.registry import Registry

SUMMARY = b'"purpose":"summary"'
"""What the bytes of a turn hold that sums up a conversation."""


def tool_metadata(registry: Registry) -> ChainFunction:
    """An enrich function over ``registry``: calls and results get title and icon, calls the description too."""
    known = {tool.name: tool for tool in registry.all()}

    @enrich("object")
    def add_tool_metadata(draft: Draft) -> Draft:
        event = draft.event
        if not isinstance(event, ev.ToolCalled | ev.ToolCompleted) or event.name not in known:
            return draft
        tool = known[event.name]
        told = {"title": tool.title, "icon": tool.icon}
        if isinstance(event, ev.ToolCalled):
            told["description"] = tool.description
        return replace(draft, event=event.model_copy(update=told))

    return add_tool_metadata


def tool_visibility(registry: Registry) -> ViewFunction | None:
    """The rule that hides what not every viewer may see of tools; None when everyone may see all."""
    roles = {tool.name: tool.visible for tool in registry.all() if tool.visible is not None}

    def hide_tools(draft: Draft, viewer: Viewer) -> Draft | None:
        hidden = {name for name, visible in roles.items() if not viewer.may_see(visible)}
        match draft.event:
            case ev.TurnCompleted(purpose="summary"):  # what tools answered, hidden ones too, in the model's words
                return None if hidden else draft
            case ev.TurnCompleted(content=content) | ev.TurnSnapshot(content=content):
                return _without(draft, content, hidden)
            case ev.RecoveryRetrying(failure=failure, message=message):
                speaks = failure.startswith("tool_") and any(name in message for name in hidden)
                return None if speaks else draft
            case (
                ev.ToolCalled(name=name)
                | ev.ToolCompleted(name=name)
                | ev.ToolOutcomeUnknown(name=name)
                | ev.ToolArgumentsInvalid(name=name)
                | ev.RecoveryToolSwitchedOff(name=name)
                | ev.TurnDelta(name=str(name))
            ):
                return None if name in hidden else draft
            case _:
                return draft

    mentions = (*(name.encode() for name in roles), SUMMARY)
    return ViewFunction(ALL, hide_tools, mentions) if roles else None


def _without(draft: Draft, content: tuple[ContentBlock, ...], hidden: set[str]) -> Draft:
    """A turn is shown without its calls of hidden tools: its text is the answer."""
    seen = tuple(block for block in content if not (isinstance(block, ToolUseBlock) and block.name in hidden))
    if len(seen) == len(content):
        return draft
    return replace(draft, event=draft.event.model_copy(update={"content": seen}))
