"""The model-fault matrix (JOURNAL.md, end of section 2): each fault has one outcome, in the log and at the provider.

Through the real SDK over real HTTP, with the whole stage loop over a real hub and log. ``REPEATS`` (3; 20 in the long tier)
and ``SEED`` come from the environment; the seed makes the jitter.
"""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest

from runtime import errors
from runtime.events import catalog as ev
from runtime.events.envelope import Envelope
from runtime.events.messages import text_of
from runtime.recovery.policy import RetryPolicy
from runtime.tools.tool import tool
from tests.checker import check_run
from tests.fakes import messages_assistant as assistant
from tests.fakes.messages_faults import MATRIX
from tests.faults.report import record
from tests.faults.stage import Stage, stage

REPEATS = int(os.environ.get("REPEATS", "3"))
SEED = os.environ.get("SEED") or str(random.SystemRandom().randrange(10**6))
MAX_TURNS = 3

WITHDRAWN = ("turn.started", "turn.superseded", "recovery.retrying")
FAILED = ("turn.started", "turn.failed")
COMPLETED = ("turn.started", "turn.completed")
TOLD = (*COMPLETED, "tool.arguments_invalid")

Pauses = Callable[[list[float]], bool]


def jittered(slept: list[float]) -> bool:
    """Full jitter under 0.5, 1 and 2 seconds."""
    return len(slept) == 3 and all(0 <= s <= ceiling for s, ceiling in zip(slept, (0.5, 1.0, 2.0), strict=True))


def exactly(seconds: float) -> Pauses:
    return lambda slept: slept == [seconds] * 3


def until_the_date(slept: list[float]) -> bool:
    """The date is 30 s after the call, in whole seconds; a busy machine may read it late."""
    return len(slept) == 3 and all(25 <= s <= 30 for s in slept)


def none(slept: list[float]) -> bool:
    return slept == []


@dataclass(frozen=True)
class Case:
    """What one fault, met at every call, comes to."""

    events: tuple[str, ...]
    """Types the agent writes, deltas left out."""
    calls: int
    """Calls the provider saw."""
    outcome: str
    """The reason of the stage's failure; ``answer`` or ``partial`` when it has a result."""
    shown: bool = False
    """Whether words came before the fault."""
    billed: bool = False
    """Whether the provider may have worked for an attempt that failed."""
    pauses: Pauses = none
    words: str = ""
    """Part of what is said about it."""


def repeated(outcome: str, pauses: Pauses = jittered, *, midstream: bool = False, words: str = "") -> Case:
    """Four attempts, then the turn fails."""
    return Case(WITHDRAWN * 3 + FAILED, 4, outcome, midstream, midstream, pauses, words)


CASES: dict[str, Case] = {
    "429-0.2": repeated("rate_limited", exactly(0.2)),
    "429-90": repeated("rate_limited", exactly(90.0)),
    "429-date": repeated("rate_limited", until_the_date),
    "429-garbage": repeated("rate_limited"),
    "529": repeated("overloaded"),
    "500": repeated("overloaded"),
    "500-no-retry": Case(FAILED, 1, "request_rejected"),
    "error-event": repeated("overloaded", midstream=True),
    "rst": repeated("stream_broken", midstream=True),
    "fin": repeated("stream_broken", midstream=True),
    "clean-eof": repeated("stream_broken", midstream=True),
    "stall": repeated("model_timeout", midstream=True, words="no further content for 0.35 s"),
    "ping-stall": repeated("model_timeout", midstream=True, words="no further content for 0.35 s"),
    "malformed-sse": repeated("protocol_error", midstream=True),
    "cut-tool-json": Case(TOLD * MAX_TURNS, MAX_TURNS, "turn_limit", shown=True),
    "cut-tool-json-max-tokens": Case(TOLD * MAX_TURNS, MAX_TURNS, "turn_limit", shown=True),
    "refusal": Case(COMPLETED, 1, "refused", shown=True),
    "pause-turn": Case(COMPLETED * 9, 9, "too_many_pauses", shown=True),
    "max-tokens": Case(COMPLETED, 1, "partial", shown=True),
    "context-window": Case(COMPLETED, 1, "context_overflow", shown=True),
    "unknown-stop": Case(FAILED, 1, "protocol_error", shown=True, billed=True),
}
FAILING = tuple(fault for fault, case in CASES.items() if FAILED[1] in case.events)
PASSING = tuple(fault for fault in FAILING if CASES[fault].calls == 4)
SHORT = ("cut-tool-json", "cut-tool-json-max-tokens")
"""Faults that would go on as long as the stage's turns."""

tally: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def report(request: pytest.FixtureRequest) -> Iterator[None]:
    failed = request.session.testsfailed
    yield
    capture = request.config.pluginmanager.getplugin("capturemanager")
    figures = f"{tally['cases']} cases of {len(CASES)} faults, {tally['recoveries']} recoveries, {tally['calls']} calls"
    with capture.global_and_fixture_disabled():
        print(f"\nmodel faults: {figures}; SEED={SEED} REPEATS={REPEATS}")
        wrong = request.session.testsfailed - failed
        what = f"{len(CASES)} faults of models, each with one classification"
        record(promise="P5, P7", what=what, n=tally["cases"], violations=wrong, seed=SEED, floor=figures)


@pytest.fixture
async def on(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    async with stage(seed=f"{SEED}:{request.node.name}") as made:
        yield made
        tally["calls"] += len(made.server.calls)


reads: list[str] = []


@tool
def read(path: str) -> str:
    """Read a file: what the cut calls ask for."""
    reads.append(path)
    return "words"


@tool
def search_documents(query: str) -> str:
    """Search: what the fake assistant calls once when it may."""
    reads.append(query)
    return "found"


async def outcome_of(on: Stage, *models: str, **more: object) -> str:
    try:
        result = await on.ask(*models, **more)
    except errors.StageFailed as failure:
        return failure.reason
    return "partial" if result.partial else "answer"


async def kept(on: Stage) -> list[Envelope]:
    """The stage's events without deltas; the whole log is held to the grammar on the way."""
    check_run(await on.hub.read("run-1", after=0), ended=False)
    return [e for e in await on.stage_log() if e.event.type != "turn.delta"]


async def shown(on: Stage, attempt: int) -> str:
    log = await on.stage_log()
    return "".join(e.event.text for e in log if isinstance(e.event, ev.TurnDelta) and e.attempt == attempt)


def test_the_table_has_every_fault_of_the_matrix() -> None:
    assert CASES.keys() == MATRIX.keys()
    assert len(CASES) == 21


@pytest.mark.parametrize("again", range(REPEATS))
@pytest.mark.parametrize("fault", CASES)
async def test_each_fault_has_one_outcome(on: Stage, fault: str, again: int) -> None:
    case, more = CASES[fault], {"max_turns": MAX_TURNS} if fault in SHORT else {}
    reads.clear()
    assert await outcome_of(on, f"fault-{fault}", tools=[read], **more) == case.outcome
    log = await kept(on)
    assert tuple(e.event.type for e in log) == case.events
    assert len(on.server.calls) == case.calls
    assert case.pauses(on.clock.slept), on.clock.slept
    assert bool(await shown(on, 1)) == case.shown
    assert reads == [], "a call that was cut is never executed"
    ended = [e.event for e in log if isinstance(e.event, ev.TurnSuperseded | ev.TurnFailed)]
    assert [e.spent_cost_usd == (e.released_cost_usd if case.billed else 0.0) for e in ended] == [True] * len(ended)
    assert {e.reason if isinstance(e, ev.TurnSuperseded) else e.code for e in ended} <= {case.outcome}
    said = [e.event.message for e in log if isinstance(e.event, ev.RecoveryRetrying | ev.TurnFailed)]
    assert all(case.words in words for words in said)
    await on.money_adds_up()
    tally["cases"] += 1


@pytest.mark.parametrize("again", range(REPEATS))
@pytest.mark.parametrize("fault", PASSING)
async def test_a_fault_that_passes_costs_one_attempt_and_no_word(on: Stage, fault: str, again: int) -> None:
    result = await on.ask(f"flaky-1-{fault}")
    assert tuple(e.event.type for e in await kept(on)) == WITHDRAWN + COMPLETED
    assert len(on.server.calls) == 2
    words = assistant.paragraph(on.server.calls[-1].body, 0)
    (completed,) = await on.events(ev.TurnCompleted)
    assert (result.text, text_of(completed.content), await shown(on, 2)) == (words, words, words)
    await on.money_adds_up()
    tally["recoveries"] += 1


@pytest.mark.parametrize("fault", sorted(set(CASES) - set(FAILING) - {"refusal", "context-window", "max-tokens"}))
async def test_a_stop_that_is_no_failure_withdraws_nothing_and_the_stage_goes_on(on: Stage, fault: str) -> None:
    result = await on.ask(f"flaky-1-{fault}", tools=[read])
    types = [e.event.type for e in await kept(on)]
    assert (types.count("turn.completed"), types.count("turn.superseded"), len(on.server.calls)) == (2, 0, 2)
    assert result.text == assistant.paragraph(on.server.calls[-1].body, 0)


@pytest.mark.parametrize("fault", FAILING)
async def test_a_completed_turn_and_its_tools_are_not_repeated_for_a_fault_in_the_next(on: Stage, fault: str) -> None:
    reads.clear()
    case = CASES[fault]
    assert await outcome_of(on, f"late-1-{fault}", tools=[search_documents]) == case.outcome
    assert (len(on.server.calls), len(reads)) == (1 + case.calls, 1)
    turns = [e.turn for e in await kept(on) if e.event.type == "turn.started"]
    assert turns == [1] + [2] * case.calls


@pytest.mark.parametrize("fault", FAILING)
async def test_when_a_model_fails_for_good_the_next_one_answers(on: Stage, fault: str) -> None:
    case = CASES[fault]
    result = await on.ask(f"fault-{fault}", "other")
    fell = ("turn.started", "turn.superseded", "recovery.fell_back")
    assert tuple(e.event.type for e in await kept(on)) == WITHDRAWN * (case.calls - 1) + fell + COMPLETED
    assert [c.model for c in on.server.calls] == [f"fault-{fault}"] * case.calls + ["other"]
    if case.shown:
        assert await shown(on, case.calls) != "", "part of an answer was shown, and withdrawn"
    words = assistant.paragraph(on.server.calls[-1].body, 0)
    assert (result.text, await shown(on, case.calls + 1)) == (words, words)
    await on.money_adds_up()


@pytest.mark.parametrize(("fault", "reason"), [("refusal", "refused"), ("context-window", "context_overflow")])
async def test_a_model_that_declines_is_not_asked_again_but_the_next_one_is(on: Stage, fault: str, reason: str) -> None:
    result = await on.ask(f"fault-{fault}", "other")
    fell = ("turn.started", "turn.superseded", "recovery.fell_back")
    assert tuple(e.event.type for e in await kept(on)) == fell + COMPLETED
    (withdrawn,) = await on.events(ev.TurnSuperseded)
    assert withdrawn.reason == reason
    assert 0 < withdrawn.spent_cost_usd < withdrawn.released_cost_usd, "the answer said what it cost"
    assert result.text == assistant.paragraph(on.server.calls[-1].body, 0)
    await on.money_adds_up()


@pytest.mark.parametrize(
    ("fault", "calls"), [("400-retry", 4), ("500-no-retry", 1), ("400", 1), ("404", 1), ("413", 1)]
)
async def test_a_provider_that_says_whether_to_repeat_is_believed(on: Stage, fault: str, calls: int) -> None:
    assert await outcome_of(on, f"fault-{fault}") in ("overloaded", "request_rejected")
    assert len(on.server.calls) == calls


@pytest.mark.parametrize(("fault", "pause"), [("429-ms", exactly(0.15)), ("429-negative", jittered)])
async def test_the_finer_pause_wins_and_a_senseless_one_is_none(on: Stage, fault: str, pause: Pauses) -> None:
    assert await outcome_of(on, f"fault-{fault}") == "rate_limited"
    assert pause(on.clock.slept), on.clock.slept


async def test_a_long_pause_parks_the_stage_with_its_turn_withdrawn_and_it_goes_on_after(on: Stage) -> None:
    with pytest.raises(errors.Parked) as caught:
        await on.ask("flaky-1-429-600")
    assert caught.value.wait_s == 600
    assert (tuple(e.event.type for e in await kept(on)), len(on.server.calls)) == (WITHDRAWN, 1)
    (said,) = await on.events(ev.RecoveryRetrying)
    assert (said.failure, said.delay_s) == ("rate_limited", 600.0)
    assert on.clock.slept == []
    await on.money_adds_up()
    await on.ask("flaky-1-429-600")
    attempts = [(e.turn, e.attempt) for e in await kept(on) if e.event.type == "turn.started"]
    assert attempts == [(1, 1), (1, 2)]


async def test_a_long_pause_is_not_waited_for_while_another_model_is_left(on: Stage) -> None:
    await on.ask("fault-429-600", "other")
    assert [c.model for c in on.server.calls] == ["fault-429-600", "other"]


async def test_a_pause_of_hours_is_a_failure(on: Stage) -> None:
    assert await outcome_of(on, "fault-429-7200") == "rate_limited"
    assert (tuple(e.event.type for e in await kept(on)), len(on.server.calls)) == (FAILED, 1)


async def test_a_call_that_does_not_fit_the_budget_is_not_made() -> None:
    async with stage(budget=1000) as on:
        with pytest.raises(errors.LimitExceeded) as caught:
            await on.ask("plain")
        assert (caught.value.reason, on.server.calls) == ("budget_exceeded", [])
        assert await on.types() == []


async def test_a_storm_never_spends_more_than_the_budget() -> None:
    async with stage(budget=160_000) as on:
        agent = on.asking("fault-rst", policy=RetryPolicy(attempts=1000))
        with pytest.raises(errors.LimitExceeded):
            await agent.run_stage(await on.dispatched())
        run = await on.run()
        calls = len(on.server.calls)
        assert calls == len(await on.events(ev.TurnStarted)) > 1
        assert run.spent <= 160_000 < run.spent + run.spent // calls, "not over the budget, and all of it usable"
        assert run.reserved == 0
