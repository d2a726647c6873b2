"""Resumed runs through the whole system in one process: what is asked of the model again, and what never is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from runtime.bootstrap.system import System, in_process
from runtime.config import Settings
from runtime.events.envelope import Envelope
from runtime.llm.client import Chunk, ModelRequest
from runtime.llm.scripted import ScriptedClient
from tests.checker import check_run
from tests.rig import CHAIN

SCRIPT = (
    CHAIN
    + """
[[turn]]
agent = "analysis"
text = "weighed {task}"
[turn.fault]
error = "ModelRequestRejected"
"""
)
"""Three stages, one after the other; the second fails once, for good, and the next time it is asked it works."""

PLAN_FAILS = CHAIN.replace(
    'agent = "planner"\n[turn.output]', 'agent = "planner"\n[turn.fault]\nerror = "ModelRequestRejected"\n[turn.output]'
)


class World:
    """One system and the calls its models got."""

    def __init__(self, system: System, http: httpx2.AsyncClient, calls: Counter[str]) -> None:
        self.system = system
        self.http = http
        self.calls = calls

    async def ask(self, **body: object) -> str:
        response = await self.http.post("/v1/runs", json={"input": "Why?", **body})
        return str(response.json()["run_id"])

    async def resume(self, run_id: str, **body: object) -> str:
        response = await self.http.post(f"/v1/runs/{run_id}/resume", json=body)
        assert response.status_code == 201, response.text
        return str(response.json()["run_id"])

    async def ended(self, run_id: str) -> dict[str, Any]:
        """The snapshot after the run's end, its log held to the grammar."""
        follow = self.system.door.follow(run_id, after=0, idle_s=1.0)
        async with asyncio.timeout(20):
            log = [stored async for batch in follow for stored in batch]
        self.log: list[Envelope] = check_run(log)
        snapshot: dict[str, Any] = (await self.http.get(f"/v1/runs/{run_id}")).json()
        return snapshot


@asynccontextmanager
async def world(tmp_path: Path, calls: Counter[str], script: str = SCRIPT, **settings: object) -> AsyncIterator[World]:
    path = tmp_path / "script.toml"
    path.write_text(script)
    made = {"log": "memory:", "data_dir": tmp_path, **settings}
    async with in_process(Settings(model="scripted", script=path, **made)) as system:  # type: ignore[arg-type]
        transport = httpx2.ASGITransport(app=system.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
            yield World(system, http, calls)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each agent's model was called, counted where a provider would count."""
    counted: Counter[str] = Counter()
    play = ScriptedClient.stream

    async def counting(self: ScriptedClient, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        counted[request.agent] += 1
        async for chunk in play(self, request):
            yield chunk

    monkeypatch.setattr(ScriptedClient, "stream", counting)
    return counted


async def test_what_was_completed_is_never_asked_for_again(tmp_path: Path, calls: Counter[str]) -> None:
    async with world(tmp_path, calls) as w:
        parent = await w.ask()
        failed = await w.ended(parent)
        assert (failed["state"], failed["error"]["completed"], failed["resume"]["from_stage"]) == (
            "failed",
            ["find"],
            "weigh",
        )
        child = await w.resume(parent)
        done = await w.ended(child)
        assert done["state"] == "completed"
        assert done["answer"] == "words of writing about Write"
        assert [(o["stage"], o["text"], o["carried_from"]) for o in done["outputs"]] == [
            ("find", "words of research about Find", parent),
            ("weigh", "weighed Weigh", None),
            ("write", "words of writing about Write", None),
        ]
        assert calls == {"planner": 1, "titler": 1, "guardrail": 1, "research": 1, "analysis": 2, "writing": 1}
        assert done["usage"]["output_tokens"] == sum(
            e.event.usage.output_tokens for e in w.log if e.event.type == "turn.completed"
        )


async def test_what_a_carried_stage_found_reaches_the_next(
    tmp_path: Path, calls: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    play = ScriptedClient.stream

    async def listening(self: ScriptedClient, request: ModelRequest) -> AsyncGenerator[Chunk, None]:
        if request.agent == "analysis":
            seen.append(request.messages[0].text())
        async for chunk in play(self, request):
            yield chunk

    monkeypatch.setattr(ScriptedClient, "stream", listening)
    async with world(tmp_path, calls) as w:
        parent = await w.ask()
        await w.ended(parent)
        await w.ended(await w.resume(parent))
    assert len(seen) == 2
    assert seen[0] == seen[1]
    assert "words of research about Find" in seen[1]


async def test_from_stage_runs_it_and_all_that_builds_on_it_again(tmp_path: Path, calls: Counter[str]) -> None:
    async with world(tmp_path, calls, CHAIN) as w:
        parent = await w.ask()
        assert (await w.ended(parent))["state"] == "completed"
        done = await w.ended(await w.resume(parent, from_stage="weigh"))
        assert done["state"] == "completed"
        assert [bool(o["carried_from"]) for o in done["outputs"]] == [True, False, False]
        assert calls == {"planner": 1, "titler": 1, "guardrail": 1, "research": 1, "analysis": 2, "writing": 2}


async def test_an_edited_plan_keeps_what_it_did_not_change(tmp_path: Path, calls: Counter[str]) -> None:
    async with world(tmp_path, calls) as w:
        parent = await w.ask()
        await w.ended(parent)
        find = {"id": "find", "title": "Find", "agent": "research", "depends_on": []}
        told = {"id": "tell", "title": "Tell it", "agent": "writing", "depends_on": ["find"]}
        done = await w.ended(await w.resume(parent, plan={"todos": [find, told]}))
        assert (done["state"], done["answer"]) == ("completed", "words of writing about Tell it")
        assert (calls["research"], calls["analysis"], calls["planner"]) == (1, 1, 1)
        changed = await w.ended(await w.resume(parent, plan={"todos": [{**find, "title": "Find more"}, told]}))
        assert changed["outputs"][0]["text"] == "words of research about Find more"
        assert calls["research"] == 2


async def test_a_resumed_run_that_fails_is_resumed_itself(tmp_path: Path, calls: Counter[str]) -> None:
    twice = SCRIPT + '[[turn]]\nagent = "writing"\ntext = "written"\n[turn.fault]\nerror = "ModelRequestRejected"\n'
    async with world(tmp_path, calls, twice) as w:
        first = await w.ask()
        await w.ended(first)
        second = await w.resume(first)
        assert (await w.ended(second))["error"]["completed"] == ["find", "weigh"]
        third = await w.resume(second)
        done = await w.ended(third)
        assert (done["state"], done["answer"], done["resumed_from"]) == ("completed", "written", second)
        assert [o["carried_from"] for o in done["outputs"]] == [second, second, None]
        assert (calls["research"], calls["analysis"], calls["writing"]) == (1, 2, 2)


async def test_a_run_whose_planning_failed_plans_anew(tmp_path: Path, calls: Counter[str]) -> None:
    async with world(tmp_path, calls, PLAN_FAILS) as w:
        parent = await w.ask()
        failed = await w.ended(parent)
        assert (failed["state"], failed["plan"], failed["resume"]["from_stage"]) == ("failed", None, None)
        done = await w.ended(await w.resume(parent))
        assert done["state"] == "completed"
        assert (calls["planner"], calls["guardrail"], calls["research"]) == (2, 2, 1)


async def test_a_cancelled_run_goes_on_after_a_restart_of_everything(tmp_path: Path, calls: Counter[str]) -> None:
    slow = CHAIN + '[[turn]]\nagent = "analysis"\ndelay_s = 60.0\ntext = "never"\n'
    async with world(tmp_path, calls, slow, log="") as w:
        parent = await w.ask()
        async with asyncio.timeout(20), aclosing(w.system.door.follow(parent, after=0, idle_s=1.0)) as batches:
            async for batch in batches:
                if any(stored.type == "turn.started" and stored.stage == "weigh" for stored in batch):
                    break
        assert (await w.http.post(f"/v1/runs/{parent}/cancel")).status_code == 202
        cancelled = await w.ended(parent)
        assert (cancelled["state"], cancelled["resume"]["from_stage"]) == ("cancelled", "weigh")
    async with world(tmp_path, calls, CHAIN, log="") as w:
        done = await w.ended(await w.resume(parent))
        assert done["state"] == "completed"
        assert (calls["planner"], calls["research"], calls["analysis"], calls["writing"]) == (1, 1, 2, 1)


async def test_fifty_resumes_with_one_key_are_one_run_on_disk(tmp_path: Path, calls: Counter[str]) -> None:
    async with world(tmp_path, calls, log="") as w:
        parent = await w.ask(budget_usd=0.5)
        await w.ended(parent)
        path, key = f"/v1/runs/{parent}/resume", {"Idempotency-Key": "k"}
        answers = await asyncio.gather(*(w.http.post(path, json={}, headers=key) for _ in range(50)))
        assert {answer.status_code for answer in answers} == {201}
        (child,) = {answer.json()["run_id"] for answer in answers}
        done = await w.ended(child)
        assert (done["state"], done["budget"]["limit_usd"]) == ("completed", 0.5)
        assert (calls["analysis"], calls["writing"]) == (2, 1)
        assert len((await w.http.get("/v1/runs")).json()["runs"]) == 2


async def test_an_unknown_agent_in_a_plan_is_refused_by_the_team_that_is_there(
    tmp_path: Path, calls: Counter[str]
) -> None:
    async with world(tmp_path, calls) as w:
        parent = await w.ask()
        await w.ended(parent)
        plan = {"todos": [{"id": "x", "title": "X", "agent": "planner", "depends_on": []}]}
        response = await w.http.post(f"/v1/runs/{parent}/resume", json={"plan": plan})
        assert response.json()["errors"][0]["pointer"] == "/plan/todos/0/agent"
        assert "analysis, research, writing" in response.json()["detail"]
