"""What a run takes along of its conversation: never more than fits, the newest first of all, the same every time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.events.history import SHORT_BYTES, WHOLE_BYTES, Cited, Exchange, History, compact


def said(n: int, answer: str = "Yes.", **more: object) -> Exchange:
    return Exchange(run_id=f"r{n}", question=f"{n}?", answer=answer, at=float(n), **more)  # type: ignore[arg-type]


def size(history: History, *, shortened: bool) -> int:
    chosen = (one for one in history.exchanges if one.shortened == shortened)
    return sum(len((one.question + one.answer).encode()) for one in chosen)


LONG = "\n\n".join(["First line.", "Second line.", "Third line.", "x" * 9_000])
texts = st.integers(0, 6_000).map(lambda n: "a\u20ac\n" * n)
conversations = st.lists(st.builds(said, st.integers(0, 99), texts), max_size=40)


def test_a_short_conversation_is_kept_as_it_was() -> None:
    exchanges = [said(n) for n in range(30)]
    assert compact(exchanges) == History(exchanges=tuple(exchanges))


def test_nothing_said_is_nothing_kept() -> None:
    assert compact([]) == History()


def test_older_exchanges_keep_their_question_and_the_first_lines_of_the_answer() -> None:
    kept = compact([said(n, LONG, sources=(Cited(title="T", location=f"{n}.md:1"),)) for n in range(5)])
    assert [one.shortened for one in kept.exchanges] == [True, True, True, False, False]
    assert kept.exchanges[-1].answer == LONG
    assert (kept.exchanges[0].question, kept.exchanges[0].answer) == ("0?", "First line.\nSecond line.\nThird line.")
    assert kept.exchanges[0].sources == (Cited(title="T", location="0.md:1"),)
    assert kept.left_out == 0


def test_the_oldest_are_left_out_and_counted() -> None:
    exchanges = [said(n, "y" * 590 + "\n" + "x" * 9_000) for n in range(40)]
    kept = compact(exchanges, left_out=3)
    assert 0 < len(kept.exchanges) < 40
    assert kept.left_out == 3 + 40 - len(kept.exchanges)
    assert [one.run_id for one in kept.exchanges] == [f"r{n}" for n in range(40)][-len(kept.exchanges) :]


def test_an_endless_answer_is_cut_and_still_the_newest() -> None:
    (kept,) = compact([said(1, "\u20ac" * 200_000)]).exchanges
    assert not kept.shortened
    assert kept.answer.endswith(" \u2026")
    assert 10_000 < len(kept.answer.encode()) <= 16_000


@given(conversations)
def test_what_is_kept_never_grows_beyond_its_bounds(exchanges: list[Exchange]) -> None:
    kept = compact(exchanges)
    assert size(kept, shortened=False) <= WHOLE_BYTES
    assert size(kept, shortened=True) <= SHORT_BYTES
    assert kept.left_out + len(kept.exchanges) == len(exchanges)
    assert [one.run_id for one in kept.exchanges] == [one.run_id for one in exchanges[kept.left_out :]]
    assert not exchanges or not kept.exchanges[-1].shortened


@given(conversations)
def test_what_is_compact_stays_as_it_is(exchanges: list[Exchange]) -> None:
    once = compact(exchanges)
    assert compact(once.exchanges, once.left_out) == once
