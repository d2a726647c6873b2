"""The built-in enrichment: tool calls get the tool's title and description from the registry."""

from __future__ import annotations

from dataclasses import replace

from runtime.events.catalog import ToolCalled
from runtime.events.envelope import Draft
from runtime.stream.chain import ChainFunction, enrich
from runtime.tools.registry import Registry


def tool_metadata(registry: Registry) -> ChainFunction:
    """An enrich function over ``registry``; unknown tools pass unchanged."""
    known = {tool.name: tool for tool in registry.all()}

    @enrich("object")
    def add_tool_metadata(draft: Draft) -> Draft:
        event = draft.event
        if not isinstance(event, ToolCalled) or event.name not in known:
            return draft
        tool = known[event.name]
        described = event.model_copy(update={"title": tool.title, "description": tool.description})
        return replace(draft, event=described)

    return add_tool_metadata
