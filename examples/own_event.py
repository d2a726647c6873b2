"""An event type of one's own: a tool that says how far it has come, for a progress bar in the client.

headrace serve --model anthropic --module examples.own_event
headrace ask "How many words have the first three chapters?" --json | grep '"custom"'
"""

from runtime.agents.spec import AgentSpec
from runtime.events.own import OwnEvent
from runtime.tools.tool import ToolContext, tool

CHAPTERS = ("It was a dark night.", "Then it rained, and rained.", "The end.")


class Progress(OwnEvent, name="progress"):
    """How far something has come."""

    done: int
    of: int


@tool
def count_words(context: ToolContext) -> int:
    """Count the words of all chapters."""
    words = 0
    for number, chapter in enumerate(CHAPTERS, start=1):
        words += len(chapter.split())
        Progress(done=number, of=len(CHAPTERS)).tell(context.emit)
    return words


COUNTER = AgentSpec(
    name="counter",
    description="Counts the words of the book's chapters.",
    instructions="Call count_words and state the number in one sentence.",
    tools=("count_words",),
)
