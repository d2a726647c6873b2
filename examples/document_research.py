"""Research over a folder, without a model or a network: a question, a follow-up in the same conversation, their sources.

python -m examples.document_research docs "What is the difference between SQLite and PostgreSQL?" "Which one is the default?"

The offline engine plans one search for each side of a comparison; they run side by side.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.bootstrap.system import in_process_server
from runtime.client import HeadraceClient, RunEvent
from runtime.config import Settings
from runtime.events.catalog import CitationAdded, RunCompleted


@dataclass(frozen=True)
class Answer:
    """What was found, the places it stands at, and the events it was made of."""

    text: str
    sources: tuple[str, ...]
    events: tuple[RunEvent, ...]


async def research(folder: Path, questions: Sequence[str], data_dir: Path) -> AsyncIterator[Answer]:
    """The answers to ``questions``, each of which knows those before. Raises ``RuntimeError`` when there is none."""
    settings = Settings(model="offline", log="memory:", data_dir=data_dir, documents=folder)
    async with in_process_server(settings) as url, HeadraceClient(url) as client:
        conversation = None
        for question in questions:
            events = [e async for e in client.stream(question, conversation_id=conversation)]
            end = events[-1].data
            if not isinstance(end, RunCompleted):
                raise RuntimeError(f"no answer: {end}")
            conversation = (await client.snapshot(events[0].run_id))["conversation_id"]
            places = (e.data.location for e in events if isinstance(e.data, CitationAdded))
            yield Answer(end.answer, tuple(dict.fromkeys(places)), tuple(events))


async def main(folder: str, *questions: str) -> None:
    """Print each question's answer and its sources."""
    async for answer in research(Path(folder), questions, Path(".headrace")):
        print(answer.text, *(f"  {place}" for place in answer.sources), sep="\n", end="\n\n")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
