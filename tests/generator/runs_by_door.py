"""Runs asked for over HTTP and worked on by hand, through a ``MemoryDoor``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import httpx2

from runtime.events import catalog as ev
from runtime.events.envelope import Draft
from runtime.events.plan import Plan, Todo
from tests.generator.memory_door import MemoryDoor

UNKNOWN = "99999999-9999-4999-8999-999999999999"
STREAM = ("Accept", "text/event-stream")
JSON = ("Content-Type", "application/json")


def team() -> tuple[str, ...]:
    return ("research", "analysis", "writing")


def ids() -> Iterator[str]:
    return (f"00000000-0000-4000-8000-{n:012x}" for n in itertools.count(1))


async def ask(http: httpx2.AsyncClient, **body: object) -> str:
    response = await http.post("/v1/runs", json={"input": "Why?", **body})
    assert response.status_code == 202, response.text
    return str(response.json()["run_id"])


async def whole_run(door: MemoryDoor, run_id: str) -> None:
    plan = Plan(todos=(Todo(id="t1", title="Find", agent="research"), Todo(id="t2", title="Write", agent="writing")))
    output = ev.StageCompleted(
        index=1, of=2, title="Find", todo="t1", output="Found.", summary="s", context="c", partial=True
    )
    citation = ev.CitationAdded(source_id="1", title="Guide", location="guide.md:3", quote="So it is.")
    await door.publish(
        run_id,
        Draft(ev.RunStarted(epoch=1, owner="e1", code_version="1", models={"research": "offline"})),
        Draft(ev.AgentStarted(model="offline"), agent="planner"),
        Draft(ev.AgentCompleted(ms=5), agent="planner"),
        Draft(ev.TitleSet(title="A title"), agent="titler"),
        Draft(ev.GuardrailVerdict(allowed=True, category="none", reason="fine"), agent="guardrail"),
        Draft(ev.PlanCommitted(plan=plan)),
        Draft(ev.StageStarted(index=1, of=2, title="Find", todo="t1"), stage="t1", agent="research"),
        *(Draft(ev.TurnDelta(text=f"w{n}\n"), stage="t1", agent="research", turn=1, attempt=1) for n in range(5)),
        Draft(citation, stage="t1", agent="research"),
        Draft(output, stage="t1", agent="research"),
    )
