"""Research over a folder with the offline engine: parallel searches, sources, and a follow-up that knows what was said."""

from __future__ import annotations

from pathlib import Path

from examples.document_research import research
from runtime.events import catalog as ev
from runtime.testing import RunEvents

DOCUMENTS = Path(__file__).parents[1] / "fixtures" / "documents"


async def test_a_comparison_and_its_follow_up_are_answered_from_the_folder(tmp_path: Path) -> None:
    questions = ("Compare the queue and the log.", "Why does the log matter?")
    first, second = [answer async for answer in research(DOCUMENTS, questions, tmp_path)]
    run = RunEvents(first.events)
    run.assert_grammar()
    [planned] = run.of(ev.PlanCommitted)
    searches = [todo for todo in planned.plan.todos if todo.agent == "research"]
    assert len(searches) == 2
    assert all(todo.depends_on == () for todo in searches)
    assert first.sources
    assert all((DOCUMENTS / place.rsplit(":", 1)[0]).exists() for place in first.sources)
    [accepted] = RunEvents(second.events).of(ev.RunAccepted)
    assert [said.question for said in accepted.history.exchanges] == [questions[0]]
    assert second.sources
