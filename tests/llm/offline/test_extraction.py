"""Statements come from the documents, word for word; markup, halves of code and table rulers do not."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.llm.offline.arrange import topic_query
from runtime.llm.offline.extract import choose, query_of
from runtime.llm.offline.passages import Passage, parse_read, parse_search
from runtime.llm.offline.question import understand
from runtime.llm.offline.sentences import condense, units
from runtime.llm.offline.statements import is_traceable, parse, untraceable
from runtime.llm.offline.words import key_words, language_of, terms

DOCUMENTS = Path(__file__).parents[2] / "fixtures" / "documents"


def said(name: str) -> list[str]:
    return [unit.text for unit in units(Passage(1, f"{name}:1", name, (DOCUMENTS / name).read_text()), 0)]


@pytest.mark.parametrize("path", sorted(DOCUMENTS.glob("*.md")), ids=lambda path: path.name)
def test_every_unit_of_a_real_document_is_traceable_in_any_piece_of_it(path: Path) -> None:
    lines = path.read_text().split("\n")
    for start in range(len(lines)):
        text = "\n".join(lines[start : start + 9])
        for unit in units(Passage(1, f"{path.name}:{start + 1}", path.name, text), 0):
            assert is_traceable(unit.text, text)
            assert not set(unit.text) & {"|", "#"} and "---" not in unit.text and "```" not in unit.text


def test_list_items_rows_and_short_code_are_statements() -> None:
    found = said("refund-policy.md")
    assert "Digital goods can be returned only when the download link was never used." in found
    assert "up to 500 €: a team lead; one working day" in found
    assert "To start a refund, run: `shopctl refund start ORDER`" in found
    assert not any("What can be returned" in text for text in found)


def test_long_code_is_never_quoted_nor_is_half_a_fence() -> None:
    assert not any("drain" in text for text in said("incident-guide.md"))
    tail = "        store(item)\n    return drain\n```\n\nThe review is written within three days."
    assert [u.text for u in units(Passage(1, "a:1", "a", tail), 0)] == ["The review is written within three days."]
    head = "The review is written within three days.\n\n```python\ndef drain(queue): return all of the items"
    assert [u.text for u in units(Passage(1, "a:1", "a", head), 0)] == ["The review is written within three days."]


def test_table_without_its_head_is_read_by_row() -> None:
    piece = "| up to 500 € | a team lead | one working day |\n| above 500 € | the finance department | three days |"
    assert [u.text for u in units(Passage(1, "a:1", "a", piece), 0)] == [
        "up to 500 €: a team lead; one working day",
        "above 500 €: the finance department; three days",
    ]


def test_lines_of_plain_text_are_not_run_together() -> None:
    found = said("onboarding-notes.md")
    assert "Run the test suite once to see that everything works" in found
    assert not any("Set up your machine" in text for text in found)


def units_of(text: str, location: str = "a.txt:1", title: str = "a") -> list[str]:
    return [unit.text for unit in units(Passage(1, location, title, text), 0)]


WRAPPED = """KEEPING

Copies
The archive is copied every night at half past two to the second site in
Arnsund. Once a week a full copy is written to tape. Tapes are kept for seven
years in the fireproof room.
Restoring
A restore is rehearsed every quarter."""


def test_wrapped_text_is_joined_where_the_next_word_had_no_room() -> None:
    assert units_of(WRAPPED) == [
        "The archive is copied every night at half past two to the second site in Arnsund.",
        "Once a week a full copy is written to tape.",
        "Tapes are kept for seven years in the fireproof room.",
        "A restore is rehearsed every quarter.",
    ]
    found = units(Passage(1, "a.txt:1", "a", WRAPPED.replace("\n\n", "\n")), 0)
    assert [unit.section for unit in found] == ["KEEPING: Copies"] * 3 + ["Restoring"]


def test_lines_that_were_ended_with_room_to_spare_are_items() -> None:
    text = "lamp meaning\nblue pairing is under way\ngreen a message came\nred the archive cannot be reached at all"
    assert units_of(text) == text.split("\n")[1:]


def test_rows_of_separated_values_are_statements_with_their_first_cell_in_front() -> None:
    text = "article,price in euro\nSpare battery pack,310\nHandle of brass,12"
    rows = ["article: price in euro", "Spare battery pack: 310", "Handle of brass: 12"]
    assert units_of(text, "prices.csv:1") == rows
    assert units_of(text.replace(",", "\t"), "prices.tsv:1") == rows
    assert not any(": " in one for one in units_of(text, "prices.txt:1"))


@pytest.mark.parametrize(
    "text", ['a,"open\nstill, here"', 'a "b" c,1\rd,2', '"', "", ",,,", "x," * 70_000], ids=range(6)
)
def test_odd_rows_are_left_out_and_never_an_error(text: str) -> None:
    assert all(is_traceable(one, text) for one in units_of(text, "a.csv:1"))


def test_of_a_comparison_only_what_names_its_side_is_said() -> None:
    asked = understand("Compare the Arnholm station and the Zork station in terms of rent")
    found = [
        *units(Passage(1, "a.md:1", "Arnholm", "The rent of the station is 1000 euro a year."), 0),
        *units(Passage(2, "zed.md:1", "Zed", "The rent of the Zed station is 90 euro a year."), 1),
        *units(Passage(3, "arnholm/b.txt:1", "b", "The rent is due for the station in March."), 2),
    ]
    arnholm, zork = (choose(found, topic_query(f"{side} (rent)", asked), 5).picked for side in asked.topics)
    assert {one.unit.source.location for one in arnholm} == {"a.md:1", "arnholm/b.txt:1"}
    assert zork == ()


def test_what_stands_under_the_topics_own_heading_is_chosen_without_naming_it() -> None:
    text = "Report before nine in the morning.\n\nFull pay goes on for eight weeks."
    other = "The sick bay of the ship has two beds and a lamp."
    found = [
        *units(Passage(1, "a.md:3", "Leave > Sick leave", text), 0),
        *units(Passage(2, "b.md:3", "Ship > Rooms", other), 1),
    ]
    chosen = [one.unit.text for one in choose(found, query_of("sick leave", "definition"), 5).picked]
    assert {"Report before nine in the morning.", "Full pay goes on for eight weeks."} <= set(chosen)


@pytest.mark.parametrize(
    ("question", "is_close"),
    [
        ("How much does a berth in the marina of Arnsund cost per night", False),
        ("Which company insures the second site of the archive", True),
        ("When is the archive copied to the second site", True),
    ],
)
def test_close_is_what_holds_half_of_the_questions_words_in_one_place(question: str, is_close: bool) -> None:
    found = units(Passage(1, "a.txt:1", "a", WRAPPED.replace("\n\n", "\n")), 0)
    assert choose(found, query_of(question, "plain"), 5).is_close == is_close


def test_condensing_only_deletes_and_keeps_what_limits() -> None:
    assert condense("However, refunds are paid within five days.", lambda _: 0) == "Refunds are paid within five days."
    long = "The log is slower " + "than the queue is " * 8 + "(measured in March) and kept (never in memory) on disk."
    assert "March" not in condense(long, lambda _: 0)
    assert "(never in memory)" in condense(long, lambda _: 0)


@pytest.mark.parametrize(
    ("question", "best"),
    [
        ("What is a refund?", "A refund is money we pay back for an order that was returned or never arrived."),
        ("What is an incident?", "An incident is an event that keeps customers from buying or paying."),
        ("Why are gift cards never refunded?", "Gift cards are never refunded because they can be passed on."),
        (
            "Is a declined card retried?",
            "A payment that times out is retried four times; a declined card is never retried.",
        ),
        ("How do I start a refund?", "To start a refund, run: `shopctl refund start ORDER`"),
        (
            "What is the log?",
            "The log is the durable record of everything that happened to an order; nothing is ever removed from it.",
        ),
    ],
)
def test_best_statement_answers_the_question(question: str, best: str) -> None:
    asked = understand(question)
    found = [
        unit
        for rank, path in enumerate(sorted(DOCUMENTS.glob("*.md")))
        for unit in units(Passage(rank + 1, f"{path.name}:1", path.name, path.read_text()), rank)
    ]
    choice = choose(found, query_of(asked.topics[0], asked.form), 5)
    assert choice.picked[0].unit.text == best
    assert choice.is_close


def test_what_is_said_twice_is_chosen_once() -> None:
    text = "Refunds are paid within five days.\n\nA refund is paid within five days.\n\nA refund needs an order number."
    chosen = choose(units(Passage(1, "a:1", "a", text), 0), query_of("When are refunds paid", "plain"), 5)
    assert len([one for one in chosen.picked if "five days" in one.unit.text]) == 1


def test_tool_results_are_read_back() -> None:
    found = parse_search("[1] a.md:3 | Title | with bar\nOne line.\n\nTwo lines.\n\n[2] b.pdf#page=4 | B\nOther.")
    assert [(p.number, p.path(), p.line(), p.text) for p in found] == [
        (1, "a.md", 3, "One line.\n\nTwo lines."),
        (2, "b.pdf", None, "Other."),
    ]
    assert parse_search("No passage matches.\nTry other words.") == []
    read = parse_read("a.md:7 | A\n7: First line here.\n8: \n9: Third.")
    assert [(p.location, p.text) for p in read] == [("a.md:7", "First line here.\n\nThird.")]
    assert parse_read("No such document.") == []


def test_untraceable_statement_is_named() -> None:
    answer = "- Refunds are quick. [1]\n- Refunds take years. [1]\nI think so.\n\nSources:\n[1] a.md:1 | A"
    assert untraceable(answer, {"a.md:1": "Refunds are mostly quick."}) == ("Refunds take years.", "I think so.")
    assert [s.text for s in parse(answer).statements] == ["Refunds are quick.", "Refunds take years."]


def test_languages_and_names_are_told_apart() -> None:
    assert [language_of(t) for t in ("the log is a record", "das ist der Hub und nicht die Tür", "", "🙂")] == [
        "en",
        "de",
        "en",
        "en",
    ]
    assert terms("StreamHub") == terms("stream hubs")
    assert key_words("这是什么？") and key_words("What is the thing?") == []


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.text(alphabet=st.sampled_from("abcd EF.|`*_#->:;()[]\n\"'1&é好"), max_size=80), max_size=8),
    st.text(max_size=30),
)
def test_nothing_is_invented_from_any_document(parts: list[str], question: str) -> None:
    text = "\n\n".join(["A log keeps each entry; and it (the log) is *durable*.", *parts])
    found = units(Passage(1, "a:1", "a", text), 0)
    for one in choose(found, query_of(f"{question} log entry", "plain"), 9).picked:
        assert is_traceable(one.unit.text, text)
