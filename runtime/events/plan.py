"""The plan: what is to be done, as todos that may depend on one another."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Identifier = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]


class Todo(BaseModel):
    """One step of a plan; becomes one stage of the pipeline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Identifier
    """Unique in its plan; the stage carries the same id."""
    title: Annotated[str, Field(min_length=1, max_length=300)]
    """What to do, in words a person reads and an agent works from."""
    agent: Identifier
    """The name of the specialized agent that does it."""
    depends_on: tuple[Identifier, ...] = ()
    """Ids of the todos whose results it needs; todos without a path between them may run side by side."""


class Plan(BaseModel):
    """One to twenty todos without a cycle. Raises ``ValueError`` (pydantic) on duplicate ids, unknown dependencies, cycles."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    todos: Annotated[tuple[Todo, ...], Field(min_length=1, max_length=20)]
    max_parallel: Annotated[int, Field(ge=1, le=8)] | None = None
    """At most so many todos side by side; None: as many as the system allows."""
    prefer_sequential: bool = False
    """One todo after another: where a quota or the cost matters more than the time."""

    @model_validator(mode="after")
    def _is_a_graph_without_cycles(self) -> Plan:
        ids = [todo.id for todo in self.todos]
        if len(set(ids)) != len(ids):
            raise ValueError("two todos have the same id")
        unknown = {d for todo in self.todos for d in todo.depends_on} - set(ids)
        if unknown:
            raise ValueError(f"depends_on names todos that do not exist: {sorted(unknown)}")
        done: set[str] = set()
        while len(done) < len(ids):
            free = [t.id for t in self.todos if t.id not in done and done.issuperset(t.depends_on)]
            if not free:
                raise ValueError("the todos wait for one another in a circle")
            done.update(free)
        return self

    def todo(self, todo_id: str) -> Todo:
        """The todo of that id; raises ``KeyError`` when there is none."""
        for todo in self.todos:
            if todo.id == todo_id:
                return todo
        raise KeyError(todo_id)
