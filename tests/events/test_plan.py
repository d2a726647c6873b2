"""A plan is a graph without cycles whose todos have sane names; nothing else becomes a Plan."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from runtime.events.plan import Plan, Todo


def todo(id_: str, *depends_on: str, **more: Any) -> dict[str, Any]:
    return {"id": id_, "title": "Do it", "agent": "research", "depends_on": depends_on, **more}


def plan(*todos: dict[str, Any]) -> Plan:
    return Plan.model_validate({"todos": todos})


def test_a_diamond_is_a_plan_and_keeps_its_order() -> None:
    made = plan(todo("d", "b", "c"), todo("b", "a"), todo("c", "a"), todo("a"))
    assert [t.id for t in made.todos] == ["d", "b", "c", "a"]
    assert made.todo("b").depends_on == ("a",)
    with pytest.raises(KeyError):
        made.todo("e")


@pytest.mark.parametrize(
    ("todos", "words"),
    [
        ([todo("a"), todo("a")], "same id"),
        ([todo("a", "b")], r"do not exist: \['b'\]"),
        ([todo("a", "a")], "circle"),
        ([todo("a", "b"), todo("b", "a")], "circle"),
        ([todo("x"), todo("a", "x", "c"), todo("b", "a"), todo("c", "b")], "circle"),
        ([], "at least 1"),
        ([todo(f"t{i}") for i in range(21)], "at most 20"),
        ([todo("")], "match pattern"),
        ([todo("../etc")], "match pattern"),
        ([todo("a\n")], "match pattern"),
        ([todo("a" * 65)], "match pattern"),
        ([todo("a", title="")], "at least 1 character"),
        ([todo("a", title="t" * 301)], "at most 300"),
        ([todo("a", agent="the writer")], "match pattern"),
        ([todo("a", colour="red")], "Extra inputs"),
    ],
)
def test_a_plan_that_cannot_be_executed_is_refused_with_its_reason(todos: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        plan(*todos)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=14))
def test_a_plan_is_refused_exactly_when_following_its_dependencies_comes_back(edges: list[tuple[int, int]]) -> None:
    needs: dict[int, set[int]] = {i: {b for a, b in edges if a == i} for i in range(7)}
    todos = tuple(
        Todo(id=str(i), title="x", agent="a", depends_on=tuple(str(d) for d in sorted(needs[i]))) for i in range(7)
    )

    def reaches(start: int) -> set[int]:
        seen: set[int] = set()
        pending = list(needs[start])
        while pending:
            if (here := pending.pop()) not in seen:
                seen.add(here)
                pending.extend(needs[here])
        return seen

    circular = any(i in reaches(i) for i in range(7))
    if circular:
        with pytest.raises(ValidationError, match="circle"):
            Plan(todos=todos)
    else:
        assert len(Plan(todos=todos).todos) == 7
