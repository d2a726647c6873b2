"""What agents are told in the middle of their work, in words of ours: the events say that, the conversation says this."""

from __future__ import annotations

LIMIT_NOTE = (
    "You reached the tool-call limit. Continue from where you left off: do not start over, use what you already have, "
    "and finish as soon as you can."
)
"""What an agent is told when it is resumed (the user's article, pattern 3)."""

LAST_ANSWER_NOTE = (
    "You have used all your tool calls, and no more are possible. Answer now with what you have found, and say what is "
    "missing."
)
"""What an agent is told after its last resume, with its tools off."""


def said_note(text: str) -> str:
    """What an agent is told when a person says something while it works."""
    return f"The person you work for says: {text}"


def switched_off_note(tool: str, failures: int) -> str:
    """What an agent is told of a tool that keeps failing."""
    return (
        f"The tool {tool} failed {failures} times in a row and is switched off for this step. Go on without it, and say "
        "in your answer what could not be done."
    )


def repair_note(problem: str) -> str:
    """What an agent is told when its answer does not fit."""
    return f"Your last answer cannot be used: {problem}\nAnswer again, with this mended and nothing else."
