"""Containing injected instructions by what tools can do, whatever a model believes (SECURITY.md 2.4).

Every tool says of itself whether it reads private data, brings in words of strangers, or sends something out. A
conversation that has met the first two may not do the third unless a person agrees: then nothing that is private can be
carried out by words that a stranger wrote. What it has met is a fold of its log, so a model cannot clear it, and it
passes on: to delegates, back from them, and to the steps that depend on a step.

Tools that a model's provider runs itself never come to the gate: what its web tools bring in and carry out happens within one
turn. So they are offered only as long as the conversation has read nothing private, and what they bring in counts as words of
strangers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from runtime.events.tool_events import EXPOSED, Taint
from runtime.tools.tool import Tool

Name = TypeVar("Name", bound=str)

_WEB = frozenset({"web_search", "web_fetch"})
"""Tools of a provider whose calls leave for the web; its code runs without a network."""


def needs_approval(tool: Tool, taint: Taint) -> str | None:
    """Why a person must agree to a call of ``tool`` in a conversation that has met ``taint``; None: nobody must."""
    if tool.needs_approval:
        return f"every call of {tool.name} needs a person's approval"
    if tool.sends_out and taint >= EXPOSED:
        return f"{tool.name} sends data out, and this step has read private data and words of strangers"
    return None


def provider_tools(names: Iterable[Name], taint: Taint) -> tuple[Name, ...]:
    """Those of the provider's own tools that may be offered in a conversation that has met ``taint``."""
    return tuple(name for name in names if "reads_private" not in taint or name not in _WEB)
