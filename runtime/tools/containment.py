"""Containing injected instructions by what tools can do, whatever a model believes (SECURITY.md 2.4).

Every tool says of itself whether it reads private data, brings in words of strangers, or sends something out. A
conversation that has met the first two may not do the third unless a person agrees: then nothing that is private can be
carried out by words that a stranger wrote. What it has met is a fold of its log, so a model cannot clear it, and it
passes on: to delegates, back from them, and to the steps that depend on a step.
"""

from __future__ import annotations

from runtime.events.tool_events import EXPOSED, Taint
from runtime.tools.tool import Tool


def needs_approval(tool: Tool, taint: Taint) -> str | None:
    """Why a person must agree to a call of ``tool`` in a conversation that has met ``taint``; None: nobody must."""
    if tool.needs_approval:
        return f"every call of {tool.name} needs a person's approval"
    if tool.sends_out and taint >= EXPOSED:
        return f"{tool.name} sends data out, and this step has read private data and words of strangers"
    return None
