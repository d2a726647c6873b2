"""The tool ``ask_person``: an agent's question to the person it works for. The agent loop answers it, from the log."""

from __future__ import annotations

from runtime.errors import InternalError
from runtime.tools.tool import tool

ASK_PERSON = "ask_person"


@tool(reads_private=False, untrusted=False, sends_out=False)
def ask_person(question: str, options: tuple[str, ...] = ()) -> str:
    """Ask the person you work for, when only they can know or decide; the work waits for the answer, so ask sparingly.

    Args:
        question: what you need to know, in one sentence
        options: answers to choose from, if there are some
    """
    raise InternalError(f"ask_person is answered by the agent loop ({question[:80]!r}, {len(options)} options)")
