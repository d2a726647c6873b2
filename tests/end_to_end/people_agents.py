"""Agents for runs that people take part in, and for wide plans; a module for ``--module``."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.agents.spec import AgentSpec
from runtime.tools.tool import tool


@tool(kind="at_most_once", needs_approval=True)
def send(to: str) -> str:
    """Send the answer.

    Args:
        to: whom
    """
    with Path(os.environ["HEADRACE_TEST_OUTBOX"]).open("a") as outbox:
        outbox.write(f"{to}\n")
    return f"sent to {to}"


@tool(reads_private=False, untrusted=False)
async def dig(place: str) -> str:
    """Dig.

    Args:
        place: where
    """
    return f"nothing at {place}"


clerk = AgentSpec(name="clerk", description="Sends.", instructions="Send.", tools=("send", "ask_person"))
digger = AgentSpec(name="digger", description="Digs.", instructions="Dig.", tools=("dig",), max_tool_calls=2)
