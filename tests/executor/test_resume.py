"""What a resumed run carries over, as a table of parents and wishes; nothing here runs."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from runtime.events import catalog as ev
from runtime.events.codec import encode
from runtime.events.envelope import Draft, Envelope, Stored
from runtime.events.fold import RunState, fold_all
from runtime.events.plan import Plan, Todo
from runtime.executor.decide import Finish, RunStages, decide
from runtime.executor.resume import Carried, Mistakes, Unresumable, carry_over, hint_of, kept, next_stage
from tests.checker import check_run

A = Todo(id="a", title="A", agent="research")
B = Todo(id="b", title="B", agent="analysis", depends_on=("a",))
C = Todo(id="c", title="C", agent="writing", depends_on=("b",))
D = Todo(id="d", title="D", agent="research")
PLAN = Plan(todos=(A, B, C, D))
"""A chain of three, and one beside it."""
AGENTS = ("analysis", "research", "writing")

ACCEPTED = ev.RunAccepted(input=ev.RunInput(question="Why?", metadata={"k": "v"}))
ALLOWED = ev.GuardrailVerdict(allowed=True, category="none", reason="fine")
REFUSED = ev.GuardrailVerdict(allowed=False, category="malware", reason="it harms")
TITLE = ev.TitleSet(title="A title")
Step = ev.Event | tuple[str, ev.Event]


def completed(todo: str, *, stop: str | None = None, carried_from: str | None = None) -> Step:
    done = ev.StageCompleted(
        index=9,
        of=9,
        title=todo,
        todo=todo,
        output=f"out {todo}",
        summary="s",
        context=f"context {todo}",
        stop=stop,
        carried_from=carried_from,
    )
    return todo, done


def failed(todo: str, decision: str) -> Step:
    return todo, ev.StageFailed(todo=todo, title=todo, code="x", message="no", attempts=1, decision=decision)  # type: ignore[arg-type]


def parent(*steps: Step, planned: bool = True, end: ev.Event | None = None) -> RunState:
    begun: list[Step] = [ACCEPTED, ev.RunStarted(epoch=1, owner="e", code_version="1"), TITLE, ALLOWED]
    begun += [ev.PlanCommitted(plan=PLAN)] if planned else []
    ended = end or ev.RunCancelled(reason="user")
    envelopes = []
    for seq, step in enumerate((*begun, *steps, ended), start=1):
        stage, event = step if isinstance(step, tuple) else (None, step)
        envelopes.append(Envelope(seq, 1, "parent", 1000.0, event, stage=stage))
    return fold_all(envelopes)


@pytest.mark.parametrize(
    ("done", "from_stage", "todos", "carried"),
    [
        ("", None, None, ""),
        ("a", None, None, "a"),
        ("ab", None, None, "ab"),
        ("abcd", None, None, "abcd"),
        ("d", None, None, "d"),
        ("bc", None, None, ""),  # what they stand on is missing
        ("ac", None, None, "a"),
        ("abcd", "b", None, "ad"),
        ("abcd", "a", None, "d"),
        ("abcd", "d", None, "abc"),
        ("ab", "c", None, "ab"),
        ("abcd", None, (C, D, A, B), "cdab"),  # another order is no change
        ("abcd", None, (A, B.model_copy(update={"title": "B, but better"}), C, D), "ad"),
        ("abcd", None, (A, B.model_copy(update={"agent": "research"}), C, D), "ad"),
        ("abcd", None, (A, B.model_copy(update={"depends_on": ()}), C, D), "ad"),
        ("abcd", None, (A, B, C.model_copy(update={"depends_on": ("b", "d")}), D), "abd"),
        ("abcd", None, (A, B, C, D, Todo(id="e", title="E", agent="writing", depends_on=("c",))), "abcd"),
        ("abcd", None, (C.model_copy(update={"depends_on": ()}),), ""),
        ("abcd", None, (A, B), "ab"),
        ("abcd", "b", (A, B), "a"),
    ],
)
def test_what_is_carried_over(done: str, from_stage: str | None, todos: tuple[Todo, ...] | None, carried: str) -> None:
    state = parent(*(completed(todo) for todo in done))
    plan = PLAN if todos is None else Plan(todos=todos)
    assert kept(state, plan, from_stage) == tuple(carried)


@pytest.mark.parametrize("decision", ["continue", "stop"])
def test_a_failed_step_and_what_went_on_without_it_are_run_again(decision: str) -> None:
    state = parent(completed("a"), failed("b", decision), completed("c"), completed("d"))
    assert kept(state, PLAN) == ("a", "d")
    assert next_stage(state) == "b"


def test_a_plan_whose_steps_are_not_in_order_of_need() -> None:
    plan = Plan(todos=(C, B, A))
    state = fold_all(
        [
            Envelope(1, 1, "p", 1.0, ev.PlanCommitted(plan=plan)),
            *(Envelope(2, 1, "p", 1.0, e, stage=s) for s, e in (completed("a"), completed("b"))),  # type: ignore[misc]
        ]
    )
    assert kept(state, plan) == ("b", "a")


def resumed(carried: Carried) -> list[Stored]:
    """The log a new run begins with."""
    accepted = Draft(ACCEPTED.model_copy(update={"resumed_from": "parent"}))
    records = [encode(draft, "child", 2000.0) for draft in (accepted, *carried.drafts)]
    return [Stored(n, 0, r.type, r.family, r.stage, r.body) for n, r in enumerate(records, start=1)]


def carry(state: RunState, **wishes: object) -> Carried:
    result = carry_over(state, **{"plan": None, "from_stage": None, "agents": AGENTS, **wishes})  # type: ignore[arg-type]
    assert isinstance(result, Carried), result
    return result


def test_the_new_log_is_whole_and_the_executor_goes_on_where_the_parent_ended() -> None:
    cited = ev.CitationAdded(source_id="1", title="Guide", location="guide.md:3", quote="So.")
    state = parent(("a", cited), completed("a"), completed("d"), failed("b", "stop"))
    envelopes = check_run(resumed(carry(state)), ended=False)
    assert [(e.event.type, e.stage) for e in envelopes] == [
        ("run.accepted", None),
        ("title.set", None),
        ("guardrail.verdict", None),
        ("plan.committed", None),
        ("citation.added", "a"),
        ("stage.completed", "a"),
        ("stage.completed", "d"),
    ]
    child = fold_all(envelopes)
    assert child.title == "A title"
    assert child.stages["a"].citations == (cited,)
    done = child.stages["d"].completed
    assert done is not None
    assert (done.output, done.context, done.index, done.of, done.carried_from) == ("out d", "context d", 4, 4, "parent")
    assert child.usage.output_tokens == 0
    command = decide(child, frozenset(), now=2001.0, max_parallel=4)
    assert isinstance(command, RunStages)
    assert [stage.todo.id for stage in command.stages] == ["b"]


@pytest.mark.parametrize("wrong", ["before the plan", "after the start", "twice"])
def test_the_grammar_knows_where_a_carried_stage_may_stand(wrong: str) -> None:
    log = resumed(carry(parent(completed("a"))))
    planned, done = log[-2:]
    assert (planned.type, done.type) == ("plan.committed", "stage.completed")
    if wrong == "before the plan":
        log[-2:] = [done, planned]
    elif wrong == "twice":
        log.append(done)
    else:
        started = encode(Draft(ev.RunStarted(epoch=1, owner="e", code_version="1")), "child", 2000.0)
        log.insert(-1, Stored(0, 1, started.type, started.family, None, started.body))
        log[-1] = done._replace(epoch=1)
    with pytest.raises(AssertionError, match="carried"):
        check_run([stored._replace(seq=n) for n, stored in enumerate(log, start=1)], ended=False)


def test_without_a_plan_only_the_input_is_carried() -> None:
    assert carry(parent(planned=False)) == Carried(None, (), ())


def test_a_given_plan_stands_in_for_one_that_never_came() -> None:
    carried = carry(parent(planned=False), plan=Plan(todos=(A,)))
    assert carried.stages == ()
    assert [draft.event.type for draft in carried.drafts] == ["title.set", "guardrail.verdict", "plan.committed"]


def test_a_plan_never_gets_past_a_guardrail_that_has_not_spoken() -> None:
    unjudged = fold_all([Envelope(1, 0, "p", 1.0, ACCEPTED), Envelope(2, 1, "p", 1.0, ev.RunCancelled(reason="user"))])
    result = carry_over(unjudged, plan=Plan(todos=(A,)), from_stage=None, agents=AGENTS)
    assert isinstance(result, Mistakes)
    assert result.found[0].where == ("plan",)
    assert carry(unjudged) == Carried(None, (), ())


def test_what_is_carried_twice_names_its_own_parent() -> None:
    carried = carry(parent(completed("a", carried_from="grandparent")))
    (done,) = [d.event for d in carried.drafts if isinstance(d.event, ev.StageCompleted)]
    assert done.carried_from == "parent"


def test_a_hooks_stop_is_not_carried_over() -> None:
    state = parent(completed("a", stop="that will do"), end=ev.RunCompleted(answer="out a", stopped="that will do"))
    child = fold_all(check_run(resumed(carry(state)), ended=False))
    assert isinstance(decide(child, frozenset(), now=2001.0, max_parallel=4), RunStages)


def test_a_cancelled_run_that_lacked_only_its_end_gets_it() -> None:
    child = fold_all(check_run(resumed(carry(parent(*(completed(t) for t in "abcd")))), ended=False))
    command = decide(child, frozenset(), now=2001.0, max_parallel=4)
    assert isinstance(command, Finish)
    assert command.event.type == "run.completed"


@pytest.mark.parametrize(
    ("wishes", "where"),
    [
        ({"from_stage": "zz"}, [("from_stage",)]),
        ({"from_stage": "d", "plan": Plan(todos=(A, B))}, [("from_stage",)]),
        ({"plan": Plan(todos=(A, Todo(id="x", title="X", agent="poet")))}, [("plan", "todos", 1, "agent")]),
        (
            {"plan": Plan(todos=(A.model_copy(update={"agent": "planner"}),)), "from_stage": "q"},
            [("plan", "todos", 0, "agent"), ("from_stage",)],
        ),
    ],
)
def test_a_wish_that_does_not_fit_is_pointed_at(wishes: dict[str, object], where: Sequence[tuple[object, ...]]) -> None:
    result = carry_over(parent(completed("a")), **{"plan": None, "from_stage": None, "agents": AGENTS, **wishes})  # type: ignore[arg-type]
    assert isinstance(result, Mistakes)
    assert [mistake.where for mistake in result.found] == where
    assert all(mistake.words for mistake in result.found)


def test_a_step_to_start_from_needs_a_plan() -> None:
    result = carry_over(parent(planned=False), plan=None, from_stage="a", agents=AGENTS)
    assert isinstance(result, Mistakes)


def test_a_completed_run_is_only_resumed_from_somewhere() -> None:
    state = parent(*(completed(t) for t in "abcd"), end=ev.RunCompleted(answer="out"))
    result = carry_over(state, plan=None, from_stage=None, agents=AGENTS)
    assert isinstance(result, Mistakes)
    assert result.found[0].where == ("from_stage",)
    assert carry(state, from_stage="c").stages == ("a", "b", "d")


def test_a_refused_request_is_not_resumed() -> None:
    refused = fold_all(
        [Envelope(1, 1, "p", 1.0, ACCEPTED), Envelope(2, 1, "p", 1.0, REFUSED), Envelope(3, 1, "p", 1.0, TITLE)]
    )
    for plan in (None, PLAN):
        result = carry_over(refused, plan=plan, from_stage=None, agents=AGENTS)
        assert isinstance(result, Unresumable)
        assert "it harms" in result.words
    assert hint_of(refused).possible is False


def test_a_plan_whose_agents_are_gone_needs_another() -> None:
    state = parent(completed("a"), completed("d"))
    result = carry_over(state, plan=None, from_stage=None, agents=("writing",))
    assert isinstance(result, Unresumable)
    assert "analysis" in result.words
    assert carry(state, agents=("writing", "analysis")).stages == ("a", "d")  # whoever did those is not needed again


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (parent(planned=False), "asks the same again from the start"),
        (parent(), "runs the same plan from its first step"),
        (parent(completed("a")), "goes on from the completed step"),
        (parent(completed("a"), completed("d")), "goes on from the 2 completed steps"),
    ],
)
def test_the_hint_names_path_and_command(state: RunState, words: str) -> None:
    hint = hint_of(state)
    assert hint.how == f"POST /v1/runs/parent/resume {words}; `headrace resume parent` does the same."
    first = hint_of(state, retryable=False)
    assert first.possible
    assert first.how.startswith("First change what the message names")
