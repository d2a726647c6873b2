"""What comes next in a run, as a table of logs and commands."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from runtime.events import catalog as ev
from runtime.events.attachments import Attachment
from runtime.events.envelope import Envelope
from runtime.events.fold import RunState, fold_all
from runtime.events.plan import Plan, Todo
from runtime.executor.decide import Await, Command, Done, Finish, MakePlan, RunStages, answer_of, decide

START = 1000.0
PLAN = Plan(
    todos=(
        Todo(id="a", title="A", agent="research"),
        Todo(id="b", title="B", agent="analysis"),
        Todo(id="c", title="C", agent="writing", depends_on=("a", "b")),
    )
)
Step = ev.Event | tuple[str, ev.Event]

ACCEPTED = ev.RunAccepted(input=ev.RunInput(question="Why?"), limits=ev.Limits(deadline_s=100.0))
STARTED = ev.RunStarted(epoch=1, owner="e", code_version="1")
PLANNED = ev.PlanCommitted(plan=PLAN)
ALLOWED = ev.GuardrailVerdict(allowed=True, category="none", reason="fine")
REFUSED = ev.GuardrailVerdict(allowed=False, category="malware", reason="it harms")
ASKED_TO_STOP = ev.RunCancelRequested(by="user")


def completed(todo: str, *, stop: str | None = None) -> Step:
    done = ev.StageCompleted(
        index=1, of=3, title=todo, todo=todo, output=f"out {todo}", summary="", context="", stop=stop
    )
    return todo, done


def failed(todo: str, decision: str, code: str = "stage_failed") -> Step:
    return todo, ev.StageFailed(todo=todo, title=todo, code=code, message="no", attempts=1, decision=decision)  # type: ignore[arg-type]


def state(*steps: Step) -> RunState:
    envelopes = []
    for seq, step in enumerate((ACCEPTED, STARTED, *steps), start=1):
        stage, event = step if isinstance(step, tuple) else (None, step)
        envelopes.append(Envelope(seq, 1, "r1", START, event, stage=stage))
    return fold_all(envelopes)


def command(
    steps: Sequence[Step], running: Sequence[str] = (), *, now: float = START + 1, parallel: int = 4
) -> Command:
    return decide(state(*steps), frozenset(running), now=now, max_parallel=parallel)


def in_words(given: Command) -> str:
    match given:
        case RunStages(stages=stages):
            return "run " + " ".join(stage.todo.id for stage in stages)
        case Finish(event=event):
            return event.type + (f" stopped: {event.stopped}" if getattr(event, "stopped", None) else "")
        case MakePlan():
            return "plan"
        case Await():
            return "await"
        case Done():
            return "done"


WRITTEN = (PLANNED, completed("a"), completed("b"), completed("c"))


@pytest.mark.parametrize(
    ("steps", "running", "expected"),
    [
        pytest.param((), (), "plan", id="nothing yet"),
        pytest.param((ALLOWED,), (), "plan", id="a verdict alone is no plan"),
        pytest.param((REFUSED,), (), "run.completed stopped: malware: it harms", id="refused"),
        pytest.param((REFUSED, PLANNED), (), "run.completed stopped: malware: it harms", id="refused, though planned"),
        pytest.param((ALLOWED, PLANNED), (), "run a b", id="all that depend on nothing"),
        pytest.param((PLANNED,), ("a",), "run b", id="beside one that runs"),
        pytest.param((PLANNED,), ("a", "b"), "await", id="nothing to start"),
        pytest.param((PLANNED, completed("a")), ("b",), "await", id="a join waits for both"),
        pytest.param((PLANNED, completed("a"), completed("b")), (), "run c", id="a join"),
        pytest.param((PLANNED, failed("a", "continue"), completed("b")), (), "run c", id="a join with a failure"),
        pytest.param((PLANNED, failed("a", "retry")), ("b",), "run a", id="a retry"),
        pytest.param((PLANNED, failed("a", "stop")), ("b",), "await", id="a stop waits for its sibling"),
        pytest.param((PLANNED, failed("a", "stop"), completed("b")), (), "run.failed", id="a stop after a failure"),
        pytest.param((PLANNED, completed("a", stop="enough")), (), "run.completed stopped: enough", id="an early end"),
        pytest.param((PLANNED, completed("a", stop="enough")), ("b",), "await", id="an early end waits"),
        pytest.param(WRITTEN, (), "run.completed", id="all written"),
        pytest.param((ASKED_TO_STOP,), (), "run.cancelled", id="cancelled before the plan"),
        pytest.param((PLANNED, ASKED_TO_STOP), ("a",), "run.cancelled", id="cancelled beside a stage"),
        pytest.param((*WRITTEN, ASKED_TO_STOP), (), "run.cancelled", id="cancelled before the end was written"),
        pytest.param((ASKED_TO_STOP, ev.RunCancelled(reason="user")), (), "done", id="cancelled and ended"),
        pytest.param((ev.RunCompleted(answer=""),), ("a",), "done", id="ended"),
    ],
)
def test_the_next_command_follows_from_the_log(steps: Sequence[Step], running: Sequence[str], expected: str) -> None:
    assert in_words(command(steps, running)) == expected


@pytest.mark.parametrize("steps", [(), (PLANNED,), (PLANNED, completed("a")), WRITTEN])
def test_past_its_deadline_a_run_expires_with_what_was_completed(steps: Sequence[Step]) -> None:
    given = command(steps, now=START + 100.5)
    assert isinstance(given, Finish)
    assert isinstance(given.event, ev.RunExpired)
    assert given.event.completed == state(*steps).outputs()
    assert in_words(command(steps, now=START + 99.5)) != "run.expired"


def test_a_cancel_wins_over_the_deadline_and_an_end_over_both() -> None:
    assert in_words(command((ASKED_TO_STOP,), now=START + 1e6)) == "run.cancelled"
    assert in_words(command((ASKED_TO_STOP, ev.RunCancelled(reason="user")), now=START + 1e6)) == "done"


@pytest.mark.parametrize(
    ("parallel", "running", "expected"), [(1, (), "run a"), (1, ("a",), "await"), (2, ("a",), "run b")]
)
def test_no_more_stages_run_side_by_side_than_allowed(parallel: int, running: Sequence[str], expected: str) -> None:
    assert in_words(command((PLANNED,), running, parallel=parallel)) == expected


@pytest.mark.parametrize(
    ("code", "layer", "retryable"),
    [
        ("overloaded", "model", True),
        ("rate_limited", "model", True),
        ("stream_broken", "model", True),
        ("model_unauthorized", "model", False),
        ("request_rejected", "model", False),
        ("refused", "model", False),
        ("stage_timeout", "agent", True),
    ],
)
def test_a_failed_run_says_where_it_failed_and_whether_another_try_helps(
    code: str, layer: str, retryable: bool
) -> None:
    given = command((PLANNED, completed("b"), failed("a", "stop", code)))
    assert isinstance(given, Finish)
    event = given.event
    assert isinstance(event, ev.RunFailed)
    assert (event.code, event.layer, event.retryable) == (code, layer, retryable)
    assert event.resume.possible
    assert event.resume.how.startswith("POST /v1/runs/r1/resume" if retryable else "First change what the message")
    assert [output.stage for output in event.completed] == ["b"]


def test_the_answer_is_what_the_last_stages_said_or_else_the_last_completed() -> None:
    assert answer_of(state()) == ""
    assert answer_of(state(PLANNED, completed("a"))) == "out a"
    assert answer_of(state(*WRITTEN)) == "out c"


def test_a_completed_run_carries_its_note_and_its_outputs() -> None:
    given = decide(state(*WRITTEN), frozenset(), now=START + 7, max_parallel=4, note="made by a script")
    assert isinstance(given, Finish)
    assert isinstance(given.event, ev.RunCompleted)
    assert (given.event.note, given.event.elapsed_s) == ("made by a script", 7.0)
    assert [o.stage for o in given.event.outputs] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("models", "note"),
    [
        ({"research": "anthropic:m", "analysis": "anthropic:m", "writing": "anthropic:m"}, "Known."),
        (
            {"research": "offline:x", "analysis": "anthropic:m", "writing": "local:y"},
            "Known. The attachment was left out (a.pdf): the models of research, writing read words only.",
        ),
    ],
)
def test_the_note_says_what_models_could_not_see(models: dict[str, str], note: str) -> None:
    attached = (Attachment(type="pdf", url="https://example.org/a.pdf", name="a.pdf"),)
    accepted = ev.RunAccepted(input=ev.RunInput(question="Why?", attachments=attached))
    started = ev.RunStarted(epoch=1, owner="e", code_version="1", models=models)
    steps: list[Step] = [accepted, started, ALLOWED, PLANNED, completed("a"), completed("b"), completed("c")]
    done = decide(state(*steps), frozenset(), now=START + 1, max_parallel=4, note="Known.")
    assert isinstance(done, Finish)
    assert done.event.note == note  # type: ignore[union-attr]
