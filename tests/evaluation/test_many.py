"""A question over two hundred mixed documents: progress of the index, two searches at once, citations that open right."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from rich.console import Console

from runtime.cli.activity import Activity
from runtime.cli.plain import Plain
from runtime.cli.view import render
from runtime.config import Settings
from runtime.events import catalog as ev
from runtime.events.fold import RunState, fold
from runtime.events.texts import Texts
from tests.evaluation.many import STATIONS, documents, stations, write
from tests.evaluation.opening import opened
from tests.evaluation.questions import Place, Question
from tests.evaluation.runner import Asked, evaluate
from tests.evaluation.score import side_by_side

ONE, OTHER = stations()[6], stations()[31]
COMPARISON = Question(
    id="rent-and-pump",
    ask=f"Compare the {ONE.name} station and the {OTHER.name} station in terms of pump and rent",
    answers=tuple(
        (words,)
        for s in (ONE, OTHER)
        for words in (f"{s.name} station delivers {s.pump} litres", f"{s.name} station is {s.rent} euro")
    ),
    sources=tuple(
        place
        for s in (ONE, OTHER)
        for place in (
            Place(document=f"{s.name.lower()}/overview.md", section="Water supply"),
            Place(document=f"{s.name.lower()}/contract.html", section="Rent"),
        )
    ),
    research_stages=2,
)
SURVEYS = Question(
    id="seals",
    ask=f"How many seals were counted on the shore of {ONE.name}?",
    answers=((f"{ONE.seals} seals",),),
    sources=(Place(document=f"{ONE.name.lower()}/survey.pdf", page=2),),
)
PLANS = Question(
    id="inspection",
    ask=f"How often is the {OTHER.name} station inspected?",
    answers=((f"every {OTHER.inspection} weeks",),),
    sources=(Place(document=f"{OTHER.name.lower()}/maintenance.txt", near=f"every {OTHER.inspection} weeks"),),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("many")
    assert write(path) == 200
    return path


@pytest.fixture(scope="module")
def asked(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Asked]:
    settings = Settings(model="offline", data_dir=tmp_path_factory.mktemp("data"), log="memory:")
    # the comparison alone first, so that it is the one that finds no index
    first = asyncio.run(evaluate(settings, [COMPARISON], folder, at_once=1))
    rest = asyncio.run(evaluate(settings, [SURVEYS, PLANS], folder, at_once=2))
    return {one.question.id: one for one in (*first, *rest)}


def test_the_documents_are_mixed_and_no_two_stations_are_alike() -> None:
    assert len(set(STATIONS)) == 40
    kinds = [Path(path).suffix for path, _ in documents(ONE)]
    assert sorted(set(kinds)) == [".html", ".md", ".pdf", ".txt"]
    assert len({(s.pump, s.rent, s.seals) for s in stations()}) == 40


def test_a_comparison_searches_both_sides_at_once_and_then_writes(asked: dict[str, Asked]) -> None:
    state, log = asked[COMPARISON.id].state, asked[COMPARISON.id].log
    assert state.plan is not None
    assert side_by_side(state.plan, "research") == 2
    assert state.plan.todos[-1].agent == "writing"
    began = [e.seq for e in log if isinstance(e.event, ev.StageStarted) and e.stage in ("search-1", "search-2")]
    ended = [e.seq for e in log if isinstance(e.event, ev.StageCompleted) and e.stage in ("search-1", "search-2")]
    assert max(began) < min(ended)


def test_the_answer_has_both_sides_and_each_citation_opens_at_its_place(asked: dict[str, Asked], folder: Path) -> None:
    one = asked[COMPARISON.id]
    assert (one.score.right, one.score.cited, one.score.planned, one.score.astray) == (True, True, True, 0)
    citations = one.state.stages[one.state.plan.todos[-1].id].citations if one.state.plan else ()
    names = {ONE.name.lower(), OTHER.name.lower()}
    assert {citation.location.partition("/")[0] for citation in citations} == names
    for citation in citations:
        place = opened(folder, citation.location)
        assert place is not None
        assert place.text.startswith(citation.quote.split("\n")[0])


@pytest.mark.parametrize("question", [SURVEYS, PLANS], ids=lambda one: one.id)
def test_one_fact_among_two_hundred_documents_is_found_where_it_stands(
    asked: dict[str, Asked], question: Question
) -> None:
    score = asked[question.id].score
    assert (score.right, score.cited, score.astray) == (True, True, 0)


def test_the_index_tells_how_far_it_is_from_nothing_to_all(asked: dict[str, Asked]) -> None:
    told = [
        e.event.value for e in asked[COMPARISON.id].log if isinstance(e.event, ev.Custom) and e.event.name == "indexing"
    ]
    done = [value["done"] for value in told]
    assert (done[0], done[-1]) == (0, 200)
    assert done == sorted(set(done))
    assert {value["total"] for value in told} == {200}


def test_the_command_line_shows_the_index_being_built(asked: dict[str, Asked]) -> None:
    plain, activity, texts, state = Plain(), Activity(), Texts(), RunState()
    lines: list[str] = []
    pictures: list[str] = []
    for envelope in asked[COMPARISON.id].log:
        state = fold(state, envelope)
        activity.apply(envelope)
        lines += plain.lines(state, envelope)
        if isinstance(envelope.event, ev.Custom):
            console = Console(width=100, record=True, file=io.StringIO())
            console.print(render(state, texts, activity, envelope.at))
            pictures.append(console.export_text())
    told = [line for line in lines if line.startswith("indexing documents")]
    assert (told[0], told[-1]) == ("indexing documents: 0 of 200", "indexing documents: 200 of 200")
    assert "indexing documents" in pictures[0]
    assert "0/200" in pictures[0]
    assert "indexing documents" not in pictures[-1]


def test_the_index_is_not_built_again_for_the_next_question(asked: dict[str, Asked]) -> None:
    assert not any(isinstance(e.event, ev.Custom) for one in (SURVEYS, PLANS) for e in asked[one.id].log)
