"""Old logs replay (JOURNAL.md P14): what a release wrote is read, shown and driven to its end by this one.

After a change of what is written: ``python -m tests.golden.make_logs --force NAME``, and look at the diff.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
import pytest

from runtime.clock import Clock
from runtime.events.codec import decode, money_of
from runtime.events.envelope import Record, Stored
from runtime.events.fold import fold_all
from runtime.generator.snapshot import snapshot_of
from runtime.generator.sse import cursor_of
from runtime.log.log import FORMAT_VERSION, Log, NewRun, Run, Write
from runtime.log.memory import MemoryLog
from runtime.log.sqlite import SqliteLog
from tests.checker import attempts, check_run
from tests.faults.report import record
from tests.golden.make_logs import LOGS, GoldenLog, make
from tests.golden.scenarios import EFFECTS, SCENARIOS
from tests.rig import Rig
from tests.virtual_time import START, LoopClock, virtual_time

FILES = tuple(sorted(path.stem for path in LOGS.glob("*.jsonl")))
UNFINISHED = tuple(name for name in FILES if not SCENARIOS[name.partition(".")[0]].finished)
LATER_S = 100.0
"""The log is found so long after it was written."""


def golden(name: str) -> GoldenLog:
    return GoldenLog.load(LOGS / f"{name}.jsonl")


replayed: Counter[str] = Counter()


@pytest.fixture(scope="module", autouse=True)
def report() -> Iterator[None]:
    """Counts what was tried against what held, so that a failure shows in the row."""
    yield
    if replayed["tried"]:
        what = "golden logs read, and unfinished ones driven to their end in two stores"
        record(promise="P14", what=what, n=replayed["tried"], violations=replayed["tried"] - replayed["held"])


def test_every_scenario_has_its_log() -> None:
    assert SCENARIOS.keys() <= set(FILES), "python -m tests.golden.make_logs"


@pytest.mark.parametrize("name", FILES)
def test_an_old_log_is_read_and_shown(name: str) -> None:
    old = golden(name)
    replayed["tried"] += 1
    assert old.format_version <= FORMAT_VERSION
    log = check_run(old.events, ended=SCENARIOS[name.partition(".")[0]].finished)
    run, state = Run(**old.run), fold_all(log)
    assert (state.status, state.last_seq) == (run.status, run.last_seq)
    shown = snapshot_of(run, state, cursor_of(old.events[-1]), now=run.created_at + 1.0)
    assert shown.state == run.status
    assert shown.question == "Why?"
    assert shown.model_dump_json()
    replayed["held"] += 1


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_written_now_is_what_was_written_then(name: str) -> None:
    assert scrubbed(make(name).events) == scrubbed(golden(name).events), f"--force {name}, if this is meant"


_HASHES = re.compile(r"\b[0-9a-f]{8,}\b|[0-9a-f]{8}-[0-9a-f-]{27}")
_CHANGING = {
    "at", "owner", "code_version", "request_hash", "ms", "elapsed_s", "until", "input_tokens",
    "reserved_cost_usd", "released_cost_usd", "spent_cost_usd", "cost_usd",
}  # fmt: skip
"""What is another on another machine, or with other words in a prompt."""


def scrubbed(events: tuple[Stored, ...]) -> list[Any]:
    """The events without ids, times and hashes; tokens of one attempt in one."""
    lines = [(e.epoch, e.type, e.stage, _scrub(orjson.loads(e.body))) for e in events]
    told: list[Any] = []
    for key, group in groupby(lines, lambda line: (line[1] == "turn.delta", line[0], line[2], line[3].get("agent"))):
        together = list(group)
        texts = [*key, "".join(line[3]["data"]["text"] for line in together)] if key[0] else None
        told += [texts] if texts else together
    return told


def _scrub(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: "*" if key in _CHANGING else _scrub(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_scrub(item) for item in value]
    return _HASHES.sub("*", value) if isinstance(value, str) else value


# --- unfinished ones, driven on ------------------------------------------------------------------------------------------


class FastClock:
    """Real time from where the old logs stand, ten times as fast."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def monotonic(self) -> float:
        return (time.monotonic() - self._begun) * 10

    def now(self) -> float:
        return START + LATER_S + self.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 10)


class LaterClock(LoopClock):
    """Virtual time from there."""

    def now(self) -> float:
        return super().now() + LATER_S


class Behind:
    """A log as the rig takes it: ``inner`` is only there to be asked, and is not."""

    def __init__(self, log: Log, clock: Clock) -> None:
        self.log = log
        self.inner = MemoryLog(clock)

    def __getattr__(self, name: str) -> Any:  # the whole of Log
        return getattr(self.log, name)


async def load(old: GoldenLog, log: Log) -> None:
    """Write it into ``log`` as it came about, epoch by epoch; its last owner is lost."""
    run = Run(**old.run)
    records = [(e.epoch, _record(e)) for e in old.events]
    first = tuple(r for epoch, r in records if epoch == 0)
    limit, day_budget = run.deadline_at - run.created_at, run.day_budget
    await log.create(
        NewRun(run.run_id, run.tenant_id, None, run.question, limit, run.on_disconnect, run.grace_s, first,
               budget=run.budget, day_budget=day_budget)
    )  # fmt: skip
    seq = len(first)
    for epoch, group in groupby(records[seq:], lambda pair: pair[0]):
        owner = f"owner-{epoch}"
        await log.renew(owner, ttl_s=1e6)
        (claimed,) = await log.claim(run.run_id, executor=owner)
        assert claimed.epoch == epoch
        for number, (_, one) in enumerate(group, start=1):
            wake_at = run.wake_at if one.type == "run.waiting" else None
            write = Write(run.run_id, epoch, seq, owner, number, (one,), wake_at=wake_at)
            (written,) = await log.append([write])
            assert written.outcome == "committed", written
            seq += 1
        await log.release(owner, lost=True)


def _record(stored: Stored) -> Record:
    return Record(stored.type, stored.family, stored.stage, stored.body, money_of(decode(stored).event))


async def driven(name: str, log: Log, clock: Clock) -> tuple[Rig, list[Stored]]:
    """Let an executor of this version find it; answers its log at the end."""
    replayed["tried"] += 1
    old, scenario = golden(name), SCENARIOS[name.partition(".")[0]]
    EFFECTS.clear()
    await load(old, log)
    rig = scenario.rig(log=Behind(log, clock), clock=clock)
    await rig.put_hub()
    await rig.put_process()
    try:
        async with asyncio.timeout(1000.0 if isinstance(clock, LoopClock) else 60.0):
            while (run := await log.get(old.run["run_id"])) is None or not run.terminal:
                await clock.sleep(0.2)
    finally:
        await rig.close()
    stored: list[Stored] = []
    while page := await log.read(old.run["run_id"], after=len(stored)):
        stored += page
    return rig, stored


def judge(name: str, rig: Rig, stored: list[Stored]) -> None:
    """The old part stands as it was, and nothing that was completed in it was done again."""
    old = golden(name)
    assert tuple(stored[: len(old.events)]) == old.events
    log = check_run(stored)
    assert log[-1].event.type == "run.completed"
    before = check_run(old.events, ended=False)
    completed = {(e.stage, e.agent, e.turn) for e in before if e.event.type == "turn.completed"}
    tries = attempts(log)
    assert all(tries[key] == attempts(before)[key] for key in completed), "a completed turn is not made again"  # type: ignore[index]
    assert not {(agent, turn) for _, agent, turn in completed} & rig.model.begun.keys(), "nor is its model asked"
    done = {kind for kind, _ in EFFECTS}
    if name.startswith("unfinished_tool_"):
        kind = name.removeprefix("unfinished_tool_").partition(".")[0]
        unknown = Counter(e.event.type for e in log)["tool.outcome_unknown"]
        assert unknown == (kind == "at_most_once")
        first = next(e for e in before if e.event.type == "tool.called")
        again = [key for _, key in EFFECTS if key.endswith(first.event.call_id)]  # type: ignore[union-attr]
        assert len(again) == (kind != "at_most_once"), "only what may be repeated is"
        assert done <= {kind}
    replayed["held"] += 1


@pytest.fixture(autouse=True)
def _no_effects() -> Iterator[None]:
    yield
    EFFECTS.clear()


@pytest.mark.parametrize("name", UNFINISHED)
def test_an_unfinished_log_in_memory_is_driven_to_its_end(name: str) -> None:
    @virtual_time
    async def play() -> None:
        clock = LaterClock()
        judge(name, *await driven(name, MemoryLog(clock), clock))

    play()


@pytest.mark.parametrize("name", UNFINISHED)
async def test_an_unfinished_log_in_a_file_is_driven_to_its_end(name: str, tmp_path: Path) -> None:
    clock = FastClock()
    log = SqliteLog(tmp_path / "log.db", clock)
    await log.open()
    try:
        judge(name, *await driven(name, log, clock))
    finally:
        await log.close()
