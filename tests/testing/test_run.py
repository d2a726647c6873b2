"""A question asked in process, as users' tests do: its events, and the same after its process was lost."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.bootstrap.models import StandIn
from runtime.config import Settings
from runtime.errors import InvalidRequest
from runtime.events import catalog as ev
from runtime.events.plan import Todo
from runtime.testing import RunEvents, answers, ask, calls, fails, plans, says, scripted

FIND = Todo(id="find", title="Work it out", agent="analysis")
WRITE = Todo(id="write", title="Write it", agent="writing", depends_on=("find",))


def models() -> StandIn:
    return scripted(
        plans(FIND, WRITE),
        calls("analysis", "calculate", expression="6 * 7"),
        says("analysis", "It is 42."),
        says("writing", "The answer is **42**."),
    )


@pytest.fixture(params=["memory", "sqlite"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Settings]:
    log = "memory:" if request.param == "memory" else f"sqlite:{tmp_path / 'log.db'}"
    return Settings(model="scripted", log=log, data_dir=tmp_path)


async def test_a_question_is_answered_as_the_script_says() -> None:
    run = await ask("What is 6 * 7?", models())
    run.assert_grammar()
    assert isinstance(run.end, ev.RunCompleted)
    [called] = run.of(ev.ToolCalled)
    assert (called.name, called.arguments) == ("calculate", {"expression": "6 * 7"})
    assert [done.result for done in run.of(ev.ToolCompleted, stage="find")] == ["42"]
    assert run.of(ev.ToolCompleted, stage="write") == []
    assert run.text("write") == "The answer is **42**."
    assert run.types()[0] == "run.accepted"
    assert "turn.delta" not in run.types()
    assert run.state.status == "completed"


async def test_a_failure_of_the_script_is_recovered_from() -> None:
    run = await ask(
        "Why?",
        scripted(
            plans(WRITE.model_copy(update={"depends_on": ()})),
            fails("writing", "ModelOverloaded", after=1, then="So it is."),
        ),
    )
    assert [retry.failure for retry in run.of(ev.RecoveryRetrying)] == ["overloaded"]
    assert run.text("write") == "So it is."


async def test_a_guardrail_of_ones_own_stops_the_run() -> None:
    refusing = scripted(plans(FIND), answers("guardrail", allowed=False, category="other", reason="not today"))
    run = await ask("Why?", refusing)
    assert run.of(ev.StageStarted) == []
    run.assert_grammar()


@pytest.mark.parametrize("event", [1, 3, 12, 20])
async def test_a_lost_process_is_followed_by_another_that_ends_the_run(settings: Settings, event: int) -> None:
    run = await ask("What is 6 * 7?", models(), settings, kill_at=event)
    run.assert_grammar()
    assert isinstance(run.end, ev.RunCompleted)
    assert run.text("write") == "The answer is **42**."
    assert len(run.of(ev.ToolCalled)) == 1
    assert len(run.of(ev.RunStarted)) == (1 if event == 1 else 2), "one owner before the loss, one after"


async def test_a_run_that_ends_before_its_process_is_lost_says_so() -> None:
    with pytest.raises(LookupError, match="never came to event 5000"):
        await ask("Why?", models(), kill_at=5000)


async def test_a_log_that_breaks_the_grammar_is_noticed() -> None:
    run = await ask("What is 6 * 7?", models())
    twice = RunEvents([*run[:-1], run[-2], run[-1]])
    with pytest.raises(AssertionError, match="seq is not"):
        twice.assert_grammar()
    with pytest.raises(AssertionError, match="no terminal event"):
        run[:-1].assert_grammar()  # type: ignore[union-attr]


async def test_processes_are_lost_side_by_side_without_touching_each_other() -> None:
    asked = [ask("What is 6 * 7?", models(), kill_at=event) for event in (5, None, 9)]
    for run in await asyncio.gather(*asked):
        run.assert_grammar()
        assert run.text("write") == "The answer is **42**."


async def test_nothing_is_left_of_a_run_that_takes_too_long() -> None:
    others = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        await ask("Why?", scripted(plans(FIND), says("analysis", "word " * 500), rate=5), within_s=0.5)
    assert asyncio.all_tasks() == others


async def test_a_question_that_is_refused_is_told_as_the_client_tells_it() -> None:
    with pytest.raises(InvalidRequest, match="deadline_s"):
        await ask("Why?", models(), deadline_s=0)
