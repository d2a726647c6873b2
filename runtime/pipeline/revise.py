"""A hook's change of the plan, applied to the plan as it stands. Pure.

A change is relative, so that two stages that end at the same time can both change what is left. What has begun stays.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from pydantic import ValidationError

from runtime.events.fold import RunState
from runtime.events.plan import Plan
from runtime.pipeline.hooks import Revise

MAX_REVISIONS: Final = 10
"""Of one run's plan: a hook that changes it again and again would never let it end."""


def revised(state: RunState, change: Revise, agents: Collection[str]) -> Plan:
    """The plan after ``change``; ``agents`` are those a todo may name. Raises ``ValueError`` saying why it cannot be."""
    assert state.plan is not None  # stages exist only in planned runs
    if state.revisions >= MAX_REVISIONS:
        raise ValueError(f"the plan was revised {MAX_REVISIONS} times already")
    new = {todo.id: todo for todo in change.todos}
    before = {todo.id: todo for todo in state.plan.todos}
    touched = sorted({*(new.keys() & before.keys()), *change.drop} & before.keys())
    if begun := [todo for todo in touched if state.stages[todo].status != "pending" and new.get(todo) != before[todo]]:
        raise ValueError(f"these steps have begun and stay as they are: {', '.join(begun)}")
    if strangers := sorted({todo.agent for todo in change.todos} - set(agents)):
        raise ValueError(f"there is no agent {', '.join(strangers)}")
    kept = tuple(new.pop(todo.id, todo) for todo in state.plan.todos if todo.id not in change.drop)
    try:
        return Plan.model_validate(state.plan.model_dump() | {"todos": (*kept, *new.values())})
    except ValidationError as error:
        raise ValueError("; ".join(e["msg"] for e in error.errors()[:3])) from error
