"""What a person may wish of a resumed run, and the plan file they may send along."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from runtime.cli.outcome import MISUSED, fail

_SHOWN = ("status", "failures")
"""What a snapshot adds to the todos of a plan; a plan copied from one may still have it."""
_TOO_LARGE = 1_000_000
"""Bytes: the server's own limit for a request."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """Fields of the request; None leaves a field as it was in the run before."""

    from_stage: str | None = None
    plan: dict[str, Any] | None = None
    """Any: the file's JSON, which the server judges."""
    budget_usd: float | None = None
    deadline_s: float | None = None

    def fields(self) -> dict[str, Any]:
        """The same by name, for the client."""
        return {
            "from_stage": self.from_stage,
            "plan": self.plan,
            "budget_usd": self.budget_usd,
            "deadline_s": self.deadline_s,
        }


def read_plan(path: Path | None) -> dict[str, Any] | None:
    """The plan in a JSON file: ``{"todos": [...]}``, a list of todos, or a run's whole snapshot. Leaves with a sentence."""
    if path is None:
        return None
    try:
        raw = path.expanduser().read_bytes()
    except OSError as error:
        raise fail(f"the plan {str(path)!r} cannot be read: {error.strerror}", MISUSED) from error
    if len(raw) > _TOO_LARGE:
        raise fail(f"the plan {str(path)!r} is too large: {len(raw)} bytes", MISUSED)
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise fail(f"the plan {str(path)!r} is not JSON: {error}", MISUSED) from error
    todos = _todos(value)
    if todos is None:
        raise fail(
            f'the plan {str(path)!r} has no todos; write {{"todos": [{{"id": …, "title": …, "agent": …}}]}}', MISUSED
        )
    return {"todos": todos}


def _todos(value: Any) -> list[Any] | None:
    if isinstance(value, dict):
        value = value.get("todos") or value.get("plan")
    if not isinstance(value, list) or not value:
        return None
    return [{k: v for k, v in todo.items() if k not in _SHOWN} if isinstance(todo, dict) else todo for todo in value]
