"""A mark in an answer leads to words that stand in a document; a mark that leads nowhere is no citation."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.agents.citations import (
    QUOTE_CHARACTERS,
    citations_of,
    highest_in,
    highest_mark,
    listed,
    passages,
    renumber,
    sources_list,
)
from runtime.agents.provider_citations import provider_citations
from runtime.agents.request import Source
from runtime.events.catalog import CitationAdded
from runtime.events.messages import Message, TextBlock, ToolResultBlock, user

FOUND = (
    "[1] guide.md:12 | The guide\nWater boils\nat 100 degrees.\n\n[2] notes.pdf#page=3 | Notes, part | two\nIce melts."
)


def shown(*texts: str, is_error: bool = False) -> tuple[Message, ...]:
    blocks = tuple(ToolResultBlock(tool_use_id=str(n), content=t, is_error=is_error) for n, t in enumerate(texts))
    return (user("[99] brief.md:1 | Not a passage"), Message(role="user", content=blocks))


def cited(text: str, conversation: tuple[Message, ...] = (), known: tuple[Source, ...] = ()) -> list[tuple[str, ...]]:
    return [(c.source_id, c.location, c.title, c.quote) for c in citations_of(text, conversation, known)]


def test_passages_are_numbered_on_and_their_words_left_alone() -> None:
    renumbered = renumber(FOUND + "\nSee [1] and array[2] | x", 4)
    assert "[5] guide.md:12 | The guide" in renumbered
    assert "[6] notes.pdf#page=3 | Notes, part | two" in renumbered
    assert renumbered.endswith("See [1] and array[2] | x")
    assert (highest_in(renumbered), highest_in("nothing"), highest_mark(shown("x", renumbered, FOUND))) == (6, 0, 6)
    assert highest_mark(()) == 0


def test_every_passage_a_tool_showed_is_known_by_its_mark() -> None:
    assert passages(shown(FOUND)) == {
        "1": Source("guide.md:12", "The guide", "Water boils\nat 100 degrees."),
        "2": Source("notes.pdf#page=3", "Notes, part | two", "Ice melts."),
    }


def test_what_an_error_says_and_what_people_write_is_no_passage() -> None:
    assert passages(shown(FOUND, is_error=True)) == {}
    assert "99" not in passages(shown(FOUND))


def test_marks_become_citations_once_each_in_the_order_of_first_use() -> None:
    answer = "Ice melts [2]. Water boils [1], as said [2]."
    assert cited(answer, shown(FOUND)) == [
        ("2", "notes.pdf#page=3", "Notes, part | two", "Ice melts."),
        ("1", "guide.md:12", "The guide", "Water boils\nat 100 degrees."),
    ]


def test_a_mark_whose_source_nobody_knows_is_left_out() -> None:
    assert cited("So it is [7], says a[0] and [x].", shown(FOUND)) == []


def test_the_list_at_the_end_says_which_source_a_mark_is_and_is_no_use_of_it() -> None:
    answer = "Water boils [3].\n\nSources:\n[3] guide.md:12 | The guide\n[4] never.md:1 | Never used"
    known = (Source("guide.md:12", "other title", "as an earlier stage quoted it"),)
    assert cited(answer, known=known) == [("3", "guide.md:12", "The guide", "as an earlier stage quoted it")]


def test_the_answers_own_list_wins_over_passages_of_the_same_number_and_the_quote_follows_the_place() -> None:
    answer = "Ice melts [1].\nSources:\n[1] notes.pdf#page=3 | Notes"
    assert cited(answer, shown(FOUND)) == [("1", "notes.pdf#page=3", "Notes", "Ice melts.")]


def test_without_words_of_the_document_the_statement_itself_is_the_quote() -> None:
    answer = "Intro.\n- Salt water boils later [5].\nSources:\n[5] sea.md:1 | Sea"
    assert cited(answer) == [("5", "sea.md:1", "Sea", "Salt water boils later .")]


def test_a_quote_is_bounded() -> None:
    long = "[1] a.md:1 | A\n" + "x" * 5000
    assert len(cited("It is [1].", shown(long))[0][3]) == QUOTE_CHARACTERS


def test_a_list_of_sources_is_read_back_as_it_was_written() -> None:
    citations = [
        CitationAdded(source_id="2", title="A | B", location="a.md:1", quote="q"),
        CitationAdded(source_id="10", title="", location="b c.pdf#page=2", quote="q"),
    ]
    text = f"Answer [2] [10].\n\n{sources_list(citations)}"
    assert listed(text) == {"2": ("a.md:1", "A | B"), "10": ("b c.pdf#page=2", "")}
    assert listed("No list, but Sources: in a sentence\n[1] a | b") == {}


PAGE = {"type": "page_location", "cited_text": "Rivers\nrise.", "document_title": "Höhe.pdf", "document_index": 0}
PAGE |= {"start_page_number": 3, "end_page_number": 4}
WEB = {"type": "web_search_result_location", "url": "https://example.org/h", "title": None, "cited_text": "x" * 900}


def test_what_the_provider_cites_is_numbered_on_and_said_once() -> None:
    content = (
        TextBlock(text="A.", citations=(PAGE, WEB)),
        TextBlock(text="B."),
        TextBlock(text="C.", citations=(PAGE,)),
    )
    page, web = provider_citations(content, 2)
    assert (page.source_id, page.location, page.title, page.quote) == (
        "3",
        "Höhe.pdf#page=3",
        "Höhe.pdf",
        "Rivers rise.",
    )
    assert (web.source_id, web.location, web.title) == ("4", "https://example.org/h", "https://example.org/h")
    assert len(web.quote) == 300


@pytest.mark.parametrize(
    ("citation", "location"),
    [
        (
            {"type": "char_location", "document_index": 1, "start_char_index": 5, "end_char_index": 9},
            "document 1#characters=5-9",
        ),
        ({"type": "content_block_location", "document_title": "T", "start_block_index": 2}, "T#block=2"),
        ({"type": "search_result_location", "source": "notes/a.md", "title": "A"}, "notes/a.md"),
        ({"type": "dream_location", "url": "https://example.org"}, "https://example.org"),
    ],
)
def test_every_kind_of_place_has_words(citation: dict[str, Any], location: str) -> None:
    (found,) = provider_citations((TextBlock(text="A.", citations=(citation,)),), 0)
    assert found.location == location


def test_a_place_nobody_can_find_is_no_citation() -> None:
    strange = ({"type": "dream_location"}, {"cited_text": 5, "url": ["x"]})
    assert provider_citations((TextBlock(text="A.", citations=strange),), 0) == []
