"""Isolated tools on Ray: each call is a task in a worker of its own, and its death is that call's alone."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import psutil
import pytest

from tests.end_to_end.conftest import Served, served
from tests.end_to_end.streams import Frame, request

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

SCRIPT = """
rate = 0
[[turn]]
agent = "planner"
output = {{ todos = [{{ id = "break", title = "Break", agent = "breaker", depends_on = [] }}] }}
[[turn]]
agent = "titler"
output = {{ title = "Broken" }}
[[turn]]
agent = "breaker"
when = "hog"
turn = 1
tool_calls = [{{ name = "hog", input = {{ mark = "{folder}/hog" }} }}]
[[turn]]
agent = "breaker"
when = "hog"
turn = 2
text = "Went on."
[[turn]]
agent = "breaker"
turn = 1
tool_calls = [
  {{ name = "where", input = {{}} }},
  {{ name = "crash", input = {{ how = "segfault" }} }},
  {{ name = "eat", input = {{ megabytes = 600 }} }},
  {{ name = "spin", input = {{ mark = "{folder}/spin" }} }},
  {{ name = "effect_and_crash", input = {{ mark = "{folder}/effects" }} }},
  {{ name = "crash_until", input = {{ mark = "{folder}/keys", times = 1 }} }},
]
[[turn]]
agent = "breaker"
turn = 2
tool_calls = [{{ name = "wait", input = {{ mark = "{folder}/wait-{{topic}}" }} }}]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("isolated")


@pytest.fixture(scope="module")
def system(folder: Path) -> Iterator[Served]:
    script = folder / "script.toml"
    script.write_text(SCRIPT.format(folder=folder))
    environment = {
        "HEADRACE_AGENT_MODELS": json.dumps({"guardrail": "offline:extractive"}),
        "HEADRACE_MODULES": json.dumps(["tests.end_to_end.isolating_agent"]),
    }
    with served(folder / "data", "--model", "scripted", "--script", str(script), **environment) as running:
        yield running


def works(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def awaited(condition: Any, words: str, within_s: float = 60.0) -> float:
    """Wait for ``condition``; the seconds it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < within_s, words
        time.sleep(0.05)
    return time.monotonic() - begun


def events(system: Served, run_id: str) -> list[Frame]:
    return request(system.port, "GET", f"/v1/runs/{run_id}/events", headers={"Accept": "text/event-stream"}).frames()


def test_tools_that_crash_hang_and_eat_memory_cost_their_calls_and_a_cancel_kills_what_runs(
    system: Served, folder: Path
) -> None:
    agents = set(system.pid_of("ray::AgentHost"))
    with httpx2.Client(base_url=system.url, timeout=30) as client:
        run_id = client.post("/v1/runs", json={"input": "noon"}).json()["run_id"]
        awaited((folder / "wait-noon").exists, "the second turn's tool did not begin", 120)
        waiting = int((folder / "wait-noon").read_text())
        assert works(waiting)
        assert waiting not in system.pid_of("ray::AgentHost")
        assert client.post(f"/v1/runs/{run_id}/cancel").status_code == 202
        took = awaited(lambda: not works(waiting), "a cancelled tool works on", 10)
        print(f"a cancelled tool was gone after {took:.2f} s")
        awaited(lambda: client.get(f"/v1/runs/{run_id}").json()["state"] == "cancelled", "it was not cancelled", 20)

    log = [frame.body for frame in events(system, run_id)]
    done = {e["data"]["name"]: e["data"] for e in log if e["type"] == "tool.completed"}
    unknown = {e["data"]["name"]: e["data"]["known"] for e in log if e["type"] == "tool.outcome_unknown"}
    assert done["where"]["is_error"] is False
    key = done["where"]["result"].split()[3]
    assert key.startswith(f"{run_id}:break:1:")
    assert (done["crash"]["is_error"], "WorkerCrashedError" in done["crash"]["result"]) == (True, True)
    assert done["eat"]["result"] == "eat failed: MemoryError"
    assert done["spin"]["result"] == "spin took longer than 0.5 s and was given up"
    assert "process of effect_and_crash died" in unknown["effect_and_crash"]
    assert (folder / "effects").read_text() == "effect\n"
    keys = done["crash_until"]["result"].split()
    assert (len(keys), len(set(keys))) == (2, 1)
    retried = [e["data"]["failure"] for e in log if e["type"] == "recovery.retrying"]
    assert retried == ["tool_died"]

    said = [e["data"]["value"] for e in log if e["type"] == "custom"]
    assert said == [{"done": 0.5}, {"done": 1.0}]
    kinds = [(e["type"], e["data"].get("name")) for e in log]
    assert kinds.index(("custom", "progress")) < kinds.index(("tool.completed", "where"))

    for pid in map(int, (folder / "spin").read_text().split()):
        awaited(lambda pid=pid: not works(pid), "the endless loop or its child works on", 10)  # type: ignore[misc]
    assert agents <= set(system.pid_of("ray::AgentHost")), "no agent was harmed"
    assert [e["type"] for e in log].count("run.started") == 1, "nobody had to take the run over"
    assert [e["type"] for e in log].count("stage.dispatched") == 1, "nor the stage"


def test_a_tool_that_blocks_its_agents_process_costs_that_process_and_the_run_goes_on(
    system: Served, folder: Path
) -> None:
    """Its control loop answers pings all the while: only the standing still of the other gives it away."""
    with httpx2.Client(base_url=system.url, timeout=30) as client:
        run_id = client.post("/v1/runs", json={"input": "hog"}).json()["run_id"]
        awaited((folder / "hog").exists, "the tool did not begin")
        blocked = int((folder / "hog").read_text())
        took = awaited(lambda: not works(blocked), "the blocked process works on", 40)
        awaited(lambda: client.get(f"/v1/runs/{run_id}").json()["state"] == "completed", "it did not go on")
    print(f"the blocked process was gone after {took:.1f} s")
    log = [frame.body for frame in events(system, run_id)]
    assert [e["data"]["name"] for e in log if e["type"] == "tool.called"] == ["hog"]
    assert [e["data"]["name"] for e in log if e["type"] == "tool.outcome_unknown"] == ["hog"]
    assert log[-1]["data"]["answer"] == "Went on."
