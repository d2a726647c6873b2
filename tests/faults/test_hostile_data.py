"""Data never becomes code (JOURNAL.md P17): what was written into the store by others is read, and never run.

Each hostile body stands as a row in the middle of a run's log when the system comes up; beside it a neighbour is under
way. The run fails with words or goes on, the neighbour ends as ever, and no request is answered with a 500.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx2
import orjson
import pytest

from runtime.bootstrap.system import System, in_process
from runtime.clock import SystemClock
from runtime.config import Settings
from runtime.events import catalog as ev
from runtime.events.codec import UnknownEvent, UnreadableEvent, decode, encode
from runtime.events.envelope import Draft, Stored
from runtime.executor.decide import NEWER_AGAIN_S
from runtime.log.log import NewRun, Run
from runtime.log.sqlite import SqliteLog
from tests.faults.hostile import bodies
from tests.faults.report import record
from tests.rig import CHAIN

SOUND = {
    "pickle in text", "lc data", "code as title", "template", "nul escaped", "ten megabytes", "deep but legal",
    "huge count", "huge seconds", "twin keys", "agent of none", "stage of no plan", "turn without its number",
    "end without a beginning", "dispatch is huge", "prototype", "negative money",
}  # fmt: skip
"""Bodies that are events, if strange ones: the run goes on past them, or meets what they say."""

NEWER = {"lc type", "code as type", "unknown and ten megabytes", "dispatch is text"}
"""Bodies of a type or shape that a newer version might know: the run waits for one."""

NAMES = tuple(bodies("run", Path("/nonexistent")))
VICTIMS = {name: f"00000000-0000-4000-8000-{n:012x}" for n, name in enumerate(NAMES, start=1)}
NEIGHBOURS = [f"00000000-0000-4000-9000-{n:012x}" for n in range(5)]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "script.toml").write_text(CHAIN)
    path = tmp_path / "data"
    return Settings(model="scripted", script=tmp_path / "script.toml", data_dir=path, heartbeat_s=0.2)


def question(run_id: str, *, deadline_s: float = 3600.0) -> NewRun:
    limits = ev.Limits(deadline_s=deadline_s)
    accepted = encode(Draft(ev.RunAccepted(input=ev.RunInput(question="Why?"), limits=limits)), run_id, time.time())
    return NewRun(run_id, "default", None, "Why?", deadline_s, "continue", 30.0, (accepted,))


async def written(settings: Settings, rows: dict[str, tuple[str, bytes]], *, deadline_s: float = 3600.0) -> None:
    """Runs whose owner is lost; ``rows`` are put as type and body into the logs of those they name, and were not ours."""
    path = Path(settings.log_url().removeprefix("sqlite:"))
    log = SqliteLog(path, SystemClock())
    await log.open()
    await log.renew("lost", ttl_s=60.0)
    for run_id in (*rows, *NEIGHBOURS):
        await log.create(question(run_id, deadline_s=deadline_s))
        await log.claim(run_id, executor="lost")
    await log.release("lost", lost=True)
    await log.close()
    with closing(sqlite3.connect(path)) as db, db:
        for run_id, (kind, body) in rows.items():
            row = (run_id, 2, 1, kind, "status", None, body)
            db.execute(
                "INSERT INTO events (run_id, seq, epoch, type, family, stage, body) VALUES (?, ?, ?, ?, ?, ?, ?)", row
            )
            db.execute("UPDATE runs SET last_seq = 2 WHERE run_id = ?", (run_id,))


@asynccontextmanager
async def recovered(settings: Settings) -> AsyncIterator[tuple[System, httpx2.AsyncClient]]:
    async with in_process(settings) as system:
        transport = httpx2.ASGITransport(app=system.app, raise_app_exceptions=False)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", timeout=20) as http:
            yield system, http


async def settled(system: System, run_id: str, within_s: float = 20.0) -> Run:
    """The run once it has ended, or waits."""
    async with asyncio.timeout(within_s):
        while True:
            run = await system.hub.get(run_id)
            if run is not None and (run.terminal or run.status == "waiting"):
                return run
            await asyncio.sleep(0.02)


async def last_of(system: System, run: Run) -> ev.Event:
    (stored,) = await system.hub.read(run.run_id, after=run.last_seq - 1)
    return decode(stored).event


async def failing(http: httpx2.AsyncClient, run: Run) -> str:
    """Which questions about a run are answered with a 500; empty when none is."""
    path, bad = f"/v1/runs/{run.run_id}", ""
    json, sse = {"Accept": "application/json"}, {"Accept": "text/event-stream"}
    asked = [("/v1/runs", json), (path, json), (f"{path}/events?limit=1000", json)]
    asked += [(f"{path}/events", {**json, "Last-Event-ID": after}) for after in ("1", "2.1", "2")]
    asked += [(f"{path}/events", sse)] if run.terminal else []
    for url, headers in asked:
        answer = await http.get(url, headers=headers)
        bad += f"GET {url}: {answer.status_code} " if answer.status_code >= 500 else ""
    answer = await http.post(f"{path}/resume", json={}, headers={"Accept": "application/json"})
    return bad + (f"resume: {answer.status_code}" if answer.status_code >= 500 else "")


async def test_hostile_rows_are_never_run_and_harm_nobody_but_their_own_runs(
    settings: Settings, tmp_path: Path
) -> None:
    proof = tmp_path / "executed"
    rows = {VICTIMS[name]: (_type(body), body) for name, body in _bodies(proof).items()}
    await written(settings, rows)
    harmed: list[str] = []
    async with recovered(settings) as (system, http):
        await system.executors[0].scan()
        for name, run_id in VICTIMS.items():
            if words := await wrong_with(system, http, name, await settled(system, run_id)):
                harmed.append(f"{name}: {words}")
        for run_id in NEIGHBOURS:
            run = await settled(system, run_id)
            if run.status != "completed" or (bad := await failing(http, run)):
                harmed.append(f"neighbour {run_id}: {run.status} {bad}")
        assert (await http.post("/v1/runs", json={"input": "And now?"})).status_code == 202
    record(promise="P17", what="hostile rows in a run's log", n=len(VICTIMS), violations=len(harmed))
    assert not harmed, "\n".join(harmed)
    assert not proof.exists(), "data became code"


async def wrong_with(system: System, http: httpx2.AsyncClient, name: str, run: Run) -> str:
    """What a hostile row did that it must not do; empty when all is well."""
    if bad := await failing(http, run):
        return bad
    end = await last_of(system, run)
    if name in SOUND:
        return "" if run.terminal else f"it ends with {end}"
    if name in NEWER:
        return "" if isinstance(end, ev.RunWaiting) else f"it does not wait: {end}"
    typed = isinstance(end, ev.RunFailed) and end.code == "log_unreadable" and not end.resume.possible
    return "" if typed else f"no typed failure: {end}"


def _bodies(proof: Path) -> dict[str, bytes]:
    """Each naming the run it is put into, unless it names another on purpose."""
    return {name: bodies(VICTIMS[name], proof)[name] for name in NAMES}


def _type(body: bytes) -> str:
    """What the row says it is; the first type that comes to mind when its body says nothing."""
    try:
        kind = orjson.loads(body)["type"]
    except (ValueError, TypeError, KeyError):
        return "title.set"
    return kind if isinstance(kind, str) else "title.set"


async def test_a_run_a_newer_version_wrote_waits_and_is_failed_at_its_deadline_only(settings: Settings) -> None:
    body = orjson.dumps(
        {"run_id": VICTIMS["list"], "family": "status", "type": "run.teleported", "at": 1.0, "data": {}}
    )
    await written(settings, {VICTIMS["list"]: ("run.teleported", body)}, deadline_s=2.0)
    async with recovered(settings) as (system, _):
        await system.executors[0].scan()
        run = await settled(system, VICTIMS["list"])
        waits = await last_of(system, run)
        assert isinstance(waits, ev.RunWaiting)
        assert "newer version" in waits.reason
        assert run.wake_at == run.deadline_at < time.time() + NEWER_AGAIN_S
        assert run.owner is None
        async with asyncio.timeout(20):
            while not (run := await settled(system, run.run_id)).terminal:
                await asyncio.sleep(0.05)
        end = await last_of(system, run)
    assert isinstance(end, ev.RunFailed)
    assert (end.code, end.retryable, run.takeovers) == ("newer_version", True, 1)
    assert run.last_seq == 4, "accepted, the unknown event, waiting, failed: nothing goes round"


async def test_a_run_nobody_here_can_read_can_still_be_cancelled(settings: Settings) -> None:
    body = orjson.dumps(
        {"run_id": VICTIMS["list"], "family": "status", "type": "run.teleported", "at": 1.0, "data": {}}
    )
    await written(settings, {VICTIMS["list"]: ("run.teleported", body)})
    async with recovered(settings) as (system, http):
        await system.executors[0].scan()
        await settled(system, VICTIMS["list"])
        assert (await http.post(f"/v1/runs/{VICTIMS['list']}/cancel")).status_code == 202
        async with asyncio.timeout(20):
            while (await settled(system, VICTIMS["list"])).status != "cancelled":
                await asyncio.sleep(0.05)


async def test_words_in_a_run_s_row_that_are_no_utf8_spoil_no_list(settings: Settings) -> None:
    await written(settings, {VICTIMS["list"]: ("title.set", b"[]")})
    path = Path(settings.log_url().removeprefix("sqlite:"))
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE runs SET question = CAST(x'fffe41' AS TEXT) WHERE run_id = ?", (VICTIMS["list"],))
    async with recovered(settings) as (system, http):
        await system.executors[0].scan()
        for run_id in (VICTIMS["list"], *NEIGHBOURS):
            assert await failing(http, await settled(system, run_id)) == ""


@pytest.mark.parametrize(
    "cursor", ["cos\nsystem\n(S'x'\ntR.", "2.1.1", "-1", "9" * 3000, "1e3", "\u0662", "{}", "2;drop"]
)
async def test_a_hostile_cursor_is_refused(settings: Settings, cursor: str) -> None:
    await written(settings, {})
    async with recovered(settings) as (_, http):
        answer = await http.get(f"/v1/runs/{NEIGHBOURS[0]}/events", params={"after": cursor})
        assert answer.status_code == 400, answer.text
        assert answer.headers["content-type"].startswith("application/problem+json")


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_body_is_an_event_or_is_said_to_be_none(name: str, tmp_path: Path) -> None:
    body = bodies("run", tmp_path / "executed")[name]
    stored = Stored(2, 1, _type(body), "status", None, body)
    if name in SOUND or name == "another run's":
        decode(stored)
    else:
        with pytest.raises(UnknownEvent) as caught:
            decode(stored)
        assert isinstance(caught.value, UnreadableEvent) == (name not in NEWER)
        assert len(str(caught.value)) < 2000, "what is said of it does not repeat it"
    assert not (tmp_path / "executed").exists()
