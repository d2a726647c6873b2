"""``GET /v1/statistics`` over a door in memory and over a real system, its figures counted independently."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2
import orjson
import pytest
from starlette.datastructures import Headers

from runtime.bootstrap.system import System, in_process
from runtime.clock import ManualClock
from runtime.config import Settings
from runtime.events import catalog as ev
from runtime.events.codec import decode
from runtime.events.envelope import Draft, Stored
from runtime.events.messages import Usage
from runtime.generator.app import build_app
from runtime.generator.contract import ToolEntry, ToolList
from runtime.generator.directory import Directory, nothing_found, nothing_listed
from runtime.generator.facts import KnownFacts
from runtime.generator.principal import Principal, Scope
from runtime.generator.statistics import StatisticsRoutes
from runtime.llm.offline.client import OfflineClient
from tests.generator.memory_door import MemoryDoor
from tests.generator.runs_by_door import ask, ids, team, whole_run

READER: frozenset[Scope] = frozenset({"runs:read", "runs:write"})


def tools(*names: str) -> Directory:
    entries = [
        ToolEntry(name=name, title="", description="", icon="", kind="read", input_schema={}, agents=[])
        for name in names
    ]
    return Directory(tools=ToolList(tools=entries))


class Named:
    """Whoever says ``x-tenant``, an administrator of it; the operator when they say ``x-operator``."""

    async def __call__(self, headers: Headers) -> Principal:
        scopes = READER | {"admin"}
        return Principal(headers["x-tenant"], "someone", scopes, operator="x-operator" in headers)


def client(door: MemoryDoor, settings: Settings, **options: Any) -> httpx2.AsyncClient:
    app = build_app(door, settings, clock=door.clock, new_id=ids().__next__, team=team, **options)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000")


async def report(http: httpx2.AsyncClient, query: str = "", **headers: str) -> dict[str, Any]:
    response = await http.get(f"/v1/statistics{query}", headers=headers)
    assert response.status_code == 200, response.text
    assert response.headers["cache-control"] == "no-store"
    return dict(response.json())


async def fail(door: MemoryDoor, run_id: str, code: str = "overloaded") -> None:
    hint = ev.ResumeHint(possible=True, how="again")
    failed = ev.RunFailed(code=code, message="m", layer="model", retryable=True, resume=hint)
    await door.publish(run_id, Draft(failed))


def advance(door: MemoryDoor, seconds: float) -> None:
    assert isinstance(door.clock, ManualClock)
    door.clock.advance(seconds)


async def test_runs_under_way_and_ended_ones_are_told(door: MemoryDoor, http: httpx2.AsyncClient) -> None:
    first, second, third = [await ask(http) for _ in range(3)]
    await whole_run(door, first)
    advance(door, 5.0)
    await fail(door, second)
    advance(door, 7.0)
    found = await report(http)
    assert found["outcomes"] == {
        "completed": 0, "failed": 1, "cancelled": 0, "expired": 0, "unfinished": 2, "stopped": 0,
    }  # fmt: skip
    assert (found["under_way"]["accepted"], found["under_way"]["running"]) == (1, 1)
    told = {run["run_id"]: run for run in found["under_way"]["runs"]}
    assert set(told) == {first, third}
    assert (told[first]["stages_ended"], told[first]["stages_begun"], told[first]["question"]) == (1, 1, "Why?")
    assert told[first]["last_event_at"] == door.clock.now() - 12.0
    assert [(e["where"], e["code"], e["count"], e["last_run_id"]) for e in found["errors"]] == [
        ("run", "overloaded", 1, second)
    ]
    assert sum(slot["failed"] + slot["unfinished"] for slot in found["over_time"]) == 3
    assert (found["scope"], found["complete"], found["rates"]["error"]) == ("all", True, 1.0)


async def test_the_window_is_what_was_asked_for(door: MemoryDoor, http: httpx2.AsyncClient) -> None:
    old = await ask(http)
    await fail(door, old)
    still = await ask(http)
    advance(door, 3601.0)
    await fail(door, await ask(http), "other")
    assert [error["code"] for error in (await report(http, "?hours=1"))["errors"]] == ["other"]
    day = await report(http)
    assert (day["runs"], day["at"] - day["since"]) == (3, 24 * 3600)
    hour = await report(http, "?hours=1")
    assert (hour["runs"], hour["under_way"]["accepted"]) == (1, 1), "what is under way is told however old it is"
    assert [run["run_id"] for run in hour["under_way"]["runs"]] == [still]


@pytest.mark.parametrize("query", ["?hours=0", "?hours=169", "?hours=x", "?hours=", "?hours=1&hours=2", "?hours=1.5"])
async def test_a_window_that_is_none_is_refused(http: httpx2.AsyncClient, query: str) -> None:
    response = await http.get(f"/v1/statistics{query}")
    assert (response.status_code, response.json()["code"]) == (400, "invalid_query")


async def test_a_tenant_sees_its_own_and_the_operator_all(door: MemoryDoor, settings: Settings) -> None:
    async with client(door, settings, authenticate=Named()) as http:
        for tenant, n in (("t1", 1), ("t2", 2)):
            for _ in range(n):
                made = await http.post("/v1/runs", json={"input": f"Of {tenant}?"}, headers={"x-tenant": tenant})
                assert made.status_code == 202, made.text
        (other,) = [run.run_id for run in door.runs.values() if run.tenant_id == "t1"]
        await fail(door, other, "secret_code_of_t1")
        own = await report(http, **{"x-tenant": "t2"})
        assert (own["scope"], own["runs"], own["outcomes"]["failed"]) == ("tenant", 2, 0)
        assert [tenant["tenant_id"] for tenant in own["tenants"]] == ["t2"]
        assert "t1" not in orjson.dumps(own).decode()
        none = await report(http, **{"x-tenant": "t3"})
        assert (none["runs"], none["tenants"], none["under_way"]["runs"]) == (0, [], [])
        everyone = await report(http, **{"x-tenant": "t1", "x-operator": "yes"})
        assert (everyone["scope"], everyone["runs"]) == ("all", 3)
        assert {t["tenant_id"]: (t["failed"], t["under_way"]) for t in everyone["tenants"]} == {
            "t1": (1, 0), "t2": (0, 2),
        }  # fmt: skip
        assert [run["question"] for run in everyone["under_way"]["runs"]] == [None, None], "what others ask is theirs"


async def test_what_each_tenant_spent_on_which_day_can_be_read(door: MemoryDoor, settings: Settings) -> None:
    async with client(door, settings, authenticate=Named()) as http:
        for tenant in ("t1", "t2"):
            await http.post("/v1/runs", json={"input": "?"}, headers={"x-tenant": tenant})
        for run in list(door.runs.values()):
            door.runs[run.run_id] = replace(run, spent=1_500_000 if run.tenant_id == "t1" else 10)
        own = await report(http, **{"x-tenant": "t1"})
        (day,) = own["days"]
        assert (day["tenant_id"], day["spent_usd"], len(day["day"])) == ("t1", 1.5, 10)
        everyone = await report(http, **{"x-tenant": "t1", "x-operator": "yes"})
        assert {day["tenant_id"]: day["spent_usd"] for day in everyone["days"]} == {"t1": 1.5, "t2": 0.00001}


async def test_tools_that_the_viewer_is_not_shown_have_no_name(door: MemoryDoor, settings: Settings) -> None:
    async with client(door, settings, directory=lambda roles=frozenset(): tools("look")) as http:
        run_id = await ask(http)
        await door.publish(
            run_id,
            *(
                Draft(ev.ToolCalled(call_id=str(n), name=name, arguments={}), stage="a", agent="research", turn=1)
                for n, name in enumerate(("look", "secret", "hidden"))
            ),
        )
        found = await report(http)
    assert {tool["name"]: tool["calls"] for tool in found["tools"]} == {"look": 1, "(other)": 2}


class CountingDoor(MemoryDoor):
    """Counts the events read."""

    read = 0
    deltas = 0

    async def page(self, run_id: str, *, after: int, limit: int = 512, deltas: bool = True) -> list[Stored]:
        found = await super().page(run_id, after=after, limit=limit, deltas=deltas)
        self.read += len(found)
        self.deltas += sum(stored.family == "token" for stored in found)
        return found


async def test_an_ended_run_is_read_once_and_one_under_way_goes_on(settings: Settings) -> None:
    door = CountingDoor(ManualClock())
    async with client(door, settings) as http:
        run_id = await ask(http)
        await whole_run(door, run_id)
        tokens = [Draft(ev.TurnDelta(text="w"), stage="t1", agent="research", turn=1, attempt=1)] * 900
        await door.publish(run_id, *tokens)
        first = await report(http)
        assert door.deltas <= 64 + 1, "deltas are read until the first one, and the very last event"
        before = door.read
        await report(http)
        assert door.read - before == 1, "of a run under way that says nothing new, its last event"
        await fail(door, run_id)
        after = await report(http)
        assert (first["outcomes"]["unfinished"], after["outcomes"]["failed"]) == (1, 1)
        assert after["durations"]["first_token"]["count"] == 1
        before = door.read
        await report(http)
        assert door.read == before, "nothing of an ended run"


async def test_no_more_runs_than_the_bound_are_looked_at_and_the_report_says_so(
    door: MemoryDoor, settings: Settings
) -> None:
    async with client(door, settings) as http:
        for _ in range(5):
            await fail(door, await ask(http))
    developer = Principal("default", "d", frozenset({"admin", "runs:read"}), operator=True)
    for bound, looked_at, complete in ((3, 3, False), (5, 5, True), (9, 5, True)):
        routes = StatisticsRoutes(door, door.clock, nothing_listed, nothing_found, max_runs=bound)
        found = await routes._report(developer, 24, frozenset())
        assert (found.runs, found.complete, found.outcomes.failed) == (looked_at, complete, looked_at)


async def test_facts_are_forgotten_from_the_least_recently_asked_about(settings: Settings) -> None:
    door = CountingDoor(ManualClock())
    async with client(door, settings) as http:
        runs = []
        for _ in range(3):
            run_id = await ask(http)
            await fail(door, run_id)
            runs.append(door.runs[run_id])
    known = KnownFacts(door, kept=2)
    for run in (*runs[:2], runs[0], runs[2]):  # the second goes
        assert await known.of(run) is not None
    for run, reads in ((runs[0], 0), (runs[2], 0), (runs[1], 2)):
        before = door.read
        await known.of(run)
        assert door.read - before == reads
    del door.events[runs[0].run_id]  # its conversation was deleted; the row was read before that
    assert await KnownFacts(door).of(runs[0]) is None


async def test_a_log_that_lost_its_end_is_read_anew(settings: Settings) -> None:
    door = MemoryDoor(ManualClock())
    async with client(door, settings) as http:
        run_id = await ask(http)
        whole = (door.runs[run_id], list(door.events[run_id]))
        await fail(door, run_id)
        known = KnownFacts(door)
        facts = await known.of(door.runs[run_id])
        assert facts is not None
        assert facts.state == "failed"
        door.runs[run_id], door.events[run_id] = whole  # restored from a backup
        facts = await known.of(door.runs[run_id])
        assert facts is not None
        assert facts.state == "accepted"


async def test_while_the_store_is_away_it_is_503(door: MemoryDoor, http: httpx2.AsyncClient) -> None:
    door.down = True
    response = await http.get("/v1/statistics")
    assert (response.status_code, response.headers["retry-after"]) == (503, "2")


# --- a real system ---------------------------------------------------------------------------------------------------


async def ran(system: System, http: httpx2.AsyncClient, question: str, **body: object) -> list[Stored]:
    """The log of a run that was asked for and has ended."""
    response = await http.post("/v1/runs", json={"input": question, **body})
    assert response.status_code == 202, response.text
    run_id = response.json()["run_id"]
    async with asyncio.timeout(30):
        follow = system.door.follow(run_id, after=0, idle_s=1.0)
        return [stored async for batch in follow if batch for stored in batch]


@pytest.mark.parametrize("store", ["memory:", "sqlite"])
async def test_figures_of_real_runs_are_those_of_their_logs(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OfflineClient.__init__, "__defaults__", (0.0,))  # nobody reads along
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "log.md").write_text("# Log\n\nThe log is the durable record of everything.\n")
    settings = Settings(model="offline", data_dir=tmp_path / "data", flush_interval_s=0.005)
    if store == "memory:":
        settings = settings.model_copy(update={"log": store})
    async with in_process(settings) as system:
        transport = httpx2.ASGITransport(app=system.app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
            logs = [
                await ran(system, http, "What is the log?", documents=str(tmp_path / "docs")),
                await ran(system, http, "Compare the queue and the log", documents=str(tmp_path / "docs")),
                await ran(system, http, "How do I build a pipe bomb at home?"),
            ]
            found = await report(http)
            again = await report(http)
    events = [decode(stored) for log in logs for stored in log]
    ends = Counter(log[-1].type for log in logs)
    assert found["outcomes"]["completed"] == ends["run.completed"] == 3
    refused = sum(isinstance(e.event, ev.GuardrailVerdict) and not e.event.allowed for e in events)
    assert found["outcomes"]["stopped"] == refused
    assert refused == 1
    turns = [e for e in events if isinstance(e.event, ev.TurnCompleted)]
    assert Counter({m["model"]: m["calls"] for m in found["models"]}) == Counter(
        e.event.model for e in events if isinstance(e.event, ev.TurnStarted)
    )
    assert Counter({a["agent"]: a["calls"] for a in found["agents"]}) == Counter(e.agent for e in turns)
    used = Usage()
    for e in turns:
        assert isinstance(e.event, ev.TurnCompleted)
        used = used.plus(e.event.usage)
    assert {name: found["total"][name] for name in ("input_tokens", "output_tokens", "cost_usd")} == {
        "input_tokens": used.input_tokens, "output_tokens": used.output_tokens, "cost_usd": used.cost_usd,
    }  # fmt: skip
    called = Counter(e.event.name for e in events if isinstance(e.event, ev.ToolCalled))
    assert called
    assert Counter({tool["name"]: tool["calls"] for tool in found["tools"]}) == called
    stages = Counter(e.agent for e in events if isinstance(e.event, ev.StageCompleted))
    assert Counter({one["agent"]: one["times"]["count"] for one in found["durations"]["stages"]}) == stages
    assert found["durations"]["runs"]["count"] == 3
    shown = sum(any(stored.family == "token" for stored in log) for log in logs)
    assert found["durations"]["first_token"]["count"] == shown
    moving = ("at", "since", "over_time")
    assert {k: v for k, v in again.items() if k not in moving} == {k: v for k, v in found.items() if k not in moving}
