"""Failpoints: each action in a process of its own, once where a marker folder is shared, and free when nothing is armed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from timeit import timeit

import pytest

from runtime import failpoints
from runtime.errors import ConfigurationError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm({})


def child(armed: str, code: str, **environment: str) -> subprocess.Popen[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "HEADRACE_FAILPOINTS": armed, **environment}
    script = f"from runtime.failpoints import hit\n{code}"
    return subprocess.Popen([sys.executable, "-c", script], env=env, stdout=subprocess.PIPE, text=True)


def test_exit_ends_the_process_at_once_and_as_a_kill_would() -> None:
    process = child("turn.started=exit", "try: hit('turn.started')\nfinally: print('farewell', flush=True)")
    assert process.communicate(timeout=30)[0] == ""
    assert process.returncode == 137


def test_a_count_fires_at_that_hit_alone() -> None:
    code = "for n in (1, 2, 3, 4):\n print(n, flush=True)\n hit('turn.delta')"
    process = child("turn.delta=exit@3", code)
    assert process.communicate(timeout=30)[0].split() == ["1", "2", "3"]


def test_whoever_takes_the_lost_process_place_does_not_die_at_the_same_point(tmp_path: Path) -> None:
    code = "hit('run.ending'); print('alive', flush=True)"
    spoken = [
        child("run.ending=exit", code, HEADRACE_FAILPOINTS_DIR=str(tmp_path)).communicate(timeout=30)[0]
        for _ in range(2)
    ]
    assert spoken == ["", "alive\n"]
    assert [path.name for path in tmp_path.iterdir()] == ["run.ending.fired"]


def test_stop_freezes_the_process_until_it_is_told_to_go_on() -> None:
    process = child("tool.effect=stop", "hit('tool.effect'); print('on', flush=True)")
    stat = Path(f"/proc/{process.pid}/stat")
    end = time.monotonic() + 30
    while stat.read_text().rpartition(")")[2].split()[0] != "T":
        assert time.monotonic() < end, "it did not stop"
        time.sleep(0.01)
    process.send_signal(signal.SIGCONT)
    assert process.communicate(timeout=30)[0] == "on\n"
    assert process.returncode == 0


def test_raise_and_sleep_act_in_place() -> None:
    failpoints.arm({"HEADRACE_FAILPOINTS": "stage.completed=raise, claim.committed=sleep:0.05@2"})
    with pytest.raises(failpoints.FailpointRaised):
        failpoints.hit("stage.completed")
    begun = time.monotonic()
    failpoints.hit("claim.committed")
    first = time.monotonic() - begun
    failpoints.hit("claim.committed")
    assert time.monotonic() - begun - first >= 0.05


@pytest.mark.parametrize(
    "wrong",
    ["turn.begun=exit", "turn.started", "turn.started=die", "turn.started=sleep", "turn.started=exit@0", "=exit"]
    + ["turn.started=exit@x", "turn.started=exit:5", "turn.started=exit@"],
)
def test_what_cannot_be_armed_is_refused_with_words(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="HEADRACE_FAILPOINTS"):
        failpoints.arm({"HEADRACE_FAILPOINTS": wrong})


def test_an_installed_handler_hears_of_every_point() -> None:
    heard: list[str] = []
    failpoints.install(heard.append)
    for name in failpoints.POINTS:
        failpoints.hit(name)
    failpoints.install(None)
    failpoints.hit("turn.started")
    assert heard == list(failpoints.POINTS)


def test_every_point_stands_in_the_code_once_and_no_other_does() -> None:
    """Read from the source: a point nobody comes to would be a promise nobody tests."""
    sources = (path.read_text() for path in (ROOT / "runtime").rglob("*.py"))
    placed = [name for source in sources for name in re.findall(r'failpoints\.hit\("([a-z.]+)"\)', source)]
    assert sorted(placed) == sorted(failpoints.POINTS)


def test_an_unarmed_point_costs_nothing_beside_a_token() -> None:
    """A token costs about 30 us from model to log; the bound is a hundredth of that, on a busy machine."""
    cost = min(timeit(lambda: failpoints.hit("turn.delta"), number=10_000) / 10_000 for _ in range(20))
    print(f"an unarmed failpoint: {cost * 1e9:.0f} ns")
    assert cost < 1e-6
