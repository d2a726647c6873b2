"""Post-hooks decide what a stage's end means: go on, try again, or stop; users add theirs by import path."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import ConfigurationError
from runtime.events.catalog import CitationAdded
from runtime.events.plan import Plan, Todo
from runtime.pipeline.hooks import (
    BUILTIN_HOOKS,
    HOPELESS,
    Continue,
    Decision,
    Failure,
    Finished,
    Hook,
    Hooks,
    Retry,
    Stop,
    stop_when,
)

PLAN = Plan(
    todos=(
        Todo(id="find", title="Find", agent="research"),
        Todo(id="write", title="Write", agent="writing", depends_on=("find",)),
    )
)
CITED = CitationAdded(source_id="1", title="Guide", location="guide.md:3", quote="q")


def ended(todo: str = "find", **more: Any) -> Finished:
    base: dict[str, Any] = {"question": "Why?", "plan": PLAN, "todo": PLAN.todo(todo), "index": 1, "tries": 1}
    return Finished(**{**base, "completed": frozenset(), "output": "Found [1].", **more})


def failed(todo: str = "find", code: str = "overloaded", **more: Any) -> Finished:
    return ended(todo, output="", failure=Failure(code, "the provider is away"), **more)


async def decide(done: Finished, *more: Hook) -> Decision:
    return await Hooks((*BUILTIN_HOOKS, *more)).decide(done)


async def test_an_answer_goes_on_to_the_stages_that_depend_on_it() -> None:
    assert await decide(ended()) == Continue("Found [1].")


async def test_later_stages_are_given_the_sources_once() -> None:
    handed_on = "Found [1].\n\nSources:\n[1] guide.md:3 | Guide"
    assert await decide(ended(citations=(CITED,))) == Continue(handed_on)
    assert await decide(ended(output=handed_on, citations=(CITED,))) == Continue(handed_on)


@pytest.mark.parametrize("output", ["", " \n\t"])
async def test_an_empty_answer_is_tried_once_more_and_then_stops_the_run(output: str) -> None:
    assert await decide(ended(output=output)) == Retry("the answer was empty")
    assert await decide(ended(output=output, tries=2)) == Stop("the answer was empty")


async def test_a_failed_stage_is_worked_around_and_the_next_is_told() -> None:
    assert await decide(failed()) == Continue("(This step gave no result: the provider is away)")


async def test_a_failed_last_stage_stops_the_run() -> None:
    assert await decide(failed("write")) == Stop("the provider is away")


@pytest.mark.parametrize("code", sorted(HOPELESS))
async def test_a_failure_every_stage_would_meet_stops_the_run_at_once(code: str) -> None:
    assert await decide(failed(code=code)) == Stop("the provider is away")


async def test_a_failed_stage_hands_on_no_sources() -> None:
    assert "Sources" not in repr(await decide(failed(citations=(CITED,))))


async def test_a_users_hook_sees_the_decision_so_far_and_has_the_last_word() -> None:
    seen: list[Decision] = []

    def insist(done: Finished, decision: Decision) -> Decision:
        seen.append(decision)
        return Retry("again")

    assert await decide(ended(), insist) == Retry("again")
    assert seen == [Continue("Found [1].")]


async def test_async_hooks_are_waited_for_in_their_place() -> None:
    async def slow(done: Finished, decision: Decision) -> Decision:
        await asyncio.sleep(0)
        return Continue("slow")

    def after(done: Finished, decision: Decision) -> Decision:
        assert isinstance(decision, Continue)
        return Continue(decision.context + " then this")

    assert await decide(ended(), slow, after) == Continue("slow then this")


async def test_a_hook_that_raises_is_not_swallowed() -> None:
    def broken(done: Finished, decision: Decision) -> Decision:
        raise KeyError("x")

    with pytest.raises(KeyError):
        await decide(ended(), broken)


async def test_stop_when_ends_a_pipeline_early_after_a_success_only() -> None:
    enough = stop_when(lambda done: "Found" in done.output, "it was found")
    assert await decide(ended(), enough) == Stop("it was found")
    assert await decide(ended(output="Nothing."), enough) == Continue("Nothing.")
    always = stop_when(lambda done: True, "never mind")
    assert await decide(failed(), always) == Continue("(This step gave no result: the provider is away)")


async def test_hooks_made_in_a_loop_keep_the_value_each_was_made_with() -> None:
    hooks = [stop_when(lambda done, word=word: word in done.output, word) for word in ("alpha", "beta")]
    assert [await Hooks([hook]).decide(ended(output="beta")) for hook in hooks] == [Continue(), Stop("beta")]


def test_a_stage_is_the_last_when_nothing_depends_on_it() -> None:
    assert (ended("find").last, ended("write").last) == (False, True)


async def test_hooks_are_found_by_import_path_and_run_after_the_built_in_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "users_hooks_of_a_test.py").write_text(
        "from runtime.pipeline.hooks import Continue, stop_when\n"
        "def shout(done, decision):\n    return Continue(decision.context.upper())\n"
        "early = stop_when(lambda done: done.todo.id == 'write', 'enough')\n"
    )
    paths = ("users_hooks_of_a_test:shout", "users_hooks_of_a_test:early")
    hooks = Hooks().with_users(paths)
    assert await hooks.decide(ended()) == Continue("FOUND [1].")
    assert await hooks.decide(ended("write")) == Stop("enough")
    assert tuple(Hooks().hooks) == BUILTIN_HOOKS, "the hooks of others are untouched"


@pytest.mark.parametrize("path", ["no_such_module:x", "json:no_such_name", "json", "json:__name__"])
def test_a_path_that_leads_to_no_function_is_a_configuration_error_that_names_it(path: str) -> None:
    with pytest.raises(ConfigurationError, match=path):
        Hooks().with_users((path,))
