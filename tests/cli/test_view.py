"""The live picture and the ending, for runs written by hand, against the pictures in ``golden/``.

``UPDATE_GOLDEN=1`` writes them anew; the diff is then what a person reviews.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from runtime.cli.activity import Activity
from runtime.cli.ending import render_ending
from runtime.cli.plain import Plain
from runtime.cli.terminal import last_lines, one_line, safe
from runtime.cli.view import Size, render
from runtime.events import catalog as ev
from runtime.events.catalog import TurnDelta
from runtime.events.envelope import Stored
from runtime.events.fold import RunState, fold
from runtime.events.plan import Plan, Todo
from runtime.events.texts import Texts
from tests.cli import runs_by_hand as by_hand
from tests.client.raw_server import stored
from tests.events.samples import envelope as placed
from tests.events.samples import numbered

GOLDEN = Path(__file__).parent / "golden"
RUNS = {
    "running": by_hand.RUNNING,
    "success": by_hand.SUCCESS,
    "guarded": by_hand.GUARDED,
    "failed": by_hand.FAILED,
    "limited": by_hand.LIMITED,
    "doubtful": by_hand.DOUBTFUL,
    "cancelled": by_hand.CANCELLED,
    "hostile": by_hand.HOSTILE,
    "resumed": by_hand.RESUMED,
}


@pytest.fixture(autouse=True)
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Times of day are shown as the terminal's; the goldens' is UTC."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def picture(log: list[Stored], size: Size | None = None) -> str:
    state, texts, activity = RunState(), Texts(), Activity()
    for envelope in by_hand.envelopes(log):
        state = fold(state, envelope)
        texts.apply(envelope)
        activity.apply(envelope)
    size = size or Size(100, 40)
    console = Console(record=True, width=size.width, file=io.StringIO(), color_system=None)
    console.print(render(state, texts, activity, 1_700_000_030.0, size))
    console.print(render_ending(state))
    return "\n".join(line.rstrip() for line in console.export_text().splitlines()) + "\n"


def lines(log: list[Stored]) -> str:
    state, plain, said = RunState(), Plain(), []
    for envelope in by_hand.envelopes(log):
        state = fold(state, envelope)
        said += plain.lines(state, envelope)
    return "\n".join(said) + "\n"


def compare(name: str, shown: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(shown)
    assert shown == path.read_text()


@pytest.mark.parametrize("name", RUNS)
def test_picture(name: str) -> None:
    compare(f"{name}.picture.txt", picture(RUNS[name]))


@pytest.mark.parametrize("name", RUNS)
def test_plain_lines(name: str) -> None:
    compare(f"{name}.lines.txt", lines(RUNS[name]))


def test_a_document_cannot_command_the_terminal() -> None:
    for shown in (picture(by_hand.HOSTILE), lines(by_hand.HOSTILE)):
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "\u202e" not in shown
        assert "[red]not markup[/red]" in shown
    assert safe("a\x1b]0;title\x07b\x9b2Jc") == "ab2Jc"


def test_a_tall_text_shows_its_end_and_never_outgrows_the_screen() -> None:
    tall = "".join(f"line {i}\n" for i in range(500))
    delta = by_hand.staged("find", "research", TurnDelta(text=tall))
    log = stored([*by_hand.beginning(), *by_hand.find_begins(), *delta])
    shown = picture(log, Size(80, 24))
    assert "line 499" in shown
    assert "line 400" not in shown
    assert len(shown.splitlines()) <= 24


def test_lines_hold_a_parallel_stages_text_apart() -> None:
    a = by_hand.turn("find", "research", "alpha " * 40)
    b = by_hand.turn("write", "writing", "beta " * 40)
    mixed = [item for pair in zip(a, b, strict=False) for item in pair] + a[len(b) :] + b[len(a) :]
    shown = lines(stored([*by_hand.beginning(), *by_hand.find_begins(), *mixed]))
    for line in shown.splitlines():
        assert not ("alpha" in line and "beta" in line)
    assert shown.count("alpha") == shown.count("beta") == 40


def test_a_delegates_lines_say_whose_they_are_and_its_calls_are_told_apart() -> None:
    plan = ev.PlanCommitted(plan=Plan(todos=(Todo(id="s", title="T", agent="lead"),)))
    log = numbered(
        plan,
        placed(ev.TurnDelta(text="mine\n"), stage="s", agent="lead", turn=1, attempt=1),
        placed(ev.TurnDelta(text="theirs\n"), stage="s", agent="helper", turn=1, attempt=1, call="1.d1"),
        placed(ev.ToolCalled(call_id="c", name="act", arguments={}), stage="s", agent="lead"),
        placed(ev.ToolCalled(call_id="c", name="act", arguments={}), stage="s", agent="helper", call="1.d1"),
    )
    state, plain, activity, lines = RunState(), Plain(), Activity(), list[str]()
    for one in log:
        state = fold(state, one)
        activity.apply(one)
        lines += plain.lines(state, one)
    assert lines[-4:] == ["[1] | mine", "[1 helper] | theirs", "[1] tool act()", "[1 helper] tool act()"]
    assert len(activity.of("s").calls) == 2


def test_text_without_deltas_is_still_said() -> None:
    drafts = by_hand.turn("find", "research", "All at once.", number=2)
    whole = [d for d in drafts if not isinstance(d.event, TurnDelta)]
    assert "[1] | All at once." in lines(stored([*by_hand.beginning(), *by_hand.find_begins(), *whole]))


def test_what_is_in_doubt_stays_in_sight_when_its_step_is_over() -> None:
    over = ev.StageFailed(todo="find", title="t", code="stage_timeout", message="m", attempts=1, decision="continue")
    doubt = ev.ToolOutcomeUnknown(call_id="c1", name="book_room", known="its process was lost")
    log = stored([*by_hand.beginning(), *by_hand.find_begins(), *by_hand.staged("find", "research", doubt, over)])
    assert "book_room may or may not have had its effect" in picture(log)


@pytest.mark.parametrize(
    ("limit", "said"), [(0.5, "this run's $0.5, which"), (None, "the budget: the server's budget")]
)
def test_the_end_of_a_budget_says_which_it_may_have_been(limit: float | None, said: str) -> None:
    accepted = ev.RunAccepted(input=ev.RunInput(question="q"), limits=ev.Limits(budget_usd=limit))
    hint = ev.ResumeHint(possible=True, how="resume it")
    ended = ev.RunFailed(code="budget_exceeded", message="m", layer="executor", retryable=True, resume=hint)
    for shown in (picture(stored([accepted, ended])), lines(stored([accepted, ended]))):
        assert said in shown
        assert "trying again" not in shown


def test_short_words() -> None:
    assert one_line("a\n b\t c", 10) == "a b c"
    assert one_line("x" * 20, 10) == "x" * 9 + "…"
    assert last_lines("# one\n\ntwo\n\n", 80, 5) == ["one", "", "two"]
