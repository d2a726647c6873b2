"""The state and the plan as AG-UI clients keep them: a JSON document each, and the patches (RFC 6902) between two of them."""

from __future__ import annotations

from typing import Any

from runtime.events.fold import RunState
from runtime.events.messages import Usage

Document = dict[str, Any]
"""Any: JSON."""


def document_of(state: RunState, usage: Usage | None) -> Document:
    """What ``STATE_SNAPSHOT`` says of a run."""
    verdict = state.verdict
    return {
        "runId": state.run_id,
        "status": state.status,
        "title": state.title,
        "guardrail": None if verdict is None else verdict.model_dump(mode="json", exclude={"type"}),
        "plan": plan_of(state),
        "usage": None if usage is None else usage.model_dump(mode="json"),
    }


def plan_of(state: RunState) -> list[Document]:
    """The plan's todos with what became of them; empty before there is a plan."""
    return [
        {
            "id": stage.todo.id,
            "title": stage.todo.title,
            "agent": stage.todo.agent,
            "dependsOn": list(stage.todo.depends_on),
            "status": stage.status,
        }
        for stage in (state.stages.values() if state.plan is not None else ())
    ]


def patch(old: Document, new: Document) -> list[Document]:
    """What turns ``old`` into ``new``, which has the same keys: a status by itself, everything else whole."""
    found: list[Document] = []
    for key, value in new.items():
        if old[key] == value:
            continue
        statuses = _statuses(old[key], value, f"/{key}") if isinstance(value, list) else None
        found += [{"op": "replace", "path": f"/{key}", "value": value}] if statuses is None else statuses
    return found


def _statuses(old: list[Document], new: list[Document], path: str) -> list[Document] | None:
    """Replaced statuses of todos; None when more than that has changed."""
    bare = [[{k: v for k, v in todo.items() if k != "status"} for todo in plan] for plan in (old, new)]
    if bare[0] != bare[1]:
        return None
    pairs = enumerate(zip(old, new, strict=True))
    return [
        {"op": "replace", "path": f"{path}/{place}/status", "value": after["status"]}
        for place, (before, after) in pairs
        if before["status"] != after["status"]
    ]
