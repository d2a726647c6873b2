"""``evolve`` is ``replace`` without its checks, so what it is given is checked here: every field named in its uses exists."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields, replace
from types import ModuleType

import pytest

from runtime.events import fold, transcript
from runtime.events.evolve import evolve
from runtime.events.fold import AgentState, Approval, RunState, StageState
from runtime.events.transcript import Transcript

STATES = (RunState, StageState, AgentState, Approval, Transcript)


def named(module: ModuleType) -> set[str]:
    """Every field that a call in ``module`` of ``evolve``, or of what passes its arguments on to it, names."""
    calls = (node for node in ast.walk(ast.parse(inspect.getsource(module))) if isinstance(node, ast.Call))
    those = (call for call in calls if isinstance(call.func, ast.Name) and call.func.id in ("evolve", "_with_stage"))
    return {keyword.arg for call in those for keyword in call.keywords if keyword.arg is not None}


@pytest.mark.parametrize("module", [fold, transcript])
def test_every_field_that_is_given_another_value_exists(module: ModuleType) -> None:
    known = {field.name for state in STATES for field in fields(state)}
    assert named(module)
    assert named(module) <= known


@pytest.mark.parametrize("state", STATES)
def test_a_state_can_be_copied_so(state: type) -> None:
    assert "__slots__" not in vars(state)
    assert not hasattr(state, "__post_init__")


def test_it_does_what_replace_does_and_leaves_the_old_state_alone() -> None:
    before = RunState(run_id="r", last_seq=3)
    after = evolve(before, last_seq=4, title="t")
    assert after == replace(before, last_seq=4, title="t")
    assert before == RunState(run_id="r", last_seq=3)
